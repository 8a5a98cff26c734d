package llm_test

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/identity"
	"github.com/musterhq/muster/internal/llm"
	"github.com/musterhq/muster/internal/page"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/seal"
	"github.com/musterhq/muster/internal/store/sqlstore"
)

// fixture is the service on a real database, with one runner that has a key.
type fixture struct {
	*llm.Service
	t       *testing.T
	store   *sqlstore.Store
	admin   access.Caller
	member  access.Caller // in no group
	runner  fleet.Runner
	private *[seal.KeySize]byte

	mu     sync.Mutex
	events []event.Event
	told   []string // the secrets that runners were told of
}

func (f *fixture) SecretsChanged(_ id.Runner, names ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.told = append(f.told, names...)
}

// take returns and forgets the operations of events and the names of secrets
// so far.
func (f *fixture) take() (ops []event.Operation, told []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.events {
		if e.Object.Type == resource.RunnerLLMIntegration {
			ops = append(ops, e.Operation)
		}
	}
	told = f.told
	f.events, f.told = nil, nil
	return ops, told
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
	f.Service = llm.New(store.LLM(), f)
	o := identity.Organization{ID: id.Organization(id.New()), Name: "o", CreatedAt: time.Now(), UpdatedAt: time.Now()}
	f.must(store.Identity().Write(t.Context(), func(tx identity.Tx) error { return tx.InsertOrganization(t.Context(), o) }))
	person := func(role resource.Role) access.Caller {
		return access.Caller{Subject: access.Subject{Principal: access.PrincipalUser, ID: id.New()}, Organization: o.ID, Standing: access.OfRole(role)}
	}
	f.admin, f.member = person(resource.RoleOrgAdmin), person(resource.RoleOrgMember)
	public, private, err := seal.NewKeyPair()
	f.must(err)
	f.private = private
	f.runner = f.addRunner(func(r *fleet.Runner) { r.PublicKey = public[:] })
	return f
}

func (f *fixture) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) addRunner(change func(*fleet.Runner)) fleet.Runner {
	f.t.Helper()
	r := fleet.Runner{
		ID: id.Runner(id.New()), Organization: f.admin.Organization, Name: "lab", Kind: fleet.KindLocal, Provider: fleet.ProviderLinuxHost,
		Creator: f.admin.Subject, CreatedAt: time.Now(), UpdatedAt: time.Now(), Revision: 1,
	}
	change(&r)
	f.must(f.store.Fleet().Write(f.t.Context(), func(tx fleet.Tx) error { return tx.InsertRunner(f.t.Context(), r) }))
	return r
}

// changeRunner stores what fleet would: another key, a deletion.
func (f *fixture) changeRunner(change func(*fleet.Runner)) {
	f.t.Helper()
	f.must(f.store.Fleet().Write(f.t.Context(), func(tx fleet.Tx) error {
		r, _, err := tx.Runner(f.t.Context(), f.runner.ID)
		if err != nil {
			return err
		}
		change(&r)
		_, err = tx.UpdateRunner(f.t.Context(), r)
		return err
	}))
}

func (f *fixture) create(n llm.NewIntegration) string {
	f.t.Helper()
	if n.Runner == "" {
		n.Runner = f.runner.ID
	}
	if n.Models == nil {
		n.Models = []llm.Model{llm.Sonnet45}
	}
	made, err := f.Create(f.t.Context(), f.admin, n)
	f.must(err)
	return made
}

func (f *fixture) get(integration string) llm.Integration {
	f.t.Helper()
	i, err := f.Get(f.t.Context(), f.admin, integration)
	f.must(err)
	return i
}

func (f *fixture) open(s seal.Secret, name string) string {
	f.t.Helper()
	plain, err := seal.Open(s, (*[seal.KeySize]byte)(f.runner.PublicKey), f.private, name)
	f.must(err)
	return string(plain)
}

func ptr[T any](v T) *T { return &v }

