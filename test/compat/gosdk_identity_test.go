package compat

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gitpod-io/gitpod-sdk-go"
	"github.com/gitpod-io/gitpod-sdk-go/shared"
)

// added is a new member with a token of theirs.
type added struct {
	Member struct {
		UserID string `json:"userId"`
	} `json:"member"`
	Token string `json:"token"`
}

// addMember adds somebody without any role but the least. The vendor's API has
// no call for it; the SDK sends it all the same.
func addMember(ctx context.Context, t *testing.T, client *gitpod.Client, name, email string) added {
	t.Helper()
	var m added
	err := client.Execute(ctx, http.MethodPost, "muster.admin.v1.MemberService/AddMember",
		map[string]any{"name": name, "email": email, "role": "ORGANIZATION_ROLE_MEMBER"}, &m)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestGoSDKIdentity(t *testing.T) {
	t.Parallel()
	s := serve(t)
	client, wire := s.goSDK(t, bootstrapToken)
	ctx := deadline(t)

	me, err := client.Identity.GetAuthenticatedIdentity(ctx, gitpod.IdentityGetAuthenticatedIdentityParams{Empty: gitpod.F(true)})
	if err != nil {
		t.Fatal(err)
	}
	if sent := wire.take()[0].body; sent != `{"empty":true}` {
		t.Errorf("this SDK is not the one that the suite was written for: it sends %s", sent)
	}
	if me.Subject.Principal != shared.PrincipalUser || !uuid.MatchString(me.Subject.ID) || !uuid.MatchString(me.OrganizationID) {
		t.Errorf("I am %+v", me)
	}
	user, err := client.Users.GetAuthenticatedUser(ctx, gitpod.UserGetAuthenticatedUserParams{Empty: gitpod.F(true)})
	if err != nil {
		t.Fatal(err)
	}
	if u := user.User; u.ID != me.Subject.ID || u.OrganizationID != me.OrganizationID || u.Name == "" || u.Email == "" ||
		u.Status != shared.UserStatusActive || u.CreatedAt.IsZero() {
		t.Errorf("the user is %s", u.JSON.RawJSON())
	}
	same, err := client.Users.GetUser(ctx, gitpod.UserGetUserParams{UserID: gitpod.F(me.Subject.ID)})
	if err != nil {
		t.Fatal(err)
	}
	sameJSON(t, "GetUser", same.User.JSON.RawJSON(), user.User.JSON.RawJSON())
	_, err = client.Users.GetUser(ctx, gitpod.UserGetUserParams{UserID: gitpod.F("d2c94c27-3b76-4a42-b88c-95a85e392c68")})
	wantError(t, err, http.StatusNotFound, shared.ErrorCodeNotFound)

	// A runner is somebody, too.
	created := newRunner(ctx, t, client, linuxHost("somebody"))
	anybody, _ := s.goSDK(t, "")
	redeemed, err := anybody.Identity.ExchangeToken(ctx, gitpod.IdentityExchangeTokenParams{ExchangeToken: gitpod.F(created.ExchangeToken)})
	if err != nil {
		t.Fatal(err)
	}
	_, err = anybody.Identity.ExchangeToken(ctx, gitpod.IdentityExchangeTokenParams{ExchangeToken: gitpod.F(created.ExchangeToken)})
	wantError(t, err, http.StatusUnauthorized, shared.ErrorCodeUnauthenticated)
	runner, _ := s.goSDK(t, redeemed.AccessToken)
	it, err := runner.Identity.GetAuthenticatedIdentity(ctx, gitpod.IdentityGetAuthenticatedIdentityParams{})
	if err != nil {
		t.Fatal(err)
	}
	if it.Subject.Principal != shared.PrincipalRunner || it.Subject.ID != created.Runner.RunnerID || it.OrganizationID != me.OrganizationID {
		t.Errorf("the runner is %+v", it)
	}
	if _, err := client.Runners.Delete(ctx, gitpod.RunnerDeleteParams{RunnerID: gitpod.F(created.Runner.RunnerID)}); err != nil {
		t.Fatal(err)
	}
	_, err = runner.Identity.GetAuthenticatedIdentity(ctx, gitpod.IdentityGetAuthenticatedIdentityParams{})
	wantError(t, err, http.StatusUnauthorized, shared.ErrorCodeUnauthenticated)
}

func TestGoSDKOrganization(t *testing.T) {
	t.Parallel()
	s := serve(t)
	client, _ := s.goSDK(t, bootstrapToken)
	ctx := deadline(t)
	me, err := client.Identity.GetAuthenticatedIdentity(ctx, gitpod.IdentityGetAuthenticatedIdentityParams{})
	if err != nil {
		t.Fatal(err)
	}
	org, err := client.Organizations.Get(ctx, gitpod.OrganizationGetParams{OrganizationID: gitpod.F(me.OrganizationID)})
	if err != nil {
		t.Fatal(err)
	}
	if o := org.Organization; o.ID != me.OrganizationID || o.Name == "" || o.Tier == "" || o.CreatedAt.IsZero() || o.UpdatedAt.IsZero() {
		t.Errorf("the organization is %s", o.JSON.RawJSON())
	}

	want := []string{me.Subject.ID}
	for i := range 4 {
		want = append(want, addMember(ctx, t, client, fmt.Sprintf("Member %d", i), fmt.Sprintf("m%d@example.com", i)).Member.UserID)
	}
	slices.Sort(want)
	type params = gitpod.OrganizationListMembersParams
	for name, p := range map[string]params{
		"nothing given": {},
		"query":         {PageSize: gitpod.F(int64(2))},
		"body":          {Pagination: gitpod.F(gitpod.OrganizationListMembersParamsPagination{PageSize: gitpod.F(int64(2))})},
		"by name": {PageSize: gitpod.F(int64(2)), Sort: gitpod.F(gitpod.OrganizationListMembersParamsSort{
			Field: gitpod.F(gitpod.OrganizationListMembersParamsSortFieldSortFieldName), Order: gitpod.F(shared.SortOrderAsc),
		})},
	} {
		p.OrganizationID = gitpod.F(me.OrganizationID)
		var got []string
		pager := client.Organizations.ListMembersAutoPaging(ctx, p)
		for pager.Next() {
			m := pager.Current()
			got = append(got, m.UserID)
			if m.Email == "" || m.FullName == "" || m.LoginProvider == "" || m.MemberSince.IsZero() ||
				m.Status != shared.UserStatusActive || !m.Role.IsKnown() || m.Role == shared.OrganizationRoleUnspecified {
				t.Errorf("%s: %s", name, m.JSON.RawJSON())
			}
		}
		slices.Sort(got)
		if err := pager.Err(); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, members %v, want %v", name, err, got, want)
		}
	}
	found, err := client.Organizations.ListMembers(ctx, params{
		OrganizationID: gitpod.F(me.OrganizationID),
		Filter:         gitpod.F(gitpod.OrganizationListMembersParamsFilter{Search: gitpod.F("MEMBER 3")}),
	})
	if err != nil || len(found.Members) != 1 || found.Members[0].Email != "m3@example.com" {
		t.Errorf("searching: %v, %+v", err, found)
	}
}

