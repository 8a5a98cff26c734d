package fleet_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/seal"
	"github.com/musterhq/muster/internal/token"
)

func TestKindFollowsFromProvider(t *testing.T) {
	f := setup(t)
	for _, tt := range []struct {
		kind     fleet.Kind
		provider fleet.Provider
		manager  string
		want     fleet.Kind // 0: refused
	}{
		{0, fleet.ProviderAWSEC2, "", fleet.KindRemote},
		{0, fleet.ProviderGCP, "", fleet.KindRemote},
		{0, fleet.ProviderDevAgent, "", fleet.KindRemote},
		{0, fleet.ProviderManaged, id.New(), fleet.KindRemote},
		{0, fleet.ProviderLinuxHost, "", fleet.KindLocal},
		{0, fleet.ProviderDesktopMac, "", fleet.KindLocal},
		{fleet.KindRemote, 0, "", fleet.KindRemote},
		{fleet.KindLocal, 0, "", fleet.KindLocal},
		{0, fleet.ProviderManaged, "", 0},
		{0, fleet.ProviderGCP, id.New(), 0},
		{fleet.KindRemote, fleet.ProviderGCP, "", 0},
		{fleet.KindLocalConfiguration, 0, "", 0},
		{0, 0, "", 0},
	} {
		r, _, err := f.Create(t.Context(), f.admin, fleet.NewRunner{Name: "xyz", Kind: tt.kind, Provider: tt.provider, ManagerID: tt.manager})
		switch {
		case tt.want == 0 && (!fault.Is(err, fault.InvalidArgument) || fault.From(err).Field == ""):
			t.Errorf("%+v: %v", tt, err)
		case tt.want != 0 && (err != nil || f.get(r.ID).Kind != tt.want):
			t.Errorf("%+v: kind %v, %v", tt, r.Kind, err)
		}
	}
}

func TestWhatIsCreatedIsRead(t *testing.T) {
	f := setup(t)
	end := uint32(2)
	made, _ := f.create(func(n *fleet.NewRunner) {
		n.Variant, n.DesiredPhase = 2, fleet.PhaseActive
		n.Configuration = fleet.Configuration{
			Region: "eu-central-1", ReleaseChannel: 1, AutoUpdate: true, LogLevel: 2, ImageCache: true, ContinuousProfiling: true,
			UpdateWindow: &fleet.UpdateWindow{Start: 22, End: &end},
			Metrics:      &fleet.Metrics{Enabled: true, URL: "https://m.example", Username: "u"},
		}
	})
	got := f.get(made.ID)
	// Stored times have microseconds.
	for _, at := range []*time.Time{&made.CreatedAt, &made.UpdatedAt, &made.StatusAt} {
		*at = at.Truncate(time.Microsecond)
	}
	equalTimes := cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) })
	bytesEqual := cmp.Comparer(func(a, b []byte) bool { return string(a) == string(b) })
	if d := cmp.Diff(made, *got, equalTimes, bytesEqual); d != "" {
		t.Errorf("read back (-made +got):\n%s", d)
	}
	if got.Phase() != fleet.PhaseCreated || got.Message() == "" {
		t.Errorf("phase %v, message %q", got.Phase(), got.Message())
	}
	if ops := f.takeEvents(); len(ops) != 1 || ops[0] != event.Created {
		t.Errorf("events: %v", ops)
	}
}

func TestWhoSeesWhat(t *testing.T) {
	f := setup(t)
	mine, _ := f.create(nil)
	other, _ := f.create(nil)
	stranger := f.person(f.organization(), resource.RoleOrgAdmin)
	byMember, _, err := f.Create(t.Context(), f.member, fleet.NewRunner{Name: "of the member", Provider: fleet.ProviderLinuxHost})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		caller access.Caller
		sees   []id.Runner
	}{
		{"an admin", f.admin, []id.Runner{mine.ID, other.ID, byMember.ID}},
		{"a member", f.member, []id.Runner{byMember.ID}},
		{"an admin of another organization", stranger, nil},
		{"a runner", asRunner(mine), []id.Runner{mine.ID}},
	} {
		var listed []id.Runner
		for _, r := range f.list(tt.caller) {
			listed = append(listed, r.ID)
		}
		if d := cmp.Diff(tt.sees, listed); d != "" {
			t.Errorf("%s lists (-want +got):\n%s", tt.name, d)
		}
		for _, r := range []id.Runner{mine.ID, other.ID, byMember.ID} {
			want := fault.NotFound
			for _, s := range tt.sees {
				if s == r {
					want = 0
				}
			}
			_, getErr := f.Get(t.Context(), tt.caller, r)
			_, logsErr := f.CreateLogsToken(t.Context(), tt.caller, r)
			_, _, tokenErr := f.CreateToken(t.Context(), tt.caller, r)
			if (want == 0) != (getErr == nil) || getErr != nil && !fault.Is(getErr, want) {
				t.Errorf("%s: Get: %v", tt.name, getErr)
			}
			if want == 0 && tt.name != "an admin" {
				want = fault.PermissionDenied // to see a runner is not to administer it
			}
			for what, err := range map[string]error{"CreateLogsToken": logsErr, "CreateToken": tokenErr} {
				if (want == 0) != (err == nil) || err != nil && !fault.Is(err, want) {
					t.Errorf("%s: %s: %v", tt.name, what, err)
				}
			}
		}
		if err := f.Update(t.Context(), tt.caller, other.ID, fleet.Change{}); (err == nil) != (tt.name == "an admin") {
			t.Errorf("%s updates: %v", tt.name, err)
		}
	}
	if err := f.Delete(t.Context(), stranger, mine.ID, true); !fault.Is(err, fault.NotFound) {
		t.Errorf("a stranger deletes: %v", err)
	}
}

