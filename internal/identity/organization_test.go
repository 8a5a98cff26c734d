package identity_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/identity"
	"github.com/musterhq/muster/internal/page"
	"github.com/musterhq/muster/internal/resource"
)

// another makes a second organization, and returns its admin.
func another(t *testing.T, s *identity.Service, operator access.Caller) access.Caller {
	t.Helper()
	o, u, secret, err := s.CreateOrganization(t.Context(), operator, "Other", "Olga", "olga@example.com")
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.Authenticate(t.Context(), secret)
	if err != nil || c.Organization != o.ID || c.ID != string(u.ID) || !c.Has(resource.RoleOrgAdmin) {
		t.Fatalf("its admin: %+v, %v", c, err)
	}
	return c
}

func TestOnlyTheOperatorManagesOrganizations(t *testing.T) {
	s, operator := setup(t)
	_, ann, _ := add(t, s, operator, "ann", resource.RoleOrgMember)
	olga := another(t, s, operator)
	for who, c := range map[string]access.Caller{"a member": ann, "an admin of another organization": olga} {
		if _, _, _, err := s.CreateOrganization(t.Context(), c, "Mine", "Me", "me@example.com"); !fault.Is(err, fault.PermissionDenied) {
			t.Errorf("%s makes one: %v", who, err)
		}
		if _, _, err := s.Organizations(t.Context(), c, page.Request{}); !fault.Is(err, fault.PermissionDenied) {
			t.Errorf("%s lists them: %v", who, err)
		}
	}
	first, next, err := s.Organizations(t.Context(), operator, page.Request{Size: 1})
	if err != nil || len(first) != 1 || first[0].ID != operator.Organization || next == "" {
		t.Fatalf("the first page: %+v, %q, %v", first, next, err)
	}
	second, next, err := s.Organizations(t.Context(), operator, page.Request{Size: 1, Token: next})
	if err != nil || len(second) != 1 || second[0].ID != olga.Organization || next != "" {
		t.Errorf("the second page: %+v, %q, %v", second, next, err)
	}
}

