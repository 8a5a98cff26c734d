package identity_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/identity"
	"github.com/musterhq/muster/internal/limit"
	"github.com/musterhq/muster/internal/page"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/token"
)

func TestATokenForAMember(t *testing.T) {
	s, admin := setup(t)
	ann, annCaller, first := add(t, s, admin, "ann", resource.RoleOrgMember)
	secret, _, err := s.CreateMemberToken(t.Context(), admin, ann.ID, time.Hour)
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
		if secret, _, err := s.CreateMemberToken(t.Context(), c.as, c.whose, c.validFor); secret != "" || !fault.Is(err, c.code) || !fault.HasReason(err, c.reason) {
			t.Errorf("%s: %v; want %v %s", name, err, c.code, c.reason)
		}
	}
	l := limit.Default()
	l.PersonalTokens = 2
	s.SetLimits(l)
	if _, _, err := s.CreateMemberToken(t.Context(), admin, ann.ID, 0); !fault.HasReason(err, fault.LimitReached) {
		t.Errorf("one more than there may be: %v", err)
	}
}

// A token that somebody made for a member works for as long as they may do so
// themselves, since they may have kept it.
func TestATokenForAMemberEndsWithItsMaker(t *testing.T) {
	s, admin := setup(t)
	opal, opalCaller, _ := add(t, s, admin, "opal", resource.RoleOrgAdmin)
	ann, annCaller, first := add(t, s, opalCaller, "ann", resource.RoleOrgMember)
	forAnn := func() string {
		t.Helper()
		secret, _, err := s.CreateMemberToken(t.Context(), opalCaller, ann.ID, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return secret
	}
	secret := forAnn()
	// open opens a stream and returns why it ended, if it has.
	open := func() func() error {
		t.Helper()
		c, err := s.Authenticate(t.Context(), secret)
		if err != nil {
			t.Fatal(err)
		}
		held, release := s.Hold(t.Context(), c)
		t.Cleanup(release)
		return func() error { return context.Cause(held) }
	}
	why := open()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	refused := func(what string, reason fault.Reason) {
		t.Helper()
		if _, err := s.Authenticate(t.Context(), secret); !fault.HasReason(err, reason) {
			t.Errorf("%s, the token: %v", what, err)
		}
		if err := why(); !fault.HasReason(err, reason) {
			t.Errorf("%s, the stream: %v", what, err)
		}
		if _, err := s.Authenticate(t.Context(), first); err != nil {
			t.Errorf("%s, what she was added with: %v", what, err)
		}
	}
	must(s.SuspendMember(t.Context(), admin, opal.ID))
	refused("suspended", fault.SuspendedPrincipal)
	must(s.ResumeMember(t.Context(), admin, opal.ID))
	why = open()
	if rows, _, err := s.PersonalTokens(t.Context(), annCaller, nil, page.Request{}); err != nil || len(rows) != 2 {
		t.Errorf("before: %v, %v", rows, err)
	}
	must(s.RemoveMember(t.Context(), admin, opal.ID))
	refused("removed", fault.UnknownToken)
	if rows, _, err := s.PersonalTokens(t.Context(), annCaller, nil, page.Request{}); err != nil || len(rows) != 1 {
		t.Errorf("afterwards: %v, %v", rows, err)
	}
}

// Nobody ends a person by what that person made for them, and stands there with
// nothing.
func TestNobodyEndsTheMakerOfTheirToken(t *testing.T) {
	s, admin := setup(t)
	opal, opalCaller, _ := add(t, s, admin, "opal", resource.RoleOrgAdmin)
	ida, _, _ := add(t, s, admin, "ida", resource.RoleOrgAdmin)
	secret, _, err := s.CreateMemberToken(t.Context(), opalCaller, ida.ID, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	by, err := s.Authenticate(t.Context(), secret)
	if err != nil {
		t.Fatal(err)
	}
	for what, end := range map[string]func(access.Caller) error{
		"suspend": func(c access.Caller) error { return s.SuspendMember(t.Context(), c, opal.ID) },
		"remove":  func(c access.Caller) error { return s.RemoveMember(t.Context(), c, opal.ID) },
	} {
		if err := end(by); !fault.Is(err, fault.PermissionDenied) || !strings.Contains(err.Error(), "pat create") {
			t.Errorf("%s: %v", what, err)
		}
	}
	own, _, err := s.CreatePersonalToken(t.Context(), by, identity.NewPersonalToken{User: ida.ID})
	if err != nil {
		t.Fatal(err)
	}
	if by, err = s.Authenticate(t.Context(), own); err != nil {
		t.Fatal(err)
	}
	if err := s.RemoveMember(t.Context(), by, opal.ID); err != nil {
		t.Error(err)
	}
	if _, err := s.Authenticate(t.Context(), own); err != nil {
		t.Errorf("her own: %v", err)
	}
}

// A service account makes no tokens for people, whatever it may do.
func TestAServiceAccountMakesNoTokenForAMember(t *testing.T) {
	s, admin := setup(t)
	ann, _, _ := add(t, s, admin, "ann", resource.RoleOrgMember)
	robot := admin
	robot.Subject = access.Subject{Principal: access.PrincipalServiceAccount, ID: id.New()}
	if secret, _, err := s.CreateMemberToken(t.Context(), robot, ann.ID, time.Hour); secret != "" || !fault.HasReason(err, fault.NotAllowed) {
		t.Errorf("got a token: %t, %v", secret != "", err)
	}
}

// A token that is not known is refused with advice for those who come with such a
// one.
func TestAnUnknownTokenIsAdvisedByItsKind(t *testing.T) {
	s, _ := setup(t)
	for kind, want := range map[token.Kind]string{
		token.Personal: "member token", token.Runner: "runner token", token.ServiceAccount: "service-account token create", token.ServiceAccountAccess: "service-account token create",
	} {
		secret, _ := token.New(kind)
		_, err := s.Authenticate(t.Context(), secret)
		if !fault.HasReason(err, fault.UnknownToken) || strings.Count(err.Error(), "\"muster ") != 1 || !strings.Contains(err.Error(), "\"muster "+want+"\"") {
			t.Errorf("%s: %v", kind, err)
		}
	}
}
