package app_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/app"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/identity"
	"github.com/musterhq/muster/internal/keyring"
	"github.com/musterhq/muster/internal/page"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/seal"
	"github.com/musterhq/muster/internal/store/pgtest"
	"github.com/musterhq/muster/internal/store/sqlstore"
)

// rotating is a fleet and a keyring on one database and one secret-key file.
type rotating struct {
	store *sqlstore.Store
	key   *seal.Key
	file  string
	held  heldStore
	fleet *fleet.Service
	keys  *keyring.Service
	admin access.Caller
}

// heldStore holds writes up once it is told to.
type heldStore struct {
	fleet.Store
	reached, goOn chan struct{} // nil holds nothing up
}

func (s *heldStore) Write(ctx context.Context, fn func(fleet.Tx) error) error {
	if s.reached == nil {
		return s.Store.Write(ctx, fn)
	}
	return s.Store.Write(ctx, func(tx fleet.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		close(s.reached)
		<-s.goOn
		return nil
	})
}

// quiet stands for the links of a fleet that nobody is connected to.
type quiet struct{}

func (quiet) ConfigurationChanged(id.Runner)         {}
func (quiet) Delete(id.Runner, time.Time)            {}
func (quiet) Cut(id.Runner, error)                   {}
func (quiet) Revoked(id.Token, access.Subject)       {}
func (quiet) Doubted(id.Token, access.Subject)       {}
func (quiet) sign(id.Runner, string) (string, error) { return "", nil }

func newRotating(t *testing.T, database string) *rotating {
	t.Helper()
	dir := t.TempDir()
	r := &rotating{file: filepath.Join(dir, "secret-key")}
	var err error
	if r.store, err = sqlstore.Open(t.Context(), sqlstore.Options{DataDir: dir, URL: database, Logger: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.store.Close() })
	if r.key, err = seal.LoadKey(r.file); err != nil {
		t.Fatal(err)
	}
	r.held.Store = r.store.Fleet()
	log := slog.New(slog.DiscardHandler)
	r.fleet = fleet.New(fleet.Config{Store: &r.held, Links: quiet{}, Revoker: quiet{}, Key: r.key, Log: log, Sign: quiet{}.sign})
	r.keys = keyring.New(keyring.Config{Store: r.store.Keyring(), Key: r.key, Log: log})
	o := identity.Organization{ID: id.Organization(id.New()), Name: "Acme", CreatedAt: time.Now(), UpdatedAt: time.Now()}
	if err := r.store.Identity().Write(t.Context(), func(tx identity.Tx) error { return tx.InsertOrganization(t.Context(), o) }); err != nil {
		t.Fatal(err)
	}
	r.admin = access.Caller{
		Subject: access.Subject{Principal: access.PrincipalUser, ID: id.New()}, Organization: o.ID,
		Standing: access.Standing{Grants: []access.Grant{{Role: resource.RoleOrgAdmin}, {Role: resource.RoleOperator}}},
	}
	return r
}

// secretive is a runner with a metrics password, and the key pair that it came
// with; nil when it has not connected.
type secretive struct {
	id              id.Runner
	password        string
	public, private *[seal.KeySize]byte
}

// live makes a runner, and changes and connects it, as n says.
func (r *rotating) live(ctx context.Context, n int) (secretive, error) {
	s := secretive{password: fmt.Sprintf("password %d", n)}
	made, _, err := r.fleet.Create(ctx, r.admin, fleet.NewRunner{
		Name: "r", Provider: fleet.ProviderLinuxHost, Configuration: fleet.Configuration{Metrics: &fleet.Metrics{URL: "u"}}, MetricsPassword: s.password,
	})
	if err != nil {
		return s, err
	}
	s.id = made.ID
	if n%3 != 0 {
		name := "renamed"
		change := fleet.Change{Name: &name}
		if n%3 == 1 {
			s.password += ", changed"
			change.Metrics = &fleet.MetricsChange{Password: &s.password}
		}
		if err := r.fleet.Update(ctx, r.admin, s.id, change); err != nil {
			return s, err
		}
	}
	if n%2 == 0 {
		return s, nil
	}
	if s.public, s.private, err = seal.NewKeyPair(); err != nil {
		return s, err
	}
	runner := access.Caller{Subject: access.Subject{Principal: access.PrincipalRunner, ID: string(s.id)}, Organization: r.admin.Organization}
	_, err = r.fleet.OpenSession(ctx, runner, fleet.Opening{Replica: "r", BootID: id.New(), HostName: "h", PublicKey: s.public[:]})
	return s, err
}

// readable fails unless the password of a runner can be read: by the runner if
// it was connected, and otherwise with the secret-key file alone.
func (r *rotating) readable(t *testing.T, file *seal.Key, s secretive) {
	t.Helper()
	got, err := r.fleet.Get(t.Context(), r.admin, s.id)
	if err != nil {
		t.Fatal(err)
	}
	name, stored := seal.Name("runner", string(s.id), "metrics.password"), got.Configuration.Metrics.Password
	var plain []byte
	if s.public != nil {
		plain, err = seal.Open(stored, s.public, s.private, name)
	} else {
		plain, err = file.Unwrap(stored, name)
	}
	if err != nil || string(plain) != s.password {
		t.Errorf("the password of runner %s is lost: %q, %v", s.id, plain, err)
	}
}

