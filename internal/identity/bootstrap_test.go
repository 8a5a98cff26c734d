package identity_test

import (
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/identity"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/store/sqlstore"
)

// All that the first start makes is told of.
func TestBootstrapTellsOfAllThatItMakes(t *testing.T) {
	var mu sync.Mutex
	var made []string
	store, err := sqlstore.Open(t.Context(), sqlstore.Options{DataDir: t.TempDir(), Logger: slog.New(slog.DiscardHandler), Publish: func(es []event.Event) {
		mu.Lock()
		defer mu.Unlock()
		for _, e := range es {
			made = append(made, e.Object.Type.String())
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close() //nolint:errcheck // what is read is enough
	if _, err := service(store).Bootstrap(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	want := []string{resource.Organization.String(), resource.PersonalAccessToken.String(), resource.User.String()}
	if !slices.Equal(made, want) {
		t.Errorf("told of %v, want %v", made, want)
	}
}

// Who operates the installation does not depend on what a clock said.
func TestTheOperatorIsTheFirstOrganizationWhateverTheClock(t *testing.T) {
	store := openStore(t, t.TempDir())
	s := service(store)
	secret, err := s.Bootstrap(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	older := identity.Organization{ID: id.Organization(id.New()), Name: "Older", CreatedAt: time.Unix(1, 0), UpdatedAt: time.Unix(1, 0)}
	admin := identity.User{ID: id.User(id.New()), Organization: older.ID, Role: resource.RoleOrgAdmin, Status: identity.StatusActive, Revision: 1}
	err = store.Identity().Write(t.Context(), func(tx identity.Tx) error {
		if err := tx.InsertOrganization(t.Context(), older); err != nil {
			return err
		}
		return tx.InsertUser(t.Context(), admin)
	})
	if err != nil {
		t.Fatal(err)
	}
	first, err := s.Authenticate(t.Context(), secret)
	if err != nil || !first.Has(resource.RoleOperator) {
		t.Errorf("the first admin is %+v, %v", first.Standing, err)
	}
	if st, err := s.StandingOf(t.Context(), older.ID, admin.Subject()); err != nil || st.Has(resource.RoleOperator) || !st.Has(resource.RoleOrgAdmin) {
		t.Errorf("the admin of the older organization is %+v, %v", st, err)
	}
	if o, err := s.FindOrganization(t.Context(), ""); err != nil || o.ID != first.Organization {
		t.Errorf("found %+v, %v", o, err)
	}
}