func TestLifeOfAnIntegration(t *testing.T) {
	f := setup(t)
	ctx := t.Context()
	models := []llm.Model{llm.Opus45, llm.Sonnet45, llm.Opus45}
	made := f.create(llm.NewIntegration{Models: models, Endpoint: "https://llm.example.com/v1", APIKey: "sk-1", MaxTokens: 4096})
	i := f.get(made)
	phase, reason := i.Phase()
	if !slices.Equal(i.Models, models) || i.Endpoint != "https://llm.example.com/v1" || i.MaxTokens != 4096 || i.Provider() != llm.ProviderAnthropic ||
		phase != llm.PhaseAvailable || reason != "" || i.Runner != f.runner.ID || f.open(i.APIKey, "llm_integration/"+made+"/api_key") != "sk-1" {
		t.Errorf("made %+v, phase %d %q", i, phase, reason)
	}
	// What is not sent stays.
	f.must(f.Update(ctx, f.admin, made, llm.Change{Enabled: ptr(false)}))
	off := f.get(made)
	if phase, _ := off.Phase(); phase != llm.PhaseDisabled || off.Revision != 2 || off.UpdatedAt.Before(i.UpdatedAt) {
		t.Errorf("switched off it is %+v", off)
	}
	off.Enabled, off.Revision, off.UpdatedAt = i.Enabled, i.Revision, i.UpdatedAt
	if diff := cmp.Diff(i, off); diff != "" {
		t.Error(diff)
	}
	f.must(f.Update(ctx, f.admin, made, llm.Change{
		Models: []llm.Model{llm.OpenAIo1}, Endpoint: ptr(""), APIKey: ptr("sk-2"), MaxTokens: ptr(int64(0)), Enabled: ptr(true),
	}))
	i = f.get(made)
	if i.Provider() != llm.ProviderOpenAI || i.Endpoint != "" || i.MaxTokens != 0 || f.open(i.APIKey, "llm_integration/"+made+"/api_key") != "sk-2" {
		t.Errorf("changed it is %+v", i)
	}
	f.must(f.Update(ctx, f.admin, made, llm.Change{APIKey: ptr("")}))
	if i = f.get(made); len(i.APIKey) != 0 {
		t.Error("the API key is still there")
	}
	f.must(f.Delete(ctx, f.admin, made))
	if _, err := f.Get(ctx, f.admin, made); !fault.Is(err, fault.NotFound) {
		t.Errorf("after the deletion: %v", err)
	}
	if err := f.Delete(ctx, f.admin, made); !fault.Is(err, fault.NotFound) {
		t.Errorf("deleted twice: %v", err)
	}
	ops, told := f.take()
	if diff := cmp.Diff([]event.Operation{event.Created, event.Updated, event.Updated, event.Updated, event.Deleted}, ops); diff != "" {
		t.Errorf("events: %s", diff)
	}
	key := "llm_integration/" + made + "/api_key"
	if diff := cmp.Diff([]string{key, key, "llm_integration/" + made + "/"}, told); diff != "" {
		t.Errorf("the runner was told of: %s", diff)
	}
}

