package retention_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/identity"
	"github.com/musterhq/muster/internal/page"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/retention"
	"github.com/musterhq/muster/internal/store/sqlstore"
	"github.com/musterhq/muster/internal/token"
)

// fixture is the service and a fleet on a real database, with one organization.
type fixture struct {
	*retention.Service
	t     *testing.T
	store *sqlstore.Store
	fleet *fleet.Service
	org   id.Organization
	admin access.Caller

	mu      sync.Mutex
	events  []event.Event
	revoked []string // runners
	cut     []string // runners
	// beforeExpire is called before a runner is removed.
	beforeExpire func(id.Runner)
}

func (f *fixture) ConfigurationChanged(id.Runner) {}
func (f *fixture) Delete(id.Runner, time.Time)    {}

func (f *fixture) Cut(r id.Runner, _ error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cut = append(f.cut, string(r))
}

func (f *fixture) Doubted(id.Token, access.Subject) {}

func (f *fixture) Revoked(_ id.Token, s access.Subject) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.revoked = append(f.revoked, s.ID)
}

// Expire is that of the fleet, after beforeExpire.
func (f *fixture) Expire(ctx context.Context, r id.Runner, stale func(*fleet.Runner) bool) (bool, error) {
	if f.beforeExpire != nil {
		f.beforeExpire(r)
	}
	return f.fleet.Expire(ctx, r, stale)
}

func setup(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t: t, org: id.Organization(id.New())}
	quiet := slog.New(slog.DiscardHandler)
	store, err := sqlstore.Open(t.Context(), sqlstore.Options{DataDir: t.TempDir(), Logger: quiet, Publish: func(es []event.Event) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.events = append(f.events, es...)
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	f.store = store
	f.fleet = fleet.New(fleet.Config{Store: store.Fleet(), Links: f, Revoker: f, Log: quiet})
	f.Service = retention.New(store.Retention(), f, func() (time.Time, bool) { return time.Now(), true }, quiet)
	f.must(store.Identity().Write(t.Context(), func(tx identity.Tx) error {
		return tx.InsertOrganization(t.Context(), identity.Organization{ID: f.org, Name: "o", CreatedAt: time.Now(), UpdatedAt: time.Now()})
	}))
	f.admin = access.Caller{Subject: access.Subject{Principal: access.PrincipalUser, ID: id.New()}, Organization: f.org, Standing: access.OfRole(resource.RoleOrgAdmin)}
	return f
}

func (f *fixture) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// add stores a runner that was created at a time.
func (f *fixture) add(name string, created time.Time, change func(*fleet.Runner)) id.Runner {
	f.t.Helper()
	r := fleet.Runner{
		ID: id.Runner(id.New()), Organization: f.org, Name: name, Kind: fleet.KindRemote, Provider: fleet.ProviderGCP,
		CreatedAt: created, UpdatedAt: created, StatusAt: created, Revision: 1,
	}
	if change != nil {
		change(&r)
	}
	f.must(f.store.Fleet().Write(f.t.Context(), func(tx fleet.Tx) error { return tx.InsertRunner(f.t.Context(), r) }))
	return r.ID
}

// connect opens a session; it has ended when that is a time.
func (f *fixture) connect(r id.Runner, ended time.Time) {
	f.t.Helper()
	f.must(f.store.Fleet().Write(f.t.Context(), func(tx fleet.Tx) error {
		_, _, err := tx.OpenSession(f.t.Context(), fleet.Session{Runner: r, Replica: "r", OpenedAt: time.Now(), EndedAt: ended})
		return err
	}))
}

// names are those of all runners that are left, in the order of their making.
func (f *fixture) names() []string {
	f.t.Helper()
	rows, _, err := f.fleet.List(f.t.Context(), f.admin, fleet.Query{}, page.Request{Size: 100})
	f.must(err)
	var names []string
	for _, r := range rows {
		names = append(names, r.Name)
	}
	return names
}

// start runs the worker until the test ends.
func (f *fixture) start() (stop func()) {
	ctx, cancel := context.WithCancel(f.t.Context())
	done := make(chan struct{})
	go func() { f.Run(ctx); close(done) }()
	return func() { cancel(); <-done }
}

const day = 24 * time.Hour

func TestStaleRunnersGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setup(t)
		start := time.Now()
		f.add("never", start.Add(-9*day), nil)
		f.add("of the system", start.Add(-9*day), func(r *fleet.Runner) { r.Kind = fleet.KindLocalConfiguration })
		f.add("on its way", start.Add(-9*day), func(r *fleet.Runner) { r.DeletingAt = start })
		f.add("young", start.Add(-7*day+time.Hour), nil)
		f.connect(f.add("away", start.Add(-90*day), nil), start.Add(-31*day))
		f.connect(f.add("away for less", start.Add(-90*day), nil), start.Add(-30*day+3*time.Hour))
		f.connect(f.add("connected", start.Add(-90*day), nil), time.Time{})
		all := []string{"away", "away for less", "connected", "never", "of the system", "on its way", "young"}
		want := func(gone ...string) {
			t.Helper()
			synctest.Wait()
			got := f.names()
			slices.Sort(got)
			left := slices.DeleteFunc(slices.Clone(all), func(n string) bool { return slices.Contains(gone, n) })
			if diff := cmp.Diff(left, got); diff != "" {
				t.Errorf("after %v: %s", time.Since(start), diff)
			}
		}
		stop := f.start()
		defer stop()
		time.Sleep(3 * time.Hour)
		want() // nothing is removed without a policy
		f.must(f.SetPolicy(t.Context(), f.admin, retention.Policy{NeverConnectedDays: 7, OfflineDays: 30}))
		time.Sleep(time.Hour)
		want("away", "away for less", "never", "young") // within an hour, with what grew old meanwhile
		f.mu.Lock()
		defer f.mu.Unlock()
		if len(f.revoked) != 4 || len(f.cut) != 4 {
			t.Errorf("%d runners' tokens were revoked, %d links cut; want 4", len(f.revoked), len(f.cut))
		}
		deleted := 0
		for _, e := range f.events {
			if e.Operation == event.Deleted && e.Object.Type == resource.Runner {
				deleted++
			}
		}
		if deleted != 4 {
			t.Errorf("%d deletions were published, want 4", deleted)
		}
	})
}