func ptr[T any](v T) *T { return &v }

func TestUpdateMerges(t *testing.T) {
	f := setup(t)
	end := uint32(9)
	r, _ := f.create(func(n *fleet.NewRunner) {
		n.Configuration = fleet.Configuration{
			Region: "eu", ReleaseChannel: 1, AutoUpdate: true, LogLevel: 2,
			UpdateWindow: &fleet.UpdateWindow{Start: 4, End: &end},
			Metrics:      &fleet.Metrics{Enabled: true, URL: "https://m.example", Username: "u"},
		}
		n.MetricsPassword = "hunter2"
	})
	update := func(ch fleet.Change) fleet.Configuration {
		t.Helper()
		if err := f.Update(t.Context(), f.admin, r.ID, ch); err != nil {
			t.Fatal(err)
		}
		return f.get(r.ID).Configuration
	}
	f.takeTold()
	if c := update(fleet.Change{Name: ptr("renamed")}); c.Region != "eu" || !c.AutoUpdate || c.UpdateWindow == nil || c.Metrics == nil {
		t.Errorf("a rename changed the configuration: %+v", c)
	}
	if told := f.takeTold(); len(told) != 1 {
		t.Errorf("the runner was told %v", told)
	}
	// The window is replaced as a whole: the earlier end goes.
	window, _ := fleet.NewUpdateWindow(ptr(uint32(3)), nil)
	if c := update(fleet.Change{UpdateWindow: &window}); c.UpdateWindow.Start != 3 || c.UpdateWindow.End != nil {
		t.Errorf("window: %+v", c.UpdateWindow)
	}
	var none *fleet.UpdateWindow
	if c := update(fleet.Change{UpdateWindow: &none}); c.UpdateWindow != nil {
		t.Errorf("cleared window: %+v", c.UpdateWindow)
	}
	// Metrics merge field by field, and an absent password stays.
	before := f.get(r.ID).Configuration.Metrics.Password
	c := update(fleet.Change{Metrics: &fleet.MetricsChange{Username: ptr("v")}})
	if m := c.Metrics; !m.Enabled || m.URL != "https://m.example" || m.Username != "v" || string(m.Password) != string(before) {
		t.Errorf("metrics: %+v", m)
	}
	if got, err := f.key.Unwrap(before, "runner/"+string(r.ID)+"/metrics.password"); err != nil || string(got) != "hunter2" {
		t.Errorf("the password does not wait under the secret key: %v", err)
	}
	// As Terraform clears it.
	c = update(fleet.Change{Metrics: &fleet.MetricsChange{Enabled: ptr(false), URL: ptr(""), Username: ptr(""), Password: ptr(""), Managed: ptr(false)}})
	if m := c.Metrics; m.Enabled || m.URL+m.Username != "" || len(m.Password) != 0 {
		t.Errorf("cleared metrics: %+v", m)
	}
	if err := f.Update(t.Context(), f.admin, r.ID, fleet.Change{DesiredPhase: ptr(fleet.PhaseInactive)}); !fault.Is(err, fault.FailedPrecondition) {
		t.Errorf("desired phase: %v", err)
	}
	got := f.get(r.ID)
	if got.Name != "renamed" || !got.CreatedAt.Equal(r.CreatedAt.Truncate(time.Microsecond)) || !got.UpdatedAt.After(r.UpdatedAt) {
		t.Errorf("after all: %+v", got)
	}
}

