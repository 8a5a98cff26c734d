package fleet_test

import (
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/identity"
	"github.com/musterhq/muster/internal/page"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/seal"
	"github.com/musterhq/muster/internal/store/sqlstore"
)

// fixture is a fleet on a real database, with one organization.
type fixture struct {
	*fleet.Service
	t      *testing.T
	store  *sqlstore.Store
	key    *seal.Key
	admin  access.Caller
	member access.Caller

	mu      sync.Mutex
	events  []event.Event
	told    []string // what the links were asked
	revoked []access.Subject
	// ended are the tokens that were revoked one by one.
	ended []id.Token
}

func (f *fixture) ConfigurationChanged(r id.Runner) { f.note("configuration " + string(r)) }
func (f *fixture) note(s string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.told = append(f.told, s)
}

// links adapts the fixture to fleet.Links.
type links struct{ *fixture }

func (l links) Delete(r id.Runner, _ time.Time) { l.note("delete " + string(r)) }
func (l links) Cut(r id.Runner, _ error)        { l.note("cut " + string(r)) }

func (f *fixture) Doubted(id.Token, access.Subject) {}

func (f *fixture) Revoked(t id.Token, s access.Subject) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if t != "" {
		f.ended = append(f.ended, t)
		return
	}
	f.revoked = append(f.revoked, s)
}

func (f *fixture) wasRevoked(t id.Token) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Contains(f.ended, t)
}

// takeEvents returns and forgets the events so far, as "op" of runner events.
func (f *fixture) takeEvents() []event.Operation {
	f.mu.Lock()
	defer f.mu.Unlock()
	var ops []event.Operation
	for _, e := range f.events {
		if e.Object.Type == resource.Runner {
			ops = append(ops, e.Operation)
		}
	}
	f.events = nil
	return ops
}

func (f *fixture) takeTold() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	told := f.told
	f.told = nil
	return told
}

func setup(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t: t}
	dir := t.TempDir()
	store, err := sqlstore.Open(t.Context(), sqlstore.Options{DataDir: dir, Logger: slog.New(slog.DiscardHandler), Publish: func(es []event.Event) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.events = append(f.events, es...)
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	f.store = store
	if f.key, err = seal.LoadKey(filepath.Join(dir, "secret-key")); err != nil {
		t.Fatal(err)
	}
	f.Service = fleet.New(fleet.Config{
		Store: store.Fleet(), Links: links{f}, Revoker: f, Key: f.key, Log: slog.New(slog.DiscardHandler), PublicURL: "https://muster.example",
		Sign: func(r id.Runner, person string) (string, error) { return "signed:" + string(r) + ":" + person, nil },
	})
	f.admin = f.person(f.organization(), resource.RoleOrgAdmin)
	f.member = f.person(f.admin.Organization, resource.RoleOrgMember)
	f.takeEvents()
	return f
}

func (f *fixture) organization() id.Organization {
	f.t.Helper()
	o := identity.Organization{ID: id.Organization(id.New()), Name: "o", CreatedAt: time.Now(), UpdatedAt: time.Now()}
	err := f.store.Identity().Write(f.t.Context(), func(tx identity.Tx) error { return tx.InsertOrganization(f.t.Context(), o) })
	if err != nil {
		f.t.Fatal(err)
	}
	return o.ID
}

func (f *fixture) person(o id.Organization, role resource.Role) access.Caller {
	f.t.Helper()
	u := identity.User{ID: id.User(id.New()), Organization: o, Name: "n", Role: role, Status: identity.StatusActive, CreatedAt: time.Now(), UpdatedAt: time.Now(), Revision: 1}
	u.Email = string(u.ID) + "@example.com"
	err := f.store.Identity().Write(f.t.Context(), func(tx identity.Tx) error { return tx.InsertUser(f.t.Context(), u) })
	if err != nil {
		f.t.Fatal(err)
	}
	return access.Caller{Subject: access.Subject{Principal: access.PrincipalUser, ID: string(u.ID)}, Organization: o, Standing: access.OfRole(role)}
}

func (f *fixture) create(change func(*fleet.NewRunner)) (fleet.Runner, string) {
	f.t.Helper()
	n := fleet.NewRunner{Name: "a runner", Provider: fleet.ProviderLinuxHost}
	if change != nil {
		change(&n)
	}
	r, exchange, err := f.Create(f.t.Context(), f.admin, n)
	if err != nil {
		f.t.Fatal(err)
	}
	return r, exchange
}

func (f *fixture) get(r id.Runner) *fleet.Runner {
	f.t.Helper()
	got, err := f.Get(f.t.Context(), f.admin, r)
	if err != nil {
		f.t.Fatal(err)
	}
	return &got
}

func (f *fixture) list(c access.Caller) []fleet.Runner {
	f.t.Helper()
	rows, _, err := f.List(f.t.Context(), c, fleet.Query{}, page.Request{Size: 100})
	if err != nil {
		f.t.Fatal(err)
	}
	return rows
}

// asRunner is the caller that a runner is.
func asRunner(r fleet.Runner) access.Caller {
	return access.Caller{Subject: access.Subject{Principal: access.PrincipalRunner, ID: string(r.ID)}, Organization: r.Organization}
}

const (
	bootOne = "0192bbbb-0000-7000-8000-000000000001"
	bootTwo = "0192bbbb-0000-7000-8000-000000000002"
)

func opening(boot string, key []byte) fleet.Opening {
	return fleet.Opening{Replica: "replica-1", BootID: boot, HostName: "host-" + boot[len(boot)-1:], PublicKey: key, Report: fleet.Report{Version: "1"}}
}

func (f *fixture) open(r fleet.Runner, o fleet.Opening) (epoch int64) {
	f.t.Helper()
	epoch, err := f.OpenSession(f.t.Context(), asRunner(r), o)
	if err != nil {
		f.t.Fatal(err)
	}
	return epoch
}

func newKey(t *testing.T) (public []byte, private *[32]byte) {
	t.Helper()
	pub, priv, err := seal.NewKeyPair()
	if err != nil {
		t.Fatal(err)
	}
	return pub[:], priv
}
