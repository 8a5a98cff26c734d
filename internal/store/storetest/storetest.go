// Package storetest is the contract of the store, as tests. Every engine runs
// all of it.
package storetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/audit"
	"github.com/musterhq/muster/internal/auditlog"
	"github.com/musterhq/muster/internal/codehost"
	"github.com/musterhq/muster/internal/confirmed"
	"github.com/musterhq/muster/internal/departure"
	"github.com/musterhq/muster/internal/envclass"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/group"
	"github.com/musterhq/muster/internal/hosttoken"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/identity"
	"github.com/musterhq/muster/internal/keyring"
	"github.com/musterhq/muster/internal/lease"
	"github.com/musterhq/muster/internal/llm"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/retention"
	"github.com/musterhq/muster/internal/scm"
	"github.com/musterhq/muster/internal/sealed"
	"github.com/musterhq/muster/internal/serviceaccount"
	"github.com/musterhq/muster/internal/signin"
	"github.com/musterhq/muster/internal/token"
)

// Store is what is tested.
type Store interface {
	Identity() identity.Store
	Fleet() fleet.Store
	Groups() group.Store
	SCM() scm.Store
	HostTokens() hosttoken.Store
	CodeHosts() codehost.Store
	SignIn() signin.Store
	Sealed() sealed.Store
	Lease() lease.Store
	AuditLog() auditlog.Store
	EnvClass() envclass.Store
	LLM() llm.Store
	Retention() retention.Store
	ServiceAccounts() serviceaccount.Store
	Keyring() keyring.Store
	Confirmed() confirmed.Store
	Departures() departure.Store
	Installation(ctx context.Context, id string) (string, error)
	Close() error
}

// Database is a database that starts empty.
type Database interface {
	// Open opens it, for the first time or again.
	Open(t *testing.T, publish func([]event.Event)) Store
	// AuditEntries reads the audit log of an organization, oldest first, past the
	// store.
	AuditEntries(t *testing.T, o id.Organization) []audit.Entry
	// Touched returns a function that counts the rows that were inserted, changed
	// and deleted since it was called last.
	Touched(t *testing.T) func() int64
	// Count answers a query for one number past the store.
	Count(t *testing.T, query string) int64
	// Exec runs a statement past the store.
	Exec(t *testing.T, statement string, args ...any)
}

// Run tests an engine. fresh makes an empty database that lasts as long as t.
func Run(t *testing.T, fresh func(t *testing.T) Database) {
	for _, group := range []struct {
		name  string
		tests map[string]func(*testing.T, *world)
	}{
		{"Organizations", organizationTests()},
		{"Users", userTests()},
		{"UserLists", userListTests()},
		{"Tokens", tokenTests()},
		{"Runners", runnerTests()},
		{"RunnerLists", runnerListTests()},
		{"Paging", pagingTests()},
		{"EnvironmentClasses", classTests()},
		{"LLM", llmTests()},
		{"Retention", retentionTests()},
		{"ServiceAccounts", serviceAccountTests()},
		{"RunnerKeys", runnerKeyTests()},
		{"Sealed", sealedTests()},
		{"Sessions", sessionTests()},
		{"Groups", groupTests()},
		{"RoleAssignments", roleAssignmentTests()},
		{"Reach", reachTests()},
		{"Replicas", replicaTests()},
		{"Keyring", keyringTests()},
		{"Confirmed", confirmedTests()},
		{"SCM", scmTests()},
		{"HostTokens", hostTokenTests()},
		{"CodeHosts", codeHostTests()},
		{"SignIn", signInTests()},
		{"AuditLog", auditTests()},
		{"Transactions", transactionTests()},
		{"Concurrency", concurrencyTests()},
		{"Races", raceTests()},
		{"Removals", removalTests()},
	} {
		t.Run(group.name, func(t *testing.T) {
			t.Parallel()
			for name, test := range group.tests {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					test(t, newWorld(t, fresh(t)))
				})
			}
		})
	}
}

// world is an open database with one organization, and the events that it
// published.
type world struct {
	db    Database
	store Store
	org   id.Organization

	mu     sync.Mutex
	events []event.Event
	// onPublish is called with each batch, from where it is published.
	onPublish func([]event.Event)
}

func newWorld(t *testing.T, db Database) *world {
	w := &world{db: db}
	w.open(t)
	t.Cleanup(func() {
		if err := w.store.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	w.org = w.organization(t)
	return w
}

func (w *world) open(t *testing.T) { w.store = w.db.Open(t, w.publish) }

// reopen is what a restart does.
func (w *world) reopen(t *testing.T) {
	t.Helper()
	must(t, w.store.Close())
	w.open(t)
}

func (w *world) publish(events []event.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, events...)
	if w.onPublish != nil {
		w.onPublish(events)
	}
}

// published returns the events so far, and forgets them.
func (w *world) published() []event.Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	events := w.events
	w.events = nil
	return events
}

// epoch is a time that a test counts from; stored times are exact to a
// microsecond.
var epoch = time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC)

// at is n microseconds after epoch.
func at(n int) time.Time { return epoch.Add(time.Duration(n) * time.Microsecond) }

func (w *world) organization(t *testing.T) id.Organization {
	t.Helper()
	o := identity.Organization{ID: id.Organization(id.New()), Name: "Acme", CreatedAt: time.Now(), UpdatedAt: time.Now()}
	w.writeIdentity(t, func(tx identity.Tx) error { return tx.InsertOrganization(t.Context(), o) })
	return o.ID
}