func TestGoSDKPersonalAccessTokens(t *testing.T) {
	t.Parallel()
	s := serve(t)
	client, _ := s.goSDK(t, bootstrapToken)
	ctx := deadline(t)
	me, err := client.Identity.GetAuthenticatedIdentity(ctx, gitpod.IdentityGetAuthenticatedIdentityParams{})
	if err != nil {
		t.Fatal(err)
	}
	// The SDK has no method to make one; the call is part of the API.
	issue := func(description string, readOnly bool) string {
		t.Helper()
		var reply struct {
			Token string `json:"token"`
		}
		err := client.Execute(ctx, http.MethodPost, "gitpod.v1.UserService/CreatePersonalAccessToken",
			map[string]any{"userId": me.Subject.ID, "description": description, "validFor": "3600s", "readOnly": readOnly}, &reply)
		if err != nil || reply.Token == "" {
			t.Fatalf("CreatePersonalAccessToken: %v, %q", err, reply.Token)
		}
		return reply.Token
	}
	secret := issue("for the test", false)
	reader := issue("to read", true)
	issue("third", false)

	var listed []gitpod.PersonalAccessToken
	pager := client.Users.Pats.ListAutoPaging(ctx, gitpod.UserPatListParams{
		Filter:     gitpod.F(gitpod.UserPatListParamsFilter{UserIDs: gitpod.F([]string{me.Subject.ID})}),
		Pagination: gitpod.F(gitpod.UserPatListParamsPagination{PageSize: gitpod.F(int64(1))}),
	})
	for pager.Next() {
		listed = append(listed, pager.Current())
	}
	if err := pager.Err(); err != nil || len(listed) != 4 {
		t.Fatalf("%v, %d tokens listed", err, len(listed))
	}
	i := slices.IndexFunc(listed, func(p gitpod.PersonalAccessToken) bool { return p.Description == "for the test" })
	if i < 0 {
		t.Fatalf("the token is not listed: %+v", listed)
	}
	pat := listed[i]
	if pat.UserID != me.Subject.ID || pat.Creator.ID != me.Subject.ID || pat.CreatedAt.IsZero() ||
		!pat.ExpiresAt.Truncate(time.Second).Equal(pat.CreatedAt.Add(time.Hour).Truncate(time.Second)) {
		t.Errorf("the token is %s", pat.JSON.RawJSON())
	}
	got, err := client.Users.Pats.Get(ctx, gitpod.UserPatGetParams{PersonalAccessTokenID: gitpod.F(pat.ID)})
	if err != nil {
		t.Fatal(err)
	}
	if got.Pat.ID != pat.ID || strings.Contains(got.JSON.RawJSON(), secret) {
		t.Errorf("GetPersonalAccessToken: %s", got.JSON.RawJSON())
	}

	readOnly, _ := s.goSDK(t, reader)
	if _, err := readOnly.Runners.List(ctx, gitpod.RunnerListParams{}); err != nil {
		t.Errorf("a read-only token reads: %v", err)
	}
	_, err = readOnly.Runners.New(ctx, linuxHost("refused"))
	wantError(t, err, http.StatusForbidden, shared.ErrorCodePermissionDenied)

	holder, _ := s.goSDK(t, secret)
	newRunner(ctx, t, holder, linuxHost("by the new token"))
	if _, err := client.Users.Pats.Delete(ctx, gitpod.UserPatDeleteParams{PersonalAccessTokenID: gitpod.F(pat.ID)}); err != nil {
		t.Fatal(err)
	}
	_, err = holder.Runners.List(ctx, gitpod.RunnerListParams{})
	wantError(t, err, http.StatusUnauthorized, shared.ErrorCodeUnauthenticated)
	_, err = client.Users.Pats.Delete(ctx, gitpod.UserPatDeleteParams{PersonalAccessTokenID: gitpod.F(pat.ID)})
	wantError(t, err, http.StatusNotFound, shared.ErrorCodeNotFound)
}

func TestGoSDKGateways(t *testing.T) {
	t.Parallel()
	s := serve(t, "--gateway", "west=https://west.example.com,us-west", "--gateway", "east=https://east.example.com", "--gateway", "north=https://north.example.com,eu-north")
	client, _ := s.goSDK(t, bootstrapToken)
	for name, params := range map[string]gitpod.GatewayListParams{
		"nothing given": {},
		"query":         {PageSize: gitpod.F(int64(1))},
		"body":          {Pagination: gitpod.F(gitpod.GatewayListParamsPagination{PageSize: gitpod.F(int64(2))})},
	} {
		var got []string
		pager := client.Gateways.ListAutoPaging(deadline(t), params)
		for pager.Next() {
			g := pager.Current()
			got = append(got, g.Name+" "+g.URL+" "+g.Region)
		}
		want := []string{"east https://east.example.com ", "north https://north.example.com eu-north", "west https://west.example.com us-west"}
		if err := pager.Err(); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %q", name, err, got)
		}
	}
}
