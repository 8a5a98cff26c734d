package compat

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"testing"

	"github.com/gitpod-io/gitpod-sdk-go"
	"github.com/gitpod-io/gitpod-sdk-go/shared"
)

const fleetSize = 60

// fill registers fleetSize runners, every fourth on AWS, and returns their ids
// in order.
func fill(ctx context.Context, t *testing.T, client *gitpod.Client) []string {
	t.Helper()
	var ids []string
	for i := range fleetSize {
		params := linuxHost(fmt.Sprintf("runner %02d", i))
		if i%4 == 0 {
			params.Provider = gitpod.F(gitpod.RunnerProviderAwsEc2)
		}
		ids = append(ids, newRunner(ctx, t, client, params).Runner.RunnerID)
	}
	return ids
}

// all reads an auto-pager to its end.
func all(ctx context.Context, t *testing.T, client *gitpod.Client, params gitpod.RunnerListParams) []string {
	t.Helper()
	var ids []string
	pager := client.Runners.ListAutoPaging(ctx, params)
	for pager.Next() {
		ids = append(ids, pager.Current().RunnerID)
		if len(ids) > 2*fleetSize {
			t.Fatal("the pager does not come to an end")
		}
	}
	if err := pager.Err(); err != nil {
		t.Fatal(err)
	}
	return ids
}

// inBody is paging by the body, as the documentation shows it.
func inBody(size int64, token string) gitpod.RunnerListParams {
	p := gitpod.RunnerListParamsPagination{PageSize: gitpod.F(size)}
	if token != "" {
		p.Token = gitpod.F(token)
	}
	return gitpod.RunnerListParams{Pagination: gitpod.F(p)}
}

// inQuery is paging by the query string.
func inQuery(size int64, token string) gitpod.RunnerListParams {
	p := gitpod.RunnerListParams{PageSize: gitpod.F(size)}
	if token != "" {
		p.Token = gitpod.F(token)
	}
	return p
}

