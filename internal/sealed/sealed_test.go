package sealed_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/audit"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/seal"
	"github.com/musterhq/muster/internal/sealed"
)

const org = id.Organization("0192aaaa-0000-7000-8000-0000000000ff")

// world is a runner with what is sealed to it, a store and a link.
type world struct {
	*sealed.Service
	runner  fleet.Runner
	items   []sealed.Item
	entries []audit.Entry
	// check answers what the runner is asked.
	check func(names []string) ([]string, error)
}

func (w *world) Runner(_ context.Context, r id.Runner) (fleet.Runner, bool, error) {
	return w.runner, r == w.runner.ID, nil
}

func (w *world) Sealed(context.Context, id.Runner) ([]sealed.Item, error) {
	return slices.Clone(w.items), nil
}
func (w *world) Write(_ context.Context, fn func(sealed.Tx) error) error { return fn(w) }
func (w *world) Emit(event.Event)                                        {}
func (w *world) InsertAuditEntry(_ context.Context, e audit.Entry) error {
	w.entries = append(w.entries, e)
	return nil
}

func (w *world) SealedOf(_ context.Context, r id.Runner, resourceID string) ([]sealed.Item, error) {
	return slices.DeleteFunc(slices.Clone(w.items), func(i sealed.Item) bool { return i.ID != resourceID || r != w.runner.ID }), nil
}

func (w *world) CheckSecrets(_ context.Context, _ id.Runner, names []string) ([]string, error) {
	return w.check(names)
}

var (
	integrationID = id.New()
	tokenID       = id.New()
	llmID         = id.New()
	personID      = id.New()
	owner         = access.Subject{Principal: access.PrincipalUser, ID: personID}
)

func newKey(t *testing.T) []byte {
	t.Helper()
	public, _, err := seal.NewKeyPair()
	if err != nil {
		t.Fatal(err)
	}
	return public[:]
}