func (w *world) user(n int) identity.User {
	return identity.User{
		ID: id.User(id.New()), Organization: w.org, Name: fmt.Sprintf("Person %03d", n), Email: fmt.Sprintf("Person.%03d@Example.org", n),
		Role: resource.RoleOrgMember, Status: identity.StatusActive, CreatedAt: at(n), UpdatedAt: at(n), Revision: 1,
	}
}

func (w *world) addUsers(t *testing.T, users ...identity.User) {
	t.Helper()
	w.writeIdentity(t, func(tx identity.Tx) error {
		for _, u := range users {
			if err := tx.InsertUser(t.Context(), u); err != nil {
				return err
			}
		}
		return nil
	})
}

// runner is one with a value in every field, and without a session.
func (w *world) runner(n int) fleet.Runner {
	end := uint32(6)
	return fleet.Runner{
		ID: id.Runner(id.New()), Organization: w.org, Name: fmt.Sprintf("runner %d", n),
		Kind: fleet.KindRemote, Provider: fleet.ProviderLinuxHost, ManagerID: id.New(),
		Creator: access.Subject{Principal: access.PrincipalUser, ID: id.New()},
		Variant: 2, DesiredPhase: fleet.PhaseActive,
		Configuration: fleet.Configuration{
			Region: "eu-central-1", ReleaseChannel: 1, AutoUpdate: true, LogLevel: 2, ImageCache: true, ContinuousProfiling: true,
			UpdateWindow:    &fleet.UpdateWindow{Start: 3, End: &end},
			HoneycombAPIKey: []byte{1, 0, 255},
			Metrics:         &fleet.Metrics{Enabled: true, URL: "https://metrics", Username: "me", Password: []byte{2, 0, 254}, Managed: true, Verbose: true},
		},
		ConfigurationRevision: 1,
		Report:                report(n),
		Schema:                []byte{0, 1, 2},
		StatusAt:              at(n + 1), CreatedAt: at(n), UpdatedAt: at(n + 2), Revision: 1,
	}
}

func report(n int) fleet.Report {
	return fleet.Report{
		Degraded: n%2 == 1, Message: "disk \u00e9 \"quoted\" \x00", Version: fmt.Sprintf("1.%d", n), Region: "eu", SystemDetails: "linux",
		Capabilities: []fleet.Capability{1, 3}, LogURL: "https://logs", SupportBundleURL: "https://bundle",
		Gateway:        &fleet.GatewayInfo{Gateway: fleet.Gateway{Name: "g", URL: "https://g", Region: "eu"}, Latency: 5 * time.Millisecond},
		AdditionalInfo: []fleet.FieldValue{{Key: "k", Value: "v"}},
	}
}

func (w *world) addRunners(t *testing.T, runners ...fleet.Runner) {
	t.Helper()
	w.writeFleet(t, func(tx fleet.Tx) error {
		for _, r := range runners {
			if err := tx.InsertRunner(t.Context(), r); err != nil {
				return err
			}
		}
		return nil
	})
}

func (w *world) token(k token.Kind, s access.Subject, n int) token.Record {
	_, hash := token.New(k)
	return token.Record{
		ID: id.Token(id.New()), Organization: w.org, Kind: k, Hash: hash, Subject: s,
		Creator: access.Subject{Principal: access.PrincipalUser, ID: id.New()}, Description: fmt.Sprintf("token %d", n),
		ReadOnly: n%2 == 1, CreatedAt: at(n), ExpiresAt: at(n).Add(time.Hour),
	}
}

func (w *world) addTokens(t *testing.T, tokens ...token.Record) {
	t.Helper()
	w.writeIdentity(t, func(tx identity.Tx) error {
		for _, r := range tokens {
			if err := tx.InsertToken(t.Context(), r); err != nil {
				return err
			}
		}
		return nil
	})
}

func userSubject(u identity.User) access.Subject {
	return access.Subject{Principal: access.PrincipalUser, ID: string(u.ID)}
}

func runnerSubject(r fleet.Runner) access.Subject {
	return access.Subject{Principal: access.PrincipalRunner, ID: string(r.ID)}
}

func (w *world) writeIdentity(t *testing.T, fn func(identity.Tx) error) {
	t.Helper()
	must(t, w.store.Identity().Write(t.Context(), fn))
}

func (w *world) writeFleet(t *testing.T, fn func(fleet.Tx) error) {
	t.Helper()
	must(t, w.store.Fleet().Write(t.Context(), fn))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// found returns the row of a look-up that must find one.
func found[T any](t testing.TB, value T, ok bool, err error) T {
	t.Helper()
	if err != nil || !ok {
		t.Fatalf("found %v, %v; want a row", ok, err)
	}
	return value
}

// missing fails unless a look-up found nothing.
func missing[T any](t testing.TB, value T, ok bool, err error) {
	t.Helper()
	if err != nil || ok {
		t.Fatalf("found %+v, %v, %v; want no row", value, ok, err)
	}
}

// shuffled returns the values in another order.
func shuffled[T any](values []T) []T {
	out := slices.Clone(values)
	for i := range out {
		j := (i*7 + 3) % len(out)
		out[i], out[j] = out[j], out[i]
	}
	return out
}
