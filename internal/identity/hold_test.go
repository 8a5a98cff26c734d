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