// TestRotationsLoseNothing rotates both kinds of keys over and over, while
// runners with passwords are made, changed and connected. What a process that
// starts afterwards finds must be readable, and signed by one key.
func TestRotationsLoseNothing(t *testing.T) {
	for engine, database := range map[string]func() string{"SQLite": func() string { return "" }, "PostgreSQL": func() string { return pgtest.URL(t) }} {
		t.Run(engine, func(t *testing.T) {
			r := newRotating(t, database())
			const workers, each = 6, 12
			runners := make([]secretive, workers*each)
			var left atomic.Int32
			left.Store(workers)
			var wg sync.WaitGroup
			for w := range workers {
				wg.Go(func() {
					defer left.Add(-1)
					for i := range each {
						n := w*each + i
						var err error
						if runners[n], err = r.live(t.Context(), n); err != nil {
							t.Error(err)
						}
						if _, _, err := r.keys.Ring(keyring.Logs).Sign(t.Context(), []byte("m")); err != nil {
							t.Error(err)
						}
					}
				})
			}
			rotations := 0
			for ; left.Load() > 0 || rotations < 3; rotations++ {
				if _, err := r.keys.RotateSecretKey(t.Context(), r.admin); err != nil {
					t.Error(err)
				}
				if _, err := r.keys.Rotate(t.Context(), r.admin); err != nil {
					t.Error(err)
				}
				runtime.Gosched()
			}
			wg.Wait()
			t.Logf("%d rotations", rotations)

			file, err := seal.LoadKey(r.file)
			if err != nil {
				t.Fatal(err)
			}
			if file.Older() != 0 {
				t.Errorf("the file has %d older keys", file.Older())
			}
			for _, s := range runners {
				r.readable(t, file, s)
			}
			restarted := keyring.New(keyring.Config{Store: r.store.Keyring(), Key: file, Log: slog.New(slog.DiscardHandler)})
			want, _, err := r.keys.Ring(keyring.Logs).Signing(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got, _, err := restarted.Ring(keyring.Logs).Signing(t.Context()); err != nil || got != want {
				t.Errorf("after the restart the key %s signs, before it %s: %v", got, want, err)
			}
		})
	}
}

// TestARotationWaitsForWhatIsBeingStored holds up a transaction that stores a
// secret under the old key: the old key must stay until it has committed.
func TestARotationWaitsForWhatIsBeingStored(t *testing.T) {
	password := "changed"
	for name, store := range map[string]func(context.Context, *rotating, id.Runner) error{
		"a new runner": func(ctx context.Context, r *rotating, _ id.Runner) error {
			_, _, err := r.fleet.Create(ctx, r.admin, fleet.NewRunner{
				Name: "r", Provider: fleet.ProviderLinuxHost, Configuration: fleet.Configuration{Metrics: &fleet.Metrics{URL: "u"}}, MetricsPassword: password,
			})
			return err
		},
		"a changed runner": func(ctx context.Context, r *rotating, want id.Runner) error {
			return r.fleet.Update(ctx, r.admin, want, fleet.Change{Metrics: &fleet.MetricsChange{Password: &password}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRotating(t, pgtest.URL(t)) // where transactions do not wait for each other
			before, err := r.live(t.Context(), 0)
			if err != nil {
				t.Fatal(err)
			}
			r.held.reached, r.held.goOn = make(chan struct{}), make(chan struct{})
			var stored, rotated atomic.Bool
			var wg sync.WaitGroup
			wg.Go(func() {
				if err := store(t.Context(), r, before.id); err != nil {
					t.Error(err)
				}
				stored.Store(true)
			})
			<-r.held.reached
			wg.Go(func() {
				if _, err := r.keys.RotateSecretKey(t.Context(), r.admin); err != nil {
					t.Error(err)
				}
				if !stored.Load() {
					t.Error("the rotation was done before the secret was stored")
				}
				rotated.Store(true)
			})
			for deadline := time.Now().Add(200 * time.Millisecond); !rotated.Load() && time.Now().Before(deadline); {
				runtime.Gosched()
			}
			close(r.held.goOn)
			wg.Wait()
			file, err := seal.LoadKey(r.file)
			if err != nil {
				t.Fatal(err)
			}
			runners, _, err := r.fleet.List(t.Context(), r.admin, fleet.Query{}, page.Request{})
			if err != nil {
				t.Fatal(err)
			}
			for _, got := range runners {
				if _, err := file.Unwrap(got.Configuration.Metrics.Password, seal.Name("runner", string(got.ID), "metrics.password")); err != nil {
					t.Errorf("a password is lost: %v", err)
				}
			}
		})
	}
}

// TestAnInterruptedRotationIsFinishedByTheNextStart gives a control plane a
// secret-key file with two keys.
func TestAnInterruptedRotationIsFinishedByTheNextStart(t *testing.T) {
	dir := t.TempDir()
	same := func(c *app.Config) { c.DataDir = dir }
	_, stop := start(t, same)
	stop()
	file := filepath.Join(dir, "secret-key")
	key, err := seal.LoadKey(file)
	if err != nil {
		t.Fatal(err)
	}
	a, err := key.Add()
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Commit(); err != nil {
		t.Fatal(err)
	}
	_, stop = start(t, same)
	deadline := time.Now().Add(30 * time.Second)
	for key.Older() > 0 && time.Now().Before(deadline) {
		if key, err = seal.LoadKey(file); err != nil {
			t.Fatal(err)
		}
		runtime.Gosched()
	}
	stop()
	if key.Older() > 0 {
		t.Error("the rotation is not finished")
	}
	start(t, same)
}
