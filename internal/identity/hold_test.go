package identity_test

import (
	"context"
	"testing"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/resource"
)

// A stream that opens while somebody else's rights change is not refused; one
// whose own do is.
func TestAStreamThatOpensDuringAChange(t *testing.T) {
	s, admin := setup(t)
	_, ann, annSecret := add(t, s, admin, "ann", resource.RoleOrgMember)
	bob, _, _ := add(t, s, admin, "bob", resource.RoleOrgMember)
	open := func(change func()) error {
		t.Helper()
		c, err := s.Authenticate(t.Context(), annSecret)
		if err != nil {
			t.Fatal(err)
		}
		change()
		held, release := s.Hold(t.Context(), c)
		defer release()
		return context.Cause(held)
	}
	other := func() {
		if err := s.SetRole(t.Context(), admin, admin.Organization, bob.ID, resource.RoleOrgAdmin); err != nil {
			t.Fatal(err)
		}
		s.Revoked(id.Token(id.New()), access.Subject{})
	}
	if err := open(other); err != nil {
		t.Errorf("another's change: %v", err)
	}
	if err := open(func() { s.Revoked("", ann.Subject) }); !fault.Is(err, fault.Unavailable) {
		t.Errorf("its own change: %v", err)
	}
	if err := open(func() {
		for range 1000 {
			s.Revoked(id.Token(id.New()), access.Subject{})
		}
	}); !fault.Is(err, fault.Unavailable) {
		t.Errorf("more changes than are remembered: %v", err)
	}
}

// A member who leaves a group just after the group lost its role on a runner, and
// before that is told, had the sight and lost it: one of the two ends the stream.
func TestAStreamOfWhoLeavesWhileARoleIsTaken(t *testing.T) {
	s, admin := setup(t)
	_, _, annSecret := add(t, s, admin, "ann", resource.RoleOrgMember)
	_, _, bobSecret := add(t, s, admin, "bob", resource.RoleOrgMember)
	ann, err := s.Authenticate(t.Context(), annSecret)
	if err != nil {
		t.Fatal(err)
	}
	bob, err := s.Authenticate(t.Context(), bobSecret)
	if err != nil {
		t.Fatal(err)
	}
	g := id.Group(id.New())
	open := func(c access.Caller) context.Context {
		held, release := s.Hold(t.Context(), c)
		t.Cleanup(release)
		return held
	}
	ann.Groups = []id.Group{g}
	leaves, other := open(ann), open(bob)
	is := access.Object{Type: resource.Runner, ID: id.New(), Organization: ann.Organization}
	was := is
	was.Grants = []access.Grant{{Group: g, Role: resource.RoleRunnerUser}}

	done := s.Regranting(g)                     // in the transaction that takes the role
	s.Changed(t.Context(), ann.Subject, g, nil) // she left, and the group had no role
	if err := context.Cause(leaves); err != nil {
		t.Errorf("the end of a membership in a group without roles: %v", err)
	}
	done(was, is)
	if err := context.Cause(leaves); !fault.HasReason(err, fault.AccessChanged) {
		t.Errorf("who left: %v", err)
	}
	if err := context.Cause(other); err != nil {
		t.Errorf("who was no member: %v", err)
	}
}