// The first round is soon after the start.
func TestFirstRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setup(t)
		f.add("never", time.Now().Add(-9*day), nil)
		f.must(f.SetPolicy(t.Context(), f.admin, retention.Policy{NeverConnectedDays: 7}))
		stop := f.start()
		defer stop()
		time.Sleep(time.Minute)
		synctest.Wait()
		if left := f.names(); len(left) != 1 {
			t.Errorf("after a minute %v are left", left)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if left := f.names(); len(left) != 0 {
			t.Errorf("after two minutes %v are left", left)
		}
	})
}

// A runner that connects after it was found stale is kept.
func TestARunnerThatComesBackInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setup(t)
		start := time.Now()
		f.add("never", start.Add(-9*day), nil)
		f.connect(f.add("away", start.Add(-90*day), nil), start.Add(-31*day))
		f.connect(f.add("lost", start.Add(-90*day), nil), start.Add(-31*day))
		f.must(f.SetPolicy(t.Context(), f.admin, retention.Policy{NeverConnectedDays: 7, OfflineDays: 30}))
		seen := 0
		f.beforeExpire = func(r id.Runner) {
			seen++
			got, err := f.fleet.Get(t.Context(), f.admin, r)
			f.must(err)
			if got.Name != "lost" {
				f.connect(r, time.Time{})
			}
		}
		stop := f.start()
		defer stop()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		left := f.names()
		slices.Sort(left)
		if diff := cmp.Diff([]string{"away", "never"}, left); diff != "" || seen != 3 {
			t.Errorf("%d were found stale; left are %s", seen, diff)
		}
	})
}

// More than a page goes in one round, past runners that cannot be removed.
func TestManyStaleRunners(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setup(t)
		start := time.Now().Add(-9 * day)
		for n := range 250 {
			f.add(fmt.Sprintf("r%03d", n), start.Add(time.Duration(n)*time.Second), nil)
		}
		f.must(f.SetPolicy(t.Context(), f.admin, retention.Policy{NeverConnectedDays: 7}))
		f.beforeExpire = func(r id.Runner) {
			if got, err := f.fleet.Get(t.Context(), f.admin, r); err != nil || got.Name == "r000" || got.Name == "r150" {
				f.connect(r, time.Time{})
			}
		}
		stop := f.start()
		defer stop()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if diff := cmp.Diff([]string{"r000", "r150"}, f.names()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestExpiredTokensGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setup(t)
		r := f.add("a runner", time.Now(), nil)
		subject := access.Subject{Principal: access.PrincipalRunner, ID: string(r)}
		add := func(k token.Kind, lives time.Duration, count int) (hash []byte) {
			f.must(f.store.Fleet().Write(t.Context(), func(tx fleet.Tx) error {
				for range count {
					_, hash = token.New(k)
					f.must(tx.InsertToken(t.Context(), token.Record{
						ID: id.Token(id.New()), Organization: f.org, Kind: k, Hash: hash, Subject: subject, CreatedAt: time.Now(), ExpiresAt: time.Now().Add(lives),
					}))
				}
				return nil
			}))
			return hash
		}
		exchange := add(token.Exchange, token.ExchangeLifetime, 1200) // more than two batches
		long := add(token.Runner, -27*day, 1)
		there := func(hash []byte) bool {
			synctest.Wait()
			_, ok, err := f.store.Identity().Credential(t.Context(), hash)
			f.must(err)
			return ok
		}
		stop := f.start()
		defer stop()
		time.Sleep(2 * day)
		if !there(exchange) {
			t.Error("the exchange token went within a day of its end")
		}
		time.Sleep(2 * time.Hour)
		if there(exchange) || !there(long) {
			t.Error("an exchange token goes a day after its end, a runner token does not")
		}
		if n, err := f.left(); n != 1 || err != nil {
			t.Errorf("%d tokens are left, %v", n, err)
		}
		if n := len(f.entries("runner.token.expire")); n != 1200 {
			t.Errorf("1200 tokens were removed, with %d entries", n)
		}
		time.Sleep(day)
		if there(long) {
			t.Error("the runner token is there 30 days after its end")
		}
	})
}

