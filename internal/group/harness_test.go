package group_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/group"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/identity"
	"github.com/musterhq/muster/internal/page"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/serviceaccount"
	"github.com/musterhq/muster/internal/store/sqlstore"
)

// fixture is the groups on a real database, with one organization.
type fixture struct {
	*group.Service
	t          *testing.T
	store      *sqlstore.Store
	identities *identity.Service
	org        id.Organization
	admin      access.Caller

	mu      sync.Mutex
	events  []event.Event
	changed []string // what identity was told
}

// told is the real identity service, which notes what it is told.
type told struct {
	*identity.Service
	f *fixture
}

func (i told) Changed(ctx context.Context, subject access.Subject, g id.Group, left []access.Object) {
	i.Service.Changed(ctx, subject, g, left)
	i.f.mu.Lock()
	defer i.f.mu.Unlock()
	if subject.ID != "" {
		g = "" // which says more of what the subject has left
	}
	i.f.changed = append(i.f.changed, subject.ID+string(g))
}

func setup(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t: t}
	store, err := sqlstore.Open(t.Context(), sqlstore.Options{DataDir: t.TempDir(), Logger: slog.New(slog.DiscardHandler), Publish: func(es []event.Event) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.events = append(f.events, es...)
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	f.store = store
	f.identities = identity.New(store.Identity(), nil, slog.New(slog.DiscardHandler))
	f.Service = group.New(store.Groups(), told{f.identities, f})
	f.org = f.organization()
	f.admin = f.person("Admin", resource.RoleOrgAdmin)
	return f
}

func (f *fixture) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// refuses fails unless err has the code and, if one is given, the reason.
func (f *fixture) refuses(err error, code fault.Code, reason ...fault.Reason) {
	f.t.Helper()
	if !fault.Is(err, code) || len(reason) > 0 && !fault.HasReason(err, reason[0]) {
		f.t.Errorf("got %v, want code %d %v", err, code, reason)
	}
}

func (f *fixture) organization() id.Organization {
	f.t.Helper()
	o := identity.Organization{ID: id.Organization(id.New()), Name: "o", CreatedAt: time.Now(), UpdatedAt: time.Now()}
	f.must(f.store.Identity().Write(f.t.Context(), func(tx identity.Tx) error { return tx.InsertOrganization(f.t.Context(), o) }))
	return o.ID
}

func (f *fixture) person(name string, role resource.Role) access.Caller {
	f.t.Helper()
	return f.personIn(f.org, name, role)
}

func (f *fixture) personIn(o id.Organization, name string, role resource.Role) access.Caller {
	f.t.Helper()
	u := identity.User{ID: id.User(id.New()), Organization: o, Name: name, Role: role, Status: identity.StatusActive, CreatedAt: time.Now(), UpdatedAt: time.Now(), Revision: 1}
	u.Email = string(u.ID) + "@example.com"
	f.must(f.store.Identity().Write(f.t.Context(), func(tx identity.Tx) error { return tx.InsertUser(f.t.Context(), u) }))
	return access.Caller{Subject: access.Subject{Principal: access.PrincipalUser, ID: string(u.ID)}, Organization: o, Standing: access.OfRole(role)}
}

func (f *fixture) account(name string) access.Subject {
	f.t.Helper()
	a := serviceaccount.Account{ID: id.ServiceAccount(id.New()), Organization: f.org, Name: name, CreatedAt: time.Now(), UpdatedAt: time.Now(), ValidUntil: time.Now().Add(time.Hour), Revision: 1}
	f.must(f.store.ServiceAccounts().Write(f.t.Context(), func(tx serviceaccount.Tx) error { return tx.InsertServiceAccount(f.t.Context(), a) }))
	return access.Subject{Principal: access.PrincipalServiceAccount, ID: string(a.ID)}
}

// now is the caller as a fresh check of its token finds it.
func (f *fixture) now(c access.Caller) access.Caller {
	f.t.Helper()
	var err error
	c.Standing, err = f.identities.StandingOf(f.t.Context(), c.Organization, c.Subject)
	f.must(err)
	return c
}

func (f *fixture) runner(creator access.Subject) fleet.Runner {
	f.t.Helper()
	return f.runnerIn(f.org, creator)
}

func (f *fixture) runnerIn(o id.Organization, creator access.Subject) fleet.Runner {
	f.t.Helper()
	r := fleet.Runner{ID: id.Runner(id.New()), Organization: o, Name: "a runner", Kind: fleet.KindLocal, Provider: fleet.ProviderLinuxHost, Creator: creator, CreatedAt: time.Now(), Revision: 1}
	f.must(f.store.Fleet().Write(f.t.Context(), func(tx fleet.Tx) error { return tx.InsertRunner(f.t.Context(), r) }))
	return r
}

// read is a runner as the fleet reads it, from its cache if it is there.
func (f *fixture) read(r fleet.Runner) fleet.Runner {
	f.t.Helper()
	got, found, err := f.store.Fleet().Runner(f.t.Context(), r.ID)
	f.must(err)
	if !found {
		f.t.Fatal("the runner is gone")
	}
	return got
}

func (f *fixture) group(name string, members ...access.Subject) group.Group {
	f.t.Helper()
	g, err := f.Create(f.t.Context(), f.admin, f.org, name, "")
	f.must(err)
	for _, m := range members {
		_, err := f.AddMember(f.t.Context(), f.admin, g.ID, m)
		f.must(err)
	}
	return g
}

func (f *fixture) assign(g id.Group, t resource.Type, on string, role resource.Role) group.Assignment {
	f.t.Helper()
	a, err := f.Assign(f.t.Context(), f.admin, group.Assignment{Group: g, Type: t, Resource: on, Role: role})
	f.must(err)
	return a
}

// assignments are the roles that a caller sees.
func (f *fixture) assignments(c access.Caller, filter group.AssignmentFilter) []group.Assignment {
	f.t.Helper()
	rows, next, err := f.Assignments(f.t.Context(), c, filter, page.Request{Size: 100})
	f.must(err)
	if next != "" {
		f.t.Fatal("there is another page")
	}
	return rows
}

// takeEvents returns and forgets the events so far, as "operation type", sorted.
func (f *fixture) takeEvents() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var names []string
	for _, e := range f.events {
		op := map[event.Operation]string{event.Created: "+", event.Updated: "~", event.Deleted: "-"}[e.Operation]
		names = append(names, op+e.Object.Type.String())
	}
	f.events = nil
	slices.Sort(names)
	return strings.Join(names, " ")
}

// seen returns the ids in the events so far that a caller would get, of one type, and
// leaves them.
func (f *fixture) seen(c access.Caller, t resource.Type) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var ids []string
	for _, e := range f.events {
		if e.Object.Type == t && access.Sees(c, e.Object) {
			ids = append(ids, e.Object.ID)
		}
	}
	return ids
}

// takeChanged returns and forgets whom identity was told of.
func (f *fixture) takeChanged() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	changed := f.changed
	f.changed = nil
	return changed
}

func (f *fixture) wantEvents(want string) {
	f.t.Helper()
	if got := f.takeEvents(); got != want {
		f.t.Errorf("events\n%s, want\n%s", got, want)
	}
}

func (f *fixture) wantChanged(want ...string) {
	f.t.Helper()
	if got := f.takeChanged(); fmt.Sprint(got) != fmt.Sprint(want) {
		f.t.Errorf("identity was told of %v, want %v", got, want)
	}
}
