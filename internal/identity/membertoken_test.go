package identity_test

import (
	"testing"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/limit"
	"github.com/musterhq/muster/internal/page"
	"github.com/musterhq/muster/internal/resource"
)

func TestATokenForAMember(t *testing.T) {
	s, admin := setup(t)
	ann, annCaller, first := add(t, s, admin, "ann", resource.RoleOrgMember)
	secret, err := s.CreateMemberToken(t.Context(), admin, ann.ID, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.Authenticate(t.Context(), secret)
	if err != nil || c.Subject != ann.Subject() || c.Has(resource.RoleOrgAdmin) || time.Until(c.Expires) > time.Hour {
		t.Errorf("the token is that of %+v, %v", c, err)
	}
	if _, err := s.Authenticate(t.Context(), first); err != nil {
		t.Errorf("the token from before: %v", err)
	}
	rows, _, err := s.PersonalTokens(t.Context(), annCaller, nil, page.Request{})
	if err != nil || len(rows) != 2 || rows[0].Creator != admin.Subject {
		t.Errorf("she sees %+v, %v", rows, err)
	}

	other, _, _ := add(t, s, admin, "bob", resource.RoleOrgMember)
	gone, _, _ := add(t, s, admin, "gone", resource.RoleOrgMember)
	if err := s.RemoveMember(t.Context(), admin, gone.ID); err != nil {
		t.Fatal(err)
	}
	if err := s.SuspendMember(t.Context(), admin, other.ID); err != nil {
		t.Fatal(err)
	}
	// Who manages members and is not the operator cannot become it.
	lesser := admin
	lesser.Standing = access.OfRole(resource.RoleOrgAdmin)
	for name, c := range map[string]struct {
		as       access.Caller
		whose    id.User
		validFor time.Duration
		code     fault.Code
		reason   fault.Reason
	}{
		"a member for another":  {annCaller, other.ID, 0, fault.PermissionDenied, fault.NotAllowed},
		"a member for an admin": {annCaller, id.User(admin.ID), 0, fault.PermissionDenied, fault.NotAllowed},
		"for the operator":      {lesser, id.User(admin.ID), 0, fault.PermissionDenied, fault.NotAllowed},
		"for who is suspended":  {admin, other.ID, 0, fault.FailedPrecondition, fault.SuspendedPrincipal},
		"for who has left":      {admin, gone.ID, 0, fault.FailedPrecondition, fault.ReasonImmutable},
		"for nobody":            {admin, id.User(id.New()), 0, fault.NotFound, fault.ReasonNotFound},
		"for too long":          {admin, ann.ID, 91 * 24 * time.Hour, fault.InvalidArgument, fault.InvalidField},
	} {
		if secret, err := s.CreateMemberToken(t.Context(), c.as, c.whose, c.validFor); secret != "" || !fault.Is(err, c.code) || !fault.HasReason(err, c.reason) {
			t.Errorf("%s: %v; want %v %s", name, err, c.code, c.reason)
		}
	}
	l := limit.Default()
	l.PersonalTokens = 2
	s.SetLimits(l)
	if _, err := s.CreateMemberToken(t.Context(), admin, ann.ID, 0); !fault.HasReason(err, fault.LimitReached) {
		t.Errorf("one more than there may be: %v", err)
	}
}