func TestNothingIsVisibleInAnotherOrganization(t *testing.T) {
	s, admin := setup(t)
	annUser, ann, _ := add(t, s, admin, "ann", resource.RoleOrgAdmin)
	olga := another(t, s, admin)
	calls := map[string]error{
		"User":                func() error { _, err := s.User(t.Context(), olga, annUser.ID); return err }(),
		"Organization":        func() error { _, err := s.Organization(t.Context(), olga, admin.Organization); return err }(),
		"RenameOrganization":  func() error { _, err := s.RenameOrganization(t.Context(), olga, admin.Organization, "x"); return err }(),
		"SetRole":             s.SetRole(t.Context(), olga, olga.Organization, annUser.ID, resource.RoleOrgMember),
		"SetRole over there":  s.SetRole(t.Context(), olga, admin.Organization, annUser.ID, resource.RoleOrgMember),
		"SuspendMember":       s.SuspendMember(t.Context(), olga, annUser.ID),
		"ResumeMember":        s.ResumeMember(t.Context(), olga, annUser.ID),
		"RemoveMember":        s.RemoveMember(t.Context(), olga, annUser.ID),
		"PersonalToken":       func() error { _, err := s.PersonalToken(t.Context(), olga, ann.Token); return err }(),
		"DeletePersonalToken": s.DeletePersonalToken(t.Context(), olga, ann.Token),
		"Members": func() error {
			_, _, _, err := s.Members(t.Context(), olga, identity.UserQuery{Organization: admin.Organization}, page.Request{}, false)
			return err
		}(),
	}
	for what, err := range calls {
		if !fault.Is(err, fault.NotFound) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if rows, _, err := s.PersonalTokens(t.Context(), olga, []string{ann.ID}, page.Request{}); err != nil || len(rows) != 0 {
		t.Errorf("PersonalTokens: %v, %v", rows, err)
	}
	rows, _, _, err := s.Members(t.Context(), olga, identity.UserQuery{Organization: olga.Organization}, page.Request{}, false)
	if err != nil || len(rows) != 1 || rows[0].Name != "Olga" {
		t.Errorf("Members: %+v, %v", rows, err)
	}
	// An address may be used in each.
	add(t, s, olga, "ann", resource.RoleOrgMember)
}

func TestRenameOrganization(t *testing.T) {
	s, admin := setup(t)
	_, ann, _ := add(t, s, admin, "ann", resource.RoleOrgMember)
	if _, err := s.RenameOrganization(t.Context(), ann, ann.Organization, "Ann's"); !fault.Is(err, fault.PermissionDenied) {
		t.Errorf("a member: %v", err)
	}
	before, err := s.Organization(t.Context(), ann, ann.Organization)
	if err != nil {
		t.Fatal(err)
	}
	changed, err := s.RenameOrganization(t.Context(), admin, admin.Organization, "Acme")
	if err != nil || changed.Name != "Acme" || !changed.UpdatedAt.After(before.UpdatedAt) || !changed.CreatedAt.Equal(before.CreatedAt) {
		t.Errorf("changed %+v, %v", changed, err)
	}
	if got, err := s.Organization(t.Context(), ann, ann.Organization); err != nil || got.Name != "Acme" || !got.UpdatedAt.Equal(changed.UpdatedAt) {
		t.Errorf("read %+v, %v", got, err)
	}
	if changed, err = s.RenameOrganization(t.Context(), admin, admin.Organization, ""); err != nil || changed.Name != "Acme" {
		t.Errorf("without a name: %+v, %v", changed, err)
	}
}

func TestSetRole(t *testing.T) {
	s, admin := setup(t)
	u, ann, secret := add(t, s, admin, "ann", resource.RoleOrgMember)
	set := func(c access.Caller, u id.User, role resource.Role) error {
		return s.SetRole(t.Context(), c, c.Organization, u, role)
	}
	if err := set(ann, id.User(admin.ID), resource.RoleOrgMember); !fault.Is(err, fault.PermissionDenied) {
		t.Errorf("a member: %v", err)
	}
	if err := set(admin, u.ID, resource.RoleOrgRunnersAdmin); !fault.Is(err, fault.InvalidArgument) {
		t.Errorf("a role that is none: %v", err)
	}
	if err := set(admin, id.User(id.New()), resource.RoleOrgAdmin); !fault.Is(err, fault.NotFound) {
		t.Errorf("nobody: %v", err)
	}
	if err := set(admin, id.User(admin.ID), resource.RoleOrgMember); !fault.HasReason(err, fault.LastAdmin) {
		t.Errorf("the last admin: %v", err)
	}
	held, release := s.Hold(t.Context(), ann)
	defer release()
	if err := set(admin, u.ID, resource.RoleOrgAdmin); err != nil {
		t.Fatal(err)
	}
	if !fault.HasReason(context.Cause(held), fault.AccessChanged) {
		t.Errorf("the stream ended with %v", context.Cause(held))
	}
	c, err := s.Authenticate(t.Context(), secret) // although the check was cached a moment ago
	if err != nil || !c.Has(resource.RoleOrgAdmin) || !c.Has(resource.RoleOperator) {
		t.Errorf("as an admin: %+v, %v", c, err)
	}
	if err := set(c, id.User(admin.ID), resource.RoleOrgMember); err != nil {
		t.Fatal(err)
	}
	if err := set(c, u.ID, resource.RoleOrgMember); !fault.HasReason(err, fault.LastAdmin) {
		t.Errorf("the last admin: %v", err)
	}
	// What changes nothing cuts nothing.
	if c, err = s.Authenticate(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	still, release := s.Hold(t.Context(), c)
	defer release()
	if err := set(c, u.ID, resource.RoleOrgAdmin); err != nil || still.Err() != nil {
		t.Errorf("the same role again: %v, %v", err, context.Cause(still))
	}
	if err := s.RemoveMember(t.Context(), c, id.User(admin.ID)); err != nil {
		t.Fatal(err)
	}
	if err := set(c, id.User(admin.ID), resource.RoleOrgAdmin); !fault.Is(err, fault.FailedPrecondition) {
		t.Errorf("who has left: %v", err)
	}
}

func TestTheLastAdminStaysWhateverIsDoneAtOnce(t *testing.T) {
	s, admin := setup(t)
	admins := []id.User{id.User(admin.ID)}
	for i := range 7 {
		u, _, _ := add(t, s, admin, fmt.Sprint("admin", i), resource.RoleOrgAdmin)
		admins = append(admins, u.ID)
	}
	var kept atomic.Int32
	var wg sync.WaitGroup
	for i, u := range admins {
		wg.Go(func() {
			change := func(ctx context.Context, c access.Caller, u id.User) error {
				return s.SetRole(ctx, c, c.Organization, u, resource.RoleOrgMember)
			}
			if i%3 == 0 {
				change = s.SuspendMember
			}
			if err := change(t.Context(), admin, u); err != nil {
				if !fault.HasReason(err, fault.LastAdmin) {
					t.Error(err)
				}
				kept.Add(1)
			}
		})
	}
	wg.Wait()
	left, _, _, err := s.Members(t.Context(), admin, identity.UserQuery{
		Organization: admin.Organization, Roles: []resource.Role{resource.RoleOrgAdmin}, Statuses: []identity.Status{identity.StatusActive},
	}, page.Request{}, false)
	if err != nil || len(left) != 1 || kept.Load() != 1 {
		t.Errorf("%d admins are left, %d were kept, %v", len(left), kept.Load(), err)
	}
}

func TestResetAdmin(t *testing.T) {
	s, admin := setup(t)
	add(t, s, admin, "later", resource.RoleOrgAdmin)
	check := func(want string, u identity.User, secret string, err error) access.Caller {
		t.Helper()
		if err != nil || u.Name != want {
			t.Fatalf("reset %+v, %v; want %s", u, err, want)
		}
		c, err := s.Authenticate(t.Context(), secret)
		if err != nil || c.ID != string(u.ID) || !c.Has(resource.RoleOrgAdmin) || c.Expires.IsZero() {
			t.Fatalf("the token is for %+v, %v", c, err)
		}
		return c
	}
	o, err := s.FindOrganization(t.Context(), "")
	if err != nil || o.ID != admin.Organization {
		t.Fatalf("the first organization: %+v, %v", o, err)
	}
	u, secret, err := s.ResetAdmin(t.Context(), o.ID)
	check("Administrator", u, secret, err)
	rec, _, err := s.PersonalTokens(t.Context(), admin, nil, page.Request{})
	if err != nil || len(rec) != 2 || rec[0].Creator != access.System {
		t.Errorf("the token is %+v, %v", rec, err)
	}
	if err := s.SuspendMember(t.Context(), admin, id.User(admin.ID)); err != nil {
		t.Fatal(err)
	}
	u, secret, err = s.ResetAdmin(t.Context(), o.ID)
	check("later", u, secret, err)

	olga := another(t, s, admin)
	for _, name := range []string{"Other", string(olga.Organization)} {
		if got, err := s.FindOrganization(t.Context(), name); err != nil || got.ID != olga.Organization {
			t.Errorf("FindOrganization(%q) = %+v, %v", name, got, err)
		}
	}
	u, secret, err = s.ResetAdmin(t.Context(), olga.Organization)
	check("Olga", u, secret, err)
	if _, err := s.FindOrganization(t.Context(), "nowhere"); !fault.Is(err, fault.NotFound) {
		t.Errorf("an unknown organization: %v", err)
	}
	if _, _, _, err := s.CreateOrganization(t.Context(), admin, "Other", "Otto", "otto@example.com"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.FindOrganization(t.Context(), "Other"); !fault.Is(err, fault.FailedPrecondition) {
		t.Errorf("a name that two have: %v", err)
	}
}

// When nobody is left who is active, an admin comes back or is made.
func TestResetAdminWithoutAnAdmin(t *testing.T) {
	store := openStore(t, t.TempDir())
	s := service(store)
	if _, err := s.FindOrganization(t.Context(), ""); !fault.Is(err, fault.FailedPrecondition) {
		t.Errorf("before the first start: %v", err)
	}
	if _, err := s.Bootstrap(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	o, err := s.FindOrganization(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	// No call leads here; somebody's hands in the database may.
	set := func(change func(*identity.User)) {
		t.Helper()
		err := store.Identity().Write(t.Context(), func(tx identity.Tx) error {
			rows, err := tx.Users(t.Context(), identity.UserQuery{Organization: o.ID, Page: page.Query{Limit: 1}})
			if err != nil {
				return err
			}
			change(&rows[0])
			ok, err := tx.UpdateUser(t.Context(), rows[0])
			if !ok {
				err = errors.Join(err, errors.New("the update was lost"))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	set(func(u *identity.User) { u.Status = identity.StatusSuspended })
	u, secret, err := s.ResetAdmin(t.Context(), o.ID)
	if err != nil || u.Name != "Administrator" || u.Status != identity.StatusActive {
		t.Errorf("the suspended one: %+v, %v", u, err)
	}
	if _, err := s.Authenticate(t.Context(), secret); err != nil {
		t.Errorf("resumed: %v", err)
	}
	set(func(u *identity.User) { u.Role = resource.RoleOrgMember })
	made, secret, err := s.ResetAdmin(t.Context(), o.ID)
	if err != nil || made.ID == u.ID || made.Email == u.Email {
		t.Errorf("a new one: %+v, %v", made, err)
	}
	if c, err := s.Authenticate(t.Context(), secret); err != nil || !c.Has(resource.RoleOrgAdmin) {
		t.Errorf("as the new one: %+v, %v", c, err)
	}
}