func TestWhatIsRefused(t *testing.T) {
	f := setup(t)
	made := f.create(llm.NewIntegration{})
	long := strings.Repeat("x", 5000)
	for name, ch := range map[string]llm.Change{
		"models of two providers":     {Models: []llm.Model{llm.Sonnet45, llm.OpenAI4o}},
		"an unknown model":            {Models: []llm.Model{99}},
		"no model":                    {Models: []llm.Model{0}},
		"too many models":             {Models: slices.Repeat([]llm.Model{llm.Opus4}, 101)},
		"a path":                      {Endpoint: ptr("/v1")},
		"another scheme":              {Endpoint: ptr("ftp://example.com")},
		"credentials in the endpoint": {Endpoint: ptr("https://me:pass@example.com")},
		"a long endpoint":             {Endpoint: ptr("https://" + long)},
		"a long key":                  {APIKey: &long},
		"a header without name":       {Headers: []llm.NewHeader{{Value: []byte("v")}}},
		"a blank in a header":         {Headers: []llm.NewHeader{{Name: "X Y", Value: []byte("v")}}},
		"a header without value":      {Headers: []llm.NewHeader{{Name: "X"}}},
		"a line end in a header":      {Headers: []llm.NewHeader{{Name: "X", Value: []byte("a\r\nY: b")}}},
		"the same header twice":       {Headers: []llm.NewHeader{{Name: "X-A", Value: []byte("v")}, {Name: "x-a", Value: []byte("w")}}},
		"an unknown type of header":   {Headers: []llm.NewHeader{{Name: "X", Type: 3, Value: []byte("v")}}},
		"too many headers":            {Headers: make([]llm.NewHeader, 33)},
		"a long header":               {Headers: []llm.NewHeader{{Name: "X", Value: []byte(long)}}},
	} {
		if err := f.Update(t.Context(), f.admin, made, ch); !fault.Is(err, fault.InvalidArgument) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if i := f.get(made); i.Revision != 1 {
		t.Errorf("something was stored: %+v", i)
	}
	if _, err := f.Create(t.Context(), f.admin, llm.NewIntegration{Runner: f.runner.ID}); !fault.Is(err, fault.InvalidArgument) {
		t.Errorf("without models: %v", err)
	}
}

// Without a public key nothing can be sealed, and an integration without a key
// is refused alike, in words that clients look for.
func TestARunnerThatNeverConnected(t *testing.T) {
	f := setup(t)
	bare := f.addRunner(func(*fleet.Runner) {})
	for _, key := range []string{"", "sk-1"} {
		_, err := f.Create(t.Context(), f.admin, llm.NewIntegration{Runner: bare.ID, Models: []llm.Model{llm.Opus4}, APIKey: key})
		if !fault.Is(err, fault.FailedPrecondition) || !fault.HasReason(err, fault.NoPublicKey) || !strings.Contains(err.Error(), "runner does not have a public key") {
			t.Errorf("with the key %q: %v", key, err)
		}
	}
}

func TestARunnerThatIsBeingDeleted(t *testing.T) {
	f := setup(t)
	made := f.create(llm.NewIntegration{})
	f.changeRunner(func(r *fleet.Runner) { r.DeletingAt = time.Now() })
	if _, err := f.Create(t.Context(), f.admin, llm.NewIntegration{Runner: f.runner.ID, Models: []llm.Model{llm.Opus4}}); !fault.HasReason(err, fault.RunnerGone) {
		t.Errorf("Create: %v", err)
	}
	if err := f.Update(t.Context(), f.admin, made, llm.Change{}); !fault.HasReason(err, fault.RunnerGone) {
		t.Errorf("Update: %v", err)
	}
}

// A secret that is sealed to an older key makes the integration unavailable
// until it is set again.
func TestANewKeyOfTheRunner(t *testing.T) {
	f := setup(t)
	made := f.create(llm.NewIntegration{APIKey: "sk-1"})
	without := f.create(llm.NewIntegration{})
	f.must(f.Update(t.Context(), f.admin, made, llm.Change{Headers: []llm.NewHeader{{Name: "X-Team", Value: []byte("blue")}}}))
	public, _, err := seal.NewKeyPair()
	f.must(err)
	f.changeRunner(func(r *fleet.Runner) { r.PublicKey = public[:] })
	want := func(phase llm.Phase, says string) {
		t.Helper()
		i := f.get(made)
		if got, reason := i.Phase(); got != phase || !strings.Contains(reason, says) || says == "" && reason != "" {
			t.Errorf("phase %d, %q", got, reason)
		}
	}
	want(llm.PhaseUnavailable, "Set the API key again")
	f.must(f.Update(t.Context(), f.admin, made, llm.Change{Enabled: ptr(false)}))
	want(llm.PhaseDisabled, "Set the API key again")
	f.must(f.Update(t.Context(), f.admin, made, llm.Change{Enabled: ptr(true)}))
	f.must(f.Update(t.Context(), f.admin, made, llm.Change{APIKey: ptr("sk-1")}))
	want(llm.PhaseUnavailable, "request header X-Team")
	f.must(f.Update(t.Context(), f.admin, made, llm.Change{Headers: []llm.NewHeader{{Name: "X-Team", Value: []byte("blue")}}}))
	want(llm.PhaseAvailable, "")
	if i := f.get(without); len(i.APIKey) != 0 {
		t.Error("a key came out of nothing")
	} else if phase, _ := i.Phase(); phase != llm.PhaseAvailable {
		t.Errorf("without secrets the phase is %d", phase)
	}
}

func TestHeaders(t *testing.T) {
	f := setup(t)
	ctx := t.Context()
	made := f.create(llm.NewIntegration{})
	f.take()
	expression := llm.NewHeader{Name: "X-User", Type: llm.HeaderExpression, Value: []byte("request.user.id")}
	err := f.Update(ctx, f.admin, made, llm.Change{Headers: []llm.NewHeader{expression}})
	if !fault.HasReason(err, fault.RunnerIncapable) || !fault.Is(err, fault.FailedPrecondition) || !strings.Contains(err.Error(), "capability") {
		t.Errorf("an expression without the capability: %v", err)
	}
	f.must(f.store.Fleet().Write(ctx, func(tx fleet.Tx) error {
		epoch, _, err := tx.OpenSession(ctx, fleet.Session{Runner: f.runner.ID, OpenedAt: time.Now()})
		if err != nil {
			return err
		}
		_, err = tx.UpdateStatus(ctx, f.runner.ID, epoch, fleet.Report{Capabilities: []fleet.Capability{llm.HeaderCapability}}, nil, time.Now())
		return err
	}))
	f.must(f.Update(ctx, f.admin, made, llm.Change{Headers: []llm.NewHeader{expression, {Name: "X-Team", Value: []byte("blue")}}}))
	first := f.get(made).Headers
	if len(first) != 2 || first[0].Expression != "request.user.id" || first[0].Type != llm.HeaderExpression || len(first[0].Value) != 0 ||
		first[1].Type != llm.HeaderLiteral || f.open(first[1].Value, "llm_integration/"+made+"/header/X-Team") != "blue" {
		t.Errorf("headers %+v", first)
	}
	// A client that sends back what it read, and something more, keeps the secret.
	f.must(f.Update(ctx, f.admin, made, llm.Change{Headers: []llm.NewHeader{
		{Name: "X-Team", Type: llm.HeaderLiteral, Value: first[1].Value}, {Name: "X-More", Value: []byte("v")},
	}}))
	second := f.get(made).Headers
	if len(second) != 2 || !bytes.Equal(second[0].Value, first[1].Value) {
		t.Errorf("headers %+v", second)
	}
	// The sealed value of one header is no value of another.
	if err := f.Update(ctx, f.admin, made, llm.Change{Headers: []llm.NewHeader{{Name: "X-Other", Value: first[1].Value}}}); !fault.Is(err, fault.InvalidArgument) {
		t.Errorf("a sealed value in another place: %v", err)
	}
	if _, told := f.take(); !slices.Equal(told, slices.Repeat([]string{"llm_integration/" + made + "/header/"}, 2)) {
		t.Errorf("the runner was told of %v", told)
	}
}

func TestWhoMay(t *testing.T) {
	f := setup(t)
	ctx := t.Context()
	made := f.create(llm.NewIntegration{})
	owner := f.member
	owner.Subject = access.Subject{Principal: access.PrincipalUser, ID: id.New()}
	theirs := f.addRunner(func(r *fleet.Runner) { r.Creator, r.PublicKey = owner.Subject, f.runner.PublicKey })
	used := f.create(llm.NewIntegration{Runner: theirs.ID})
	itself := access.Caller{Subject: access.Subject{Principal: access.PrincipalRunner, ID: string(f.runner.ID)}, Organization: f.admin.Organization}
	stranger := f.admin
	stranger.Organization = id.Organization(id.New())
	for _, tt := range []struct {
		name        string
		c           access.Caller
		integration string
		read, write fault.Code
	}{
		{"a member", f.member, made, fault.NotFound, fault.NotFound},
		{"an admin elsewhere", stranger, made, fault.NotFound, fault.NotFound},
		{"the runner", itself, made, 0, fault.PermissionDenied},
		{"the runner, of another", itself, used, fault.NotFound, fault.NotFound},
		{"the runner's creator", owner, used, 0, fault.PermissionDenied},
		{"the runner's creator, of another", owner, made, fault.NotFound, fault.NotFound},
	} {
		if _, err := f.Get(ctx, tt.c, tt.integration); tt.read == 0 && err != nil || tt.read != 0 && !fault.Is(err, tt.read) {
			t.Errorf("%s reads: %v", tt.name, err)
		}
		if err := f.Update(ctx, tt.c, tt.integration, llm.Change{}); !fault.Is(err, tt.write) {
			t.Errorf("%s updates: %v", tt.name, err)
		}
		if err := f.Delete(ctx, tt.c, tt.integration); !fault.Is(err, tt.write) {
			t.Errorf("%s deletes: %v", tt.name, err)
		}
	}
	for name, tt := range map[string]struct {
		c       access.Caller
		runners []id.Runner
		want    []string
	}{
		"an admin":                     {f.admin, nil, []string{made, used}},
		"an admin, of a runner":        {f.admin, []id.Runner{theirs.ID}, []string{used}},
		"a member":                     {f.member, nil, nil},
		"a member, of a runner":        {f.member, []id.Runner{theirs.ID}, nil},
		"an admin elsewhere":           {stranger, []id.Runner{theirs.ID}, nil},
		"the runner":                   {itself, nil, []string{made}},
		"the runner, of another":       {itself, []id.Runner{theirs.ID}, nil},
		"the runner's creator":         {owner, nil, []string{used}},
		"the creator, of both runners": {owner, []id.Runner{f.runner.ID, theirs.ID}, []string{used}},
	} {
		rows, next, err := f.List(ctx, tt.c, tt.runners, page.Request{})
		var got []string
		for _, i := range rows {
			got = append(got, i.ID)
		}
		if err != nil || next != "" || !slices.Equal(got, tt.want) {
			t.Errorf("%s lists %v, %v; want %v", name, got, err, tt.want)
		}
	}
}

func TestPageTokensAreOfOneList(t *testing.T) {
	f := setup(t)
	for range 3 {
		f.create(llm.NewIntegration{})
	}
	_, next, err := f.List(t.Context(), f.admin, nil, page.Request{Size: 2})
	f.must(err)
	rest, last, err := f.List(t.Context(), f.admin, nil, page.Request{Size: 2, Token: next})
	if err != nil || len(rest) != 1 || last != "" {
		t.Errorf("the second page has %d, %q, %v", len(rest), last, err)
	}
	for name, list := range map[string]func() error{
		"another filter": func() error {
			_, _, err := f.List(t.Context(), f.admin, []id.Runner{f.runner.ID}, page.Request{Token: next})
			return err
		},
		"another caller": func() error {
			_, _, err := f.List(t.Context(), f.member, nil, page.Request{Token: next})
			return err
		},
	} {
		if err := list(); !fault.HasReason(err, fault.InvalidPageToken) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
