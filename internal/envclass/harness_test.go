package envclass_test

import (
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/envclass"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/group"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/identity"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/runnerschema"
	"github.com/musterhq/muster/internal/store/sqlstore"
)

// fixture is the classes of a real database, with one organization.
type fixture struct {
	*envclass.Service
	t     *testing.T
	store *sqlstore.Store
	org   id.Organization
	// admin is one of the organization, stranger one of another.
	admin, member, stranger access.Caller

	mu     sync.Mutex
	events []event.Event
}

// schemas are those that runners have, by what fleet.Runner.Schema holds.
var schemas = map[string]runnerschema.Schema{
	"": {},
	"strict": {Classes: []runnerschema.Field{
		{ID: "cpu", Required: true, Type: runnerschema.Int{Min: 1, Max: 8}},
		{ID: "zone", Type: runnerschema.Enum{Values: []string{"a", "b"}}},
	}},
}

func parse(stored []byte) (runnerschema.Schema, error) {
	s, ok := schemas[string(stored)]
	if !ok {
		return s, errors.New("no such schema")
	}
	return s, nil
}

func setup(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t: t}
	var err error
	f.store, err = sqlstore.Open(t.Context(), sqlstore.Options{DataDir: t.TempDir(), Logger: slog.New(slog.DiscardHandler), Publish: func(es []event.Event) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.events = append(f.events, es...)
	}})
	must(t, err)
	t.Cleanup(func() { _ = f.store.Close() })
	f.Service = envclass.New(f.store.EnvClass(), parse)
	f.org = f.organization()
	f.admin = caller(f.org, resource.RoleOrgAdmin)
	f.member = caller(f.org, resource.RoleOrgMember)
	f.stranger = caller(f.organization(), resource.RoleOrgAdmin)
	return f
}

func (f *fixture) organization() id.Organization {
	f.t.Helper()
	o := identity.Organization{ID: id.Organization(id.New()), Name: "o", CreatedAt: time.Now(), UpdatedAt: time.Now()}
	must(f.t, f.store.Identity().Write(f.t.Context(), func(tx identity.Tx) error { return tx.InsertOrganization(f.t.Context(), o) }))
	return o.ID
}

func caller(o id.Organization, role resource.Role) access.Caller {
	return access.Caller{Subject: access.Subject{Principal: access.PrincipalUser, ID: id.New()}, Organization: o, Standing: access.OfRole(role)}
}

// runner adds a runner of the admin's.
func (f *fixture) runner(schema string, change ...func(*fleet.Runner)) fleet.Runner {
	f.t.Helper()
	r := fleet.Runner{
		ID: id.Runner(id.New()), Organization: f.org, Name: "lab", Kind: fleet.KindRemote, Provider: fleet.ProviderGCP, Creator: f.admin.Subject,
		Schema: []byte(schema), CreatedAt: time.Now(), UpdatedAt: time.Now(), Revision: 1,
	}
	for _, c := range change {
		c(&r)
	}
	must(f.t, f.store.Fleet().Write(f.t.Context(), func(tx fleet.Tx) error { return tx.InsertRunner(f.t.Context(), r) }))
	return r
}

// grant puts a caller into a new group that has a role on a runner.
func (f *fixture) grant(c *access.Caller, r id.Runner, role resource.Role) {
	f.t.Helper()
	g := group.Group{ID: id.Group(id.New()), Organization: f.org, Revision: 1}
	g.Name = string(g.ID)
	must(f.t, f.store.Groups().Write(f.t.Context(), func(tx group.Tx) error {
		if err := tx.InsertGroup(f.t.Context(), g); err != nil {
			return err
		}
		if err := tx.InsertMembership(f.t.Context(), group.Membership{
			ID: id.New(), Organization: f.org, Group: g.ID, Subject: c.Subject, CreatedAt: time.Now(),
		}); err != nil {
			return err
		}
		return tx.InsertAssignment(f.t.Context(), group.Assignment{
			ID: id.New(), Organization: f.org, Group: g.ID, Type: resource.Runner, Resource: string(r), Role: role, CreatedAt: time.Now(), Revision: 1,
		})
	}))
	c.Groups = append(c.Groups, g.ID)
}

func (f *fixture) create(r id.Runner, name string, values ...runnerschema.Value) string {
	f.t.Helper()
	class, err := f.Create(f.t.Context(), f.admin, r, envclass.Draft{DisplayName: name, Description: "a class", Configuration: values})
	must(f.t, err)
	return class
}

// takeEvents returns and forgets the events so far.
func (f *fixture) takeEvents() []event.Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	events := f.events
	f.events = nil
	return events
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