// left counts the tokens that a last batch would find, whatever their age.
func (f *fixture) left() (n int, err error) {
	far := time.Now().Add(1000 * day)
	err = f.store.Retention().Write(f.t.Context(), func(tx retention.Tx) error {
		rows, err := tx.DeleteExpiredTokens(f.t.Context(), far, far, 5000)
		if err != nil {
			return err
		}
		n = len(rows)
		return errCounted
	})
	if errors.Is(err, errCounted) {
		err = nil
	}
	return n, err
}

var errCounted = fault.New(fault.Aborted, fault.Conflict, "Counted, and taken back.")

func TestPreviewRemovesNothing(t *testing.T) {
	f := setup(t)
	now := time.Now()
	never := f.add("never", now.Add(-9*day), nil)
	away := f.add("away", now.Add(-90*day), nil)
	f.connect(away, now.Add(-31*day))
	f.add("young", now, nil)
	preview := func(p *retention.Policy, r page.Request) retention.Preview {
		t.Helper()
		got, err := f.Preview(t.Context(), f.admin, p, r)
		f.must(err)
		return got
	}
	if got := preview(nil, page.Request{}); len(got.Runners) != 0 || got.AuditEntries != 0 {
		t.Errorf("without a policy it is %+v", got)
	}
	both := &retention.Policy{NeverConnectedDays: 7, OfflineDays: 30, AuditDays: 30}
	first := preview(both, page.Request{Size: 1})
	second := preview(both, page.Request{Size: 1, Token: first.Next})
	if len(first.Runners) != 1 || first.Runners[0].ID != away || first.Runners[0].Phase != fleet.PhaseInactive || !first.Runners[0].Since.Equal(now.Add(-31*day).Truncate(time.Microsecond)) ||
		len(second.Runners) != 1 || second.Runners[0].ID != never || second.Runners[0].Phase != fleet.PhaseCreated || second.Next != "" {
		t.Errorf("the pages are %+v and %+v", first, second)
	}
	other := *both
	other.OfflineDays = 29
	if _, err := f.Preview(t.Context(), f.admin, &other, page.Request{Token: first.Next}); !fault.HasReason(err, fault.InvalidPageToken) {
		t.Errorf("the token of another policy: %v", err)
	}
	f.must(f.SetPolicy(t.Context(), f.admin, retention.Policy{NeverConnectedDays: 7}))
	if got := preview(nil, page.Request{}); len(got.Runners) != 1 || got.Runners[0].ID != never {
		t.Errorf("the policy in force removes %+v", got.Runners)
	}
	if left := f.names(); len(left) != 3 {
		t.Errorf("left are %v", left)
	}
}

func TestPolicies(t *testing.T) {
	f := setup(t)
	ctx := t.Context()
	want := retention.Policy{NeverConnectedDays: 1, OfflineDays: 2, AuditDays: retention.MaxDays}
	f.must(f.SetPolicy(ctx, f.admin, want))
	for _, bad := range []retention.Policy{{NeverConnectedDays: -1}, {OfflineDays: retention.MaxDays + 1}, {AuditDays: -1}, {AuditDays: 1}, {AuditDays: 29}} {
		if err := f.SetPolicy(ctx, f.admin, bad); !fault.Is(err, fault.InvalidArgument) {
			t.Errorf("%+v: %v", bad, err)
		}
		if _, err := f.Preview(ctx, f.admin, &bad, page.Request{}); !fault.Is(err, fault.InvalidArgument) {
			t.Errorf("a preview of %+v: %v", bad, err)
		}
	}
	if _, err := f.Preview(ctx, f.admin, &retention.Policy{AuditDays: retention.MinAuditDays}, page.Request{}); err != nil {
		t.Errorf("the shortest time for audit entries: %v", err)
	}
	member := f.admin
	member.Standing = access.OfRole(resource.RoleOrgMember)
	if got, err := f.Policy(ctx, member); got != want || err != nil {
		t.Errorf("a member reads %+v, %v", got, err)
	}
	if err := f.SetPolicy(ctx, member, want); !fault.Is(err, fault.PermissionDenied) {
		t.Errorf("a member sets: %v", err)
	}
	if _, err := f.Preview(ctx, member, nil, page.Request{}); !fault.Is(err, fault.PermissionDenied) {
		t.Errorf("a member previews: %v", err)
	}
}