// Of many concurrent changes none is lost.
func TestConcurrentUpdates(t *testing.T) {
	f := setup(t)
	r, _ := f.create(nil)
	changes := []fleet.Change{
		{AutoUpdate: ptr(true)},
		{ImageCache: ptr(true)},
		{LogLevel: ptr(fleet.LogLevel(4))},
		{ReleaseChannel: ptr(fleet.ReleaseChannel(2))},
		{ContinuousProfiling: ptr(true)},
		{Metrics: &fleet.MetricsChange{URL: ptr("https://m.example")}},
		{Metrics: &fleet.MetricsChange{Username: ptr("u")}},
	}
	var wg sync.WaitGroup
	for _, ch := range changes {
		wg.Go(func() {
			if err := f.Update(t.Context(), f.admin, r.ID, ch); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	got := f.get(r.ID)
	want := fleet.Configuration{AutoUpdate: true, ImageCache: true, LogLevel: 4, ReleaseChannel: 2, ContinuousProfiling: true, Metrics: &fleet.Metrics{URL: "https://m.example", Username: "u"}}
	if d := cmp.Diff(want, got.Configuration); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if got.ConfigurationRevision != r.ConfigurationRevision+int64(len(changes)) {
		t.Errorf("configuration revision %d", got.ConfigurationRevision)
	}
}

func TestOfAHundredRedemptionsOneWins(t *testing.T) {
	f := setup(t)
	_, exchange := f.create(nil)
	var won, used atomic.Int32
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			secret, err := f.Redeem(t.Context(), exchange)
			switch {
			case err == nil && secret != "":
				won.Add(1)
			case fault.HasReason(err, fault.UsedExchangeToken) && fault.Is(err, fault.Unauthenticated):
				used.Add(1)
			default:
				t.Errorf("Redeem = %v", err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 || used.Load() != 99 {
		t.Errorf("%d won, %d were told that the token is used", won.Load(), used.Load())
	}
}

func TestRefusedRedemptions(t *testing.T) {
	f := setup(t)
	r, exchange := f.create(nil)
	second, _, err := f.CreateToken(t.Context(), f.admin, r.ID)
	if err != nil {
		t.Fatal(err)
	}
	access, err := f.Redeem(t.Context(), second)
	if err != nil {
		t.Fatalf("a second token: %v", err)
	}
	never, _ := token.New(token.Exchange)
	gone, goneToken := f.create(nil)
	if err := f.Delete(t.Context(), f.admin, gone.ID, false); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		token  string
		reason fault.Reason
	}{
		"mistyped":            {exchange[:len(exchange)-1] + "!", fault.MalformedToken},
		"never made":          {never, fault.UnknownToken},
		"an access token":     {access, fault.UnknownToken},
		"of a deleted runner": {goneToken, fault.UnknownToken},
		"foreign":             {"something else", fault.UnknownToken},
	} {
		if _, err := f.Redeem(t.Context(), tt.token); !fault.HasReason(err, tt.reason) || !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("a token that is %s: %v", name, err)
		}
	}
	if _, err := f.Redeem(t.Context(), exchange); err != nil {
		t.Errorf("an older token: %v", err)
	}
}

func TestSecretsAreSealedAsSoonAsTheRunnerHasAKey(t *testing.T) {
	f := setup(t)
	r, _ := f.create(func(n *fleet.NewRunner) {
		n.Configuration.Metrics = &fleet.Metrics{Enabled: true}
		n.MetricsPassword = "before"
	})
	pub, priv := newKey(t)
	f.open(r, opening(bootOne, pub))
	desired, err := f.Desired(t.Context(), r.ID)
	if err != nil {
		t.Fatal(err)
	}
	purpose := func(what string) string { return fmt.Sprintf("runner/%s/%s", r.ID, what) }
	opensTo := func(s seal.Secret, what, want string) {
		t.Helper()
		got, err := seal.Open(s, (*[32]byte)(pub), priv, purpose(what))
		if err != nil || string(got) != want {
			t.Errorf("%s opens to %q, %v", what, got, err)
		}
		if _, err := f.key.Unwrap(s, purpose(what)); !errors.Is(err, seal.ErrOpen) {
			t.Errorf("the control plane can open %s", what)
		}
	}
	opensTo(desired.Configuration.Metrics.Password, "metrics.password", "before")
	if err := f.Update(t.Context(), f.admin, r.ID, fleet.Change{HoneycombAPIKey: ptr("after")}); err != nil {
		t.Fatal(err)
	}
	opensTo(f.get(r.ID).Configuration.HoneycombAPIKey, "honeycomb_api_key", "after")
	if err := f.Update(t.Context(), f.admin, r.ID, fleet.Change{HoneycombAPIKey: ptr("")}); err != nil {
		t.Fatal(err)
	}
	if k := f.get(r.ID).Configuration.HoneycombAPIKey; len(k) != 0 {
		t.Error("the key was not cleared")
	}
}
