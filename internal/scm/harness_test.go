package scm_test

import (
	"database/sql"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/hosttoken"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/identity"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/runnerschema"
	"github.com/musterhq/muster/internal/scm"
	"github.com/musterhq/muster/internal/seal"
	"github.com/musterhq/muster/internal/store/sqlstore"
)

// fixture is the service on a real database, with one runner that has a key and
// one that has none.
type fixture struct {
	*scm.Service
	t       *testing.T
	dir     string
	store   *sqlstore.Store
	admin   access.Caller
	member  access.Caller // in no group
	runner  fleet.Runner
	keyless fleet.Runner
	private *[seal.KeySize]byte
	schema  runnerschema.Schema // of every runner

	mu     sync.Mutex
	events []event.Event
	told   []string // the secrets that runners were told of
}

func (f *fixture) SecretsChanged(_ id.Runner, names ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.told = append(f.told, names...)
}

// take returns and forgets the events so far, as "TYPE OPERATION", and the names
// of secrets.
func (f *fixture) take() (events, told []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	names := map[event.Operation]string{event.Created: "created", event.Updated: "updated", event.Deleted: "deleted"}
	for _, e := range f.events {
		events = append(events, e.Object.Type.String()+" "+names[e.Operation])
	}
	slices.Sort(events)
	told = f.told
	slices.Sort(told)
	f.events, f.told = nil, nil
	return events, told
}

func setup(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t: t, dir: t.TempDir()}
	store, err := sqlstore.Open(t.Context(), sqlstore.Options{DataDir: f.dir, Logger: slog.New(slog.DiscardHandler), Publish: func(es []event.Event) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.events = append(f.events, es...)
	}})
	f.must(err)
	t.Cleanup(func() { _ = store.Close() })
	f.store = store
	f.Service = scm.New(store.SCM(), f, func([]byte) (runnerschema.Schema, error) { return f.schema, nil })
	f.admin = f.person(f.organization(), resource.RoleOrgAdmin)
	f.member = f.person(f.admin.Organization, resource.RoleOrgMember)
	public, private, err := seal.NewKeyPair()
	f.must(err)
	f.private = private
	f.runner, f.keyless = f.addRunner(public[:]), f.addRunner(nil)
	f.take()
	return f
}

func (f *fixture) organization() id.Organization {
	f.t.Helper()
	o := identity.Organization{ID: id.Organization(id.New()), Name: "o", CreatedAt: time.Now(), UpdatedAt: time.Now()}
	f.must(f.store.Identity().Write(f.t.Context(), func(tx identity.Tx) error { return tx.InsertOrganization(f.t.Context(), o) }))
	return o.ID
}

func (f *fixture) person(o id.Organization, role resource.Role) access.Caller {
	f.t.Helper()
	u := identity.User{ID: id.User(id.New()), Organization: o, Name: "n", Role: role, Status: identity.StatusActive, CreatedAt: time.Now(), UpdatedAt: time.Now(), Revision: 1}
	u.Email = string(u.ID) + "@example.com"
	f.must(f.store.Identity().Write(f.t.Context(), func(tx identity.Tx) error { return tx.InsertUser(f.t.Context(), u) }))
	return access.Caller{Subject: access.Subject{Principal: access.PrincipalUser, ID: string(u.ID)}, Organization: o, Standing: access.OfRole(role)}
}

func (f *fixture) addRunner(key []byte) fleet.Runner {
	f.t.Helper()
	r := fleet.Runner{
		ID: id.Runner(id.New()), Organization: f.admin.Organization, Name: "a runner", Kind: fleet.KindLocal, Provider: fleet.ProviderLinuxHost,
		Creator: f.admin.Subject, PublicKey: key, CreatedAt: time.Now(), UpdatedAt: time.Now(), Revision: 1,
	}
	f.must(f.store.Fleet().Write(f.t.Context(), func(tx fleet.Tx) error { return tx.InsertRunner(f.t.Context(), r) }))
	return r
}

// grant gives a person a role on a runner, through a group.
func (f *fixture) grant(c access.Caller, r fleet.Runner, role resource.Role) access.Caller {
	f.t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(f.dir, "muster.db")+"?_pragma=busy_timeout(5000)")
	f.must(err)
	defer db.Close() //nolint:errcheck // the rows are in
	group := id.New()
	_, err = db.ExecContext(f.t.Context(), `INSERT INTO groups (id, organization_id, name, description, direct_principal, direct_id, created_at, updated_at, revision, name_lower)
		VALUES ($1, $2, $1, '', 0, '', 1, 1, 1, $1)`, group, string(c.Organization))
	f.must(err)
	_, err = db.ExecContext(f.t.Context(), `INSERT INTO role_assignments (id, organization_id, group_id, resource_type, resource_id, resource_role, slot, created_at, revision, runner_id, runner_created_at)
		VALUES ($1, $2, $3, 2, $4, $5, $5, 1, 1, $4, 1)`, id.New(), string(c.Organization), group, string(r.ID), int(role))
	f.must(err)
	c.Groups = append(slices.Clone(c.Groups), id.Group(group))
	slices.Sort(c.Groups)
	return c
}

func (f *fixture) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// gitHub is an integration with both ways to sign in.
func (f *fixture) gitHub() scm.NewIntegration {
	return scm.NewIntegration{Runner: f.runner.ID, SCMID: "github", Host: "GitHub.com", PAT: true, OAuthClientID: "client", OAuthClientSecret: secret}
}

const secret = "the-planted-client-secret"

func (f *fixture) create(n scm.NewIntegration) scm.Integration {
	f.t.Helper()
	i, err := f.Create(f.t.Context(), f.admin, n)
	f.must(err)
	return i
}

func (f *fixture) get(integration string) scm.Integration {
	f.t.Helper()
	i, err := f.Get(f.t.Context(), f.admin, integration)
	f.must(err)
	return i
}

// open opens the client secret as the runner does.
func (f *fixture) open(i scm.Integration) string {
	f.t.Helper()
	plain, err := seal.Open(i.OAuthClientSecret, (*[seal.KeySize]byte)(f.runner.PublicKey), f.private, "scm_integration/"+i.ID+"/client_secret")
	f.must(err)
	return string(plain)
}

// hostToken stores a credential, of another person each time.
func (f *fixture) hostToken(r fleet.Runner, host string, source hosttoken.Source) string {
	f.t.Helper()
	c := f.person(f.admin.Organization, resource.RoleOrgAdmin)
	t, err := hosttoken.New(f.store.HostTokens(), f).Create(f.t.Context(), c, hosttoken.NewToken{Runner: r.ID, Host: host, Value: "v", Source: source})
	f.must(err)
	return t.ID
}

// hostTokens are the credentials that there are.
func (f *fixture) hostTokens() map[string]bool {
	f.t.Helper()
	rows, err := f.store.HostTokens().HostTokens(f.t.Context(), hosttoken.Query{Organization: f.admin.Organization, Reach: hosttoken.Reach{All: true}, Page: firstPage(f.t)})
	f.must(err)
	there := map[string]bool{}
	for _, t := range rows {
		there[t.ID] = true
	}
	return there
}