func sealTo(t *testing.T, key []byte) seal.Secret {
	t.Helper()
	s, err := seal.To(key, "x", []byte("plain"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// newWorld makes a runner with one secret of each kind.
func newWorld(t *testing.T) *world {
	t.Helper()
	key := newKey(t)
	w := &world{runner: fleet.Runner{
		ID: id.Runner(id.New()), Organization: org, Name: "lab", PublicKey: key,
		Configuration: fleet.Configuration{HoneycombAPIKey: sealTo(t, key), Metrics: &fleet.Metrics{Password: sealTo(t, key)}},
	}}
	w.items = []sealed.Item{
		{Type: resource.RunnerLLMIntegration, ID: llmID, Part: "header/X-Key", About: "https://llm.example", Sealed: sealTo(t, key)},
		{Type: resource.RunnerLLMIntegration, ID: llmID, Part: "api_key", About: "https://llm.example", Sealed: sealTo(t, key)},
		{Type: resource.HostAuthenticationToken, ID: tokenID, Part: "token", About: "github.com", Owner: owner, Sealed: sealTo(t, key)},
		{Type: resource.HostAuthenticationToken, ID: tokenID, Part: "refresh_token", About: "github.com", Owner: owner},
		{Type: resource.RunnerSCMIntegration, ID: integrationID, Part: "client_secret", About: "github.com", Sealed: sealTo(t, key)},
	}
	w.Service = sealed.New(w, w)
	return w
}

func (w *world) asRunner() access.Caller {
	return access.Caller{Subject: access.Subject{Principal: access.PrincipalRunner, ID: string(w.runner.ID)}, Organization: org}
}

func person(r resource.Role) access.Caller {
	return access.Caller{Subject: access.Subject{Principal: access.PrincipalUser, ID: personID}, Organization: org, Standing: access.OfRole(r)}
}

func names(items []sealed.Item) (out []string) {
	for _, i := range items {
		out = append(out, i.Name())
	}
	return out
}

func (w *world) all() []string {
	return []string{
		"runner/" + string(w.runner.ID) + "/honeycomb_api_key",
		"runner/" + string(w.runner.ID) + "/metrics.password",
		"scm_integration/" + integrationID + "/client_secret",
		"host_authentication_token/" + tokenID + "/token",
		"llm_integration/" + llmID + "/api_key",
		"llm_integration/" + llmID + "/header/X-Key",
	}
}

func TestList(t *testing.T) {
	w := newWorld(t)
	got, err := w.List(t.Context(), w.runner.ID)
	if err != nil || !slices.Equal(names(got), w.all()) {
		t.Fatalf("got %v, %v", names(got), err)
	}
	var words []string
	for _, i := range got {
		words = append(words, i.Description())
	}
	want := []string{
		"the honeycomb API key of the runner",
		"the metrics password of the runner",
		"the client secret of the integration with github.com",
		"the token of user " + personID + " for github.com",
		"the API key of the LLM integration at https://llm.example",
		"the request header X-Key of the LLM integration at https://llm.example",
	}
	if !slices.Equal(words, want) {
		t.Errorf("descriptions %q", words)
	}
	if _, err := w.List(t.Context(), id.Runner(id.New())); !fault.Is(err, fault.NotFound) {
		t.Errorf("of an unknown runner: %v", err)
	}
	// What waits for the runner's first key is sealed to nobody.
	w.runner.Configuration = fleet.Configuration{HoneycombAPIKey: seal.Secret{2, 0}}
	if got, err := w.List(t.Context(), w.runner.ID); err != nil || len(got) != 4 {
		t.Errorf("got %v, %v", names(got), err)
	}
}

func TestStale(t *testing.T) {
	w := newWorld(t)
	admin := person(resource.RoleOrgAdmin)
	if got, err := w.Stale(t.Context(), admin, w.runner.ID); err != nil || len(got) != 0 {
		t.Errorf("with the first key: %v, %v", names(got), err)
	}
	w.runner.PublicKey = newKey(t)
	w.items[1].Sealed = sealTo(t, w.runner.PublicKey)
	got, err := w.Stale(t.Context(), admin, w.runner.ID)
	want := slices.Delete(w.all(), 4, 5)
	if err != nil || !slices.Equal(names(got), want) {
		t.Errorf("got %v, %v; want %v", names(got), err, want)
	}
	if _, err := w.Stale(t.Context(), person(resource.RoleOrgMember), w.runner.ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("by somebody who does not see the runner: %v", err)
	}
	if _, err := w.Stale(t.Context(), w.asRunner(), w.runner.ID); !fault.Is(err, fault.PermissionDenied) {
		t.Errorf("by the runner: %v", err)
	}
}

func TestDeliver(t *testing.T) {
	w := newWorld(t)
	items, err := w.List(t.Context(), w.runner.ID)
	if err != nil {
		t.Fatal(err)
	}
	for n, i := range items {
		got, err := w.Deliver(t.Context(), w.asRunner(), i.Name())
		if err != nil || string(got) != string(i.Sealed) {
			t.Errorf("%s: %v", i.Name(), err)
		}
		e := w.entries[n]
		if e.Action != "secret.deliver" || e.Kind != audit.KindCredentialAccess || e.SubjectID != i.ID || e.SubjectType != i.Type || e.Actor != w.asRunner().Subject || e.Organization != org {
			t.Errorf("%s: entry %+v", i.Name(), e)
		}
	}
	w.entries = nil
	for _, name := range []string{
		"", "/", "runner", "runner/x/metrics.password", "runner/" + id.New() + "/metrics.password", "runner/" + string(w.runner.ID) + "/",
		"scm_integration/" + id.New() + "/client_secret", "scm_integration/" + integrationID + "/token", "scm_integration/" + tokenID + "/token",
		"host_authentication_token/" + tokenID + "/refresh_token", "llm_integration/" + llmID + "/header/X-Other", strings.Repeat("/", 1000),
	} {
		if got, err := w.Deliver(t.Context(), w.asRunner(), name); !fault.Is(err, fault.NotFound) || got != nil {
			t.Errorf("%q: %v, %v", name, got, err)
		}
	}
	another := w.asRunner()
	another.ID = id.New()
	for who, c := range map[string]access.Caller{"another runner": another, "an admin": person(resource.RoleOrgAdmin), "nobody": {}} {
		if got, err := w.Deliver(t.Context(), c, items[0].Name()); err == nil || got != nil {
			t.Errorf("%s gets the secret: %v", who, err)
		}
	}
	if len(w.entries) != 0 {
		t.Errorf("what was not delivered is in the audit log: %v", w.entries)
	}
}

func TestCheck(t *testing.T) {
	w := newWorld(t)
	admin := person(resource.RoleOrgAdmin)
	for n := range 1500 {
		w.items = append(w.items, sealed.Item{Type: resource.RunnerSCMIntegration, ID: id.New(), Part: "client_secret", About: fmt.Sprint(n), Sealed: sealTo(t, w.runner.PublicKey)})
	}
	var chunks []int
	w.check = func(names []string) ([]string, error) {
		chunks = append(chunks, len(names))
		return []string{names[0], "nobody asked about this", names[0]}, nil
	}
	checked, unreadable, err := w.Check(t.Context(), admin, w.runner.ID)
	if err != nil || checked != 1506 || !slices.Equal(chunks, []int{250, 250, 250, 250, 250, 250, 6}) || len(unreadable) != 7 {
		t.Errorf("checked %d in %v, unreadable %v, %v", checked, chunks, names(unreadable), err)
	}
	if len(w.entries) != 1 || w.entries[0].Action != "runner.secrets.check" || w.entries[0].Kind != audit.KindCredentialAccess || w.entries[0].Actor != admin.Subject {
		t.Errorf("entries %+v", w.entries)
	}
	away := errors.New("away")
	w.check = func([]string) ([]string, error) { return nil, away }
	if _, _, err := w.Check(t.Context(), admin, w.runner.ID); !errors.Is(err, away) {
		t.Errorf("a runner that is away: %v", err)
	}
	if _, _, err := w.Check(t.Context(), person(resource.RoleOrgMember), w.runner.ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("by somebody who does not see the runner: %v", err)
	}
}