func TestGoSDKListRunners(t *testing.T) {
	t.Parallel()
	s := serve(t)
	client, wire := s.goSDK(t, bootstrapToken)
	ctx := deadline(t)

	page, err := client.Runners.List(ctx, gitpod.RunnerListParams{})
	if err != nil {
		t.Fatal(err)
	}
	sameJSON(t, "an empty list", onlySet(t, page.JSON.RawJSON()), `{"runners":[],"pagination":{}}`)
	ids := fill(ctx, t, client)

	list := func(params gitpod.RunnerListParams) (got []string, next string) {
		t.Helper()
		page, err := client.Runners.List(ctx, params)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Runners {
			got = append(got, r.RunnerID)
		}
		return got, page.Pagination.NextToken
	}
	same := func(what string, got, want []string) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("%s: %d runners\n got %v\nwant %v", what, len(got), got, want)
		}
	}

	t.Run("auto-paging brings each runner once", func(t *testing.T) {
		for name, params := range map[string]gitpod.RunnerListParams{
			"nothing given":    {},
			"body":             inBody(7, ""),
			"body, largest":    inBody(100, ""),
			"body, no rest":    inBody(20, ""),
			"body, one by one": inBody(1, ""),
			"query":            inQuery(7, ""),
			"query over body":  {PageSize: gitpod.F(int64(11)), Pagination: gitpod.F(gitpod.RunnerListParamsPagination{PageSize: gitpod.F(int64(50))})},
		} {
			wire.take()
			same(name, all(ctx, t, client, params), ids)
			sent := wire.take()
			for i, x := range sent {
				if x.body != sent[0].body {
					t.Errorf("%s: this SDK is not the one that the suite was written for: page %d has body %s after %s", name, i+1, x.body, sent[0].body)
				}
				if x.query.Has("token") != (i > 0) {
					t.Errorf("%s: page %d has query %v", name, i+1, x.query)
				}
			}
		}
	})

	t.Run("tokens by hand", func(t *testing.T) {
		first, next := list(gitpod.RunnerListParams{})
		same("the default page", first, ids[:25])
		inTheBody, _ := list(inBody(10, next))
		same("a token in the body", inTheBody, ids[25:35])
		inTheQuery, after := list(inQuery(10, next))
		same("a token in the query", inTheQuery, ids[25:35])
		both := inBody(10, next)
		both.Token = gitpod.F(after)
		winner, _ := list(both)
		same("a token in both: the query wins", winner, ids[35:45])
		// The body keeps its token on every page.
		same("auto-paging from a token in the body", all(ctx, t, client, inBody(10, next)), ids[25:])
		same("auto-paging from a token in the query", all(ctx, t, client, inQuery(10, next)), ids[25:])
		garbled := inBody(10, "not-a-token")
		garbled.Token = gitpod.F(after)
		winner, _ = list(garbled)
		same("only the token that wins is looked at", winner, ids[35:45])
	})

	t.Run("runners that come while one pages", func(t *testing.T) {
		page, err := client.Runners.List(ctx, inBody(25, ""))
		if err != nil {
			t.Fatal(err)
		}
		late := newRunner(ctx, t, client, linuxHost("late")).Runner.RunnerID
		var got []string
		for err == nil && page != nil {
			for _, r := range page.Runners {
				got = append(got, r.RunnerID)
			}
			page, err = page.GetNextPage()
		}
		if err != nil {
			t.Fatal(err)
		}
		got = slices.DeleteFunc(got, func(id string) bool { return id == late })
		same("all others", got, ids)
		if _, err := client.Runners.Delete(ctx, gitpod.RunnerDeleteParams{RunnerID: gitpod.F(late)}); err != nil {
			t.Fatal(err)
		}
	})

	t.Run("filters", func(t *testing.T) {
		var aws, hosts []string
		for i, id := range ids {
			if i%4 == 0 {
				aws = append(aws, id)
			} else {
				hosts = append(hosts, id)
			}
		}
		me, err := client.Identity.GetAuthenticatedIdentity(ctx, gitpod.IdentityGetAuthenticatedIdentityParams{})
		if err != nil {
			t.Fatal(err)
		}
		type filter = gitpod.RunnerListParamsFilter
		for _, test := range []struct {
			name   string
			filter filter
			want   []string
		}{
			{"the documentation's", filter{Providers: gitpod.F([]gitpod.RunnerProvider{gitpod.RunnerProviderAwsEc2})}, aws},
			{"two providers", filter{Providers: gitpod.F([]gitpod.RunnerProvider{gitpod.RunnerProviderAwsEc2, gitpod.RunnerProviderLinuxHost})}, ids},
			{"a kind", filter{Kinds: gitpod.F([]gitpod.RunnerKind{gitpod.RunnerKindLocal})}, hosts},
			{"a kind and a provider that exclude each other", filter{
				Kinds:     gitpod.F([]gitpod.RunnerKind{gitpod.RunnerKindLocal}),
				Providers: gitpod.F([]gitpod.RunnerProvider{gitpod.RunnerProviderAwsEc2}),
			}, nil},
			{"the creator", filter{CreatorIDs: gitpod.F([]string{me.Subject.ID})}, ids},
			{"somebody else", filter{CreatorIDs: gitpod.F([]string{"d2c94c27-3b76-4a42-b88c-95a85e392c68"})}, nil},
			{"empty lists", filter{CreatorIDs: gitpod.F([]string{}), Kinds: gitpod.F([]gitpod.RunnerKind{}), Providers: gitpod.F([]gitpod.RunnerProvider{})}, ids},
		} {
			params := inBody(6, "")
			params.Filter = gitpod.F(test.filter)
			same(test.name, all(ctx, t, client, params), test.want)
		}
	})

	t.Run("refused", func(t *testing.T) {
		_, next := list(inBody(10, ""))
		ofAnother := inBody(10, next)
		ofAnother.Filter = gitpod.F(gitpod.RunnerListParamsFilter{Kinds: gitpod.F([]gitpod.RunnerKind{gitpod.RunnerKindLocal})})
		tooMany := make([]string, 26)
		for i := range tooMany {
			tooMany[i] = "d2c94c27-3b76-4a42-b88c-95a85e3920" + strconv.Itoa(10+i)
		}
		for name, params := range map[string]gitpod.RunnerListParams{
			"page size 101 in the body":     inBody(101, ""),
			"page size 101 in the query":    inQuery(101, ""),
			"page size -1":                  inBody(-1, ""),
			"page size that is no number":   {PageSize: gitpod.Raw[int64]("many")},
			"a garbled token in the body":   inBody(10, "not-a-token"),
			"a garbled token in the query":  inQuery(10, next[:len(next)-2]),
			"a token of another filter":     ofAnother,
			"a kind that does not exist":    {Filter: gitpod.F(gitpod.RunnerListParamsFilter{Kinds: gitpod.F([]gitpod.RunnerKind{"RUNNER_KIND_TEAPOT"})})},
			"a creator id that is no UUID":  {Filter: gitpod.F(gitpod.RunnerListParamsFilter{CreatorIDs: gitpod.F([]string{"me"})})},
			"more than 25 values to filter": {Filter: gitpod.F(gitpod.RunnerListParamsFilter{CreatorIDs: gitpod.F(tooMany)})},
		} {
			wire.take()
			_, err := client.Runners.List(ctx, params)
			if !wantError(t, err, http.StatusBadRequest, shared.ErrorCodeInvalidArgument) || len(wire.take()) != 1 {
				t.Errorf("%s: not refused, or not at once", name)
			}
		}
	})
}
