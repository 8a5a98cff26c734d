package hosttoken_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/hosttoken"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/identity"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/scm"
	"github.com/musterhq/muster/internal/seal"
)

func TestWhatIsCreatedIsRead(t *testing.T) {
	f := setup(t)
	made := f.create(f.user, f.gitHub())
	got := f.get(f.user, made.ID)
	if d := cmp.Diff(made, got, cmp.Comparer(func(a, b seal.Secret) bool { return string(a) == string(b) })); d != "" {
		t.Errorf("read back (-made +got):\n%s", d)
	}
	if got.Host != "GitHub.com" || got.Subject != f.user.Subject || got.Source != hosttoken.SourceOAuth ||
		!got.ExpiresAt.Equal(time.Date(2027, 1, 2, 3, 4, 5, 678_901_000, time.UTC)) || !slices.Equal(got.Scopes, []string{"repo", "read:org", "repo"}) {
		t.Errorf("%+v", got)
	}
	if f.open(got.Value, got.ID, "token") != secret || f.open(got.RefreshToken, got.ID, "refresh_token") != refresh {
		t.Error("the runner opens something else")
	}
	if got.Stale(f.runner.PublicKey) || !got.Stale(make([]byte, seal.KeySize)) {
		t.Error("the values are sealed to the runner's key and to no other")
	}
	events, told := f.take()
	if !slices.Equal(events, []string{"host_authentication_token created"}) || len(told) != 2 {
		t.Errorf("events %v, told %v", events, told)
	}
	bare := f.create(f.admin, hosttoken.NewToken{Runner: f.runner.ID, Host: "h", Value: "v"})
	if len(bare.RefreshToken) > 0 || !bare.ExpiresAt.IsZero() || bare.Source != hosttoken.SourceUnspecified {
		t.Errorf("%+v", bare)
	}
}

func TestNobodyStoresForOthers(t *testing.T) {
	f := setup(t)
	robot := access.Caller{Subject: access.Subject{Principal: access.PrincipalServiceAccount, ID: id.New()}, Organization: f.admin.Organization}
	for name, tt := range map[string]struct {
		caller  access.Caller
		subject access.Subject
		want    fault.Code // 0 for none
	}{
		"oneself":                       {f.user, f.user.Subject, 0},
		"oneself, by the id alone":      {f.user, access.Subject{ID: f.user.ID}, 0},
		"oneself, by saying nothing":    {f.user, access.Subject{}, 0},
		"a program of the same id":      {f.user, access.Subject{Principal: access.PrincipalServiceAccount, ID: f.user.ID}, fault.PermissionDenied},
		"somebody else":                 {f.user, f.member.Subject, fault.PermissionDenied},
		"somebody else, by an admin":    {f.admin, f.user.Subject, fault.PermissionDenied},
		"somebody else, by the id":      {f.admin, access.Subject{ID: f.user.ID}, fault.PermissionDenied},
		"a runner":                      {access.Caller{Subject: access.Subject{Principal: access.PrincipalRunner, ID: string(f.runner.ID)}, Organization: f.admin.Organization}, access.Subject{}, fault.PermissionDenied},
		"a program that is not there":   {robot, access.Subject{}, fault.Unauthenticated},
		"somebody who sees no runner":   {f.member, access.Subject{}, fault.NotFound},
		"a reader of the configuration": {f.grant(f.member, f.runner, resource.RoleRunnerConfigurationReader), access.Subject{}, fault.PermissionDenied},
	} {
		n := f.gitHub()
		n.Subject = tt.subject
		made, err := f.Create(t.Context(), tt.caller, n)
		if tt.want != 0 {
			if !fault.Is(err, tt.want) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		f.must(err)
		if made.Subject != tt.caller.Subject {
			t.Errorf("%s: the subject is %v", name, made.Subject)
		}
		f.must(f.Delete(t.Context(), tt.caller, made.ID))
	}
}

func TestWhatIsRefused(t *testing.T) {
	f := setup(t)
	mine, err := f.scm.Create(t.Context(), f.admin, scm.NewIntegration{Runner: f.runner.ID, SCMID: "gitlab", Host: "gitlab.com", PAT: true})
	f.must(err)
	others, err := f.scm.Create(t.Context(), f.admin, scm.NewIntegration{Runner: f.keyless.ID, SCMID: "github", Host: "github.com", PAT: true})
	f.must(err)
	f.take()
	for name, tt := range map[string]struct {
		change func(*hosttoken.NewToken)
		code   fault.Code
		field  string
	}{
		"no value":                     {func(n *hosttoken.NewToken) { n.Value = "" }, fault.InvalidArgument, "token"},
		"no host":                      {func(n *hosttoken.NewToken) { n.Host = "" }, fault.InvalidArgument, "host"},
		"a URL":                        {func(n *hosttoken.NewToken) { n.Host = "https://github.com" }, fault.InvalidArgument, "host"},
		"a user name":                  {func(n *hosttoken.NewToken) { n.Host = "git@github.com" }, fault.InvalidArgument, "host"},
		"two hosts":                    {func(n *hosttoken.NewToken) { n.Host = "github.com gitlab.com" }, fault.InvalidArgument, "host"},
		"no runner":                    {func(n *hosttoken.NewToken) { n.Runner = id.Runner(id.New()) }, fault.NotFound, ""},
		"a runner without a key":       {func(n *hosttoken.NewToken) { n.Runner = f.keyless.ID }, fault.FailedPrecondition, ""},
		"no integration":               {func(n *hosttoken.NewToken) { n.Integration = id.New() }, fault.NotFound, ""},
		"another runner's integration": {func(n *hosttoken.NewToken) { n.Integration = others.ID }, fault.NotFound, ""},
		"another host's integration":   {func(n *hosttoken.NewToken) { n.Integration = mine.ID }, fault.InvalidArgument, "integration_id"},
	} {
		n := f.gitHub()
		tt.change(&n)
		if _, err := f.Create(t.Context(), f.admin, n); !fault.Is(err, tt.code) || fault.From(err).Field != tt.field {
			t.Errorf("%s: %v", name, err)
		}
	}
	if events, told := f.take(); len(events)+len(told) > 0 {
		t.Errorf("refused calls left %v, %v", events, told)
	}
	n := f.gitHub()
	n.Host, n.Integration = "GITLAB.com", mine.ID
	if got := f.create(f.admin, n); got.Integration != mine.ID {
		t.Errorf("integration %q", got.Integration)
	}
	f.must(f.store.Fleet().Write(t.Context(), func(tx fleet.Tx) error {
		r := f.runner
		r.DeletingAt = r.CreatedAt
		_, err := tx.UpdateRunner(t.Context(), r)
		return err
	}))
	if _, err := f.Create(t.Context(), f.admin, f.gitHub()); !fault.HasReason(err, fault.RunnerGone) {
		t.Errorf("on a runner that is being deleted: %v", err)
	}
}

func TestOneCredentialPerHost(t *testing.T) {
	f := setup(t)
	var made, taken atomic.Int32
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			n := f.gitHub()
			n.Host = []string{"github.com", "GitHub.com", "GITHUB.COM"}[i%3]
			switch _, err := f.Create(t.Context(), f.user, n); {
			case err == nil:
				made.Add(1)
			case fault.Is(err, fault.AlreadyExists):
				taken.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if made.Load() != 1 || taken.Load() != 19 {
		t.Errorf("%d made it, %d were told that it is there", made.Load(), taken.Load())
	}
	f.create(f.admin, f.gitHub()) // of somebody else
}

// Whoever is gone leaves no credential behind, however late it is stored.
func TestNobodyWhoLeftStoresAnything(t *testing.T) {
	f := setup(t)
	f.must(f.store.Identity().Write(t.Context(), func(tx identity.Tx) error {
		u, _, err := tx.User(t.Context(), f.user.Organization, id.User(f.user.ID))
		if err != nil {
			return err
		}
		u.Status = identity.StatusLeft
		_, err = tx.UpdateUser(t.Context(), u)
		return err
	}))
	if _, err := f.Create(t.Context(), f.user, f.gitHub()); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("after leaving: %v", err)
	}
}

func TestUpdateMerges(t *testing.T) {
	f := setup(t)
	made := f.create(f.user, f.gitHub())
	type state struct {
		Value, Refresh string
		Scopes         []string
		ExpiresAt      time.Time
	}
	want := state{secret, refresh, made.Scopes, made.ExpiresAt}
	later := time.Date(2030, 1, 1, 0, 0, 0, 1000, time.UTC)
	f.take()
	for _, step := range []struct {
		name   string
		change hosttoken.Change
		want   func(*state)
		told   int
	}{
		{"nothing", hosttoken.Change{}, func(*state) {}, 0},
		{"the value", hosttoken.Change{Value: new("v2")}, func(s *state) { s.Value = "v2" }, 1},
		{"the refresh token", hosttoken.Change{RefreshToken: new("r2")}, func(s *state) { s.Refresh = "r2" }, 1},
		{"no scopes", hosttoken.Change{Scopes: []string{}}, func(*state) {}, 0},
		{"scopes and expiry", hosttoken.Change{Scopes: []string{"b", "a"}, ExpiresAt: &later}, func(s *state) { s.Scopes, s.ExpiresAt = []string{"b", "a"}, later }, 0},
		{"both values", hosttoken.Change{Value: new("v3"), RefreshToken: new("r3")}, func(s *state) { s.Value, s.Refresh = "v3", "r3" }, 2},
		{"without a refresh token", hosttoken.Change{RefreshToken: new("")}, func(s *state) { s.Refresh = "" }, 1},
		{"without an expiry", hosttoken.Change{ExpiresAt: &time.Time{}}, func(s *state) { s.ExpiresAt = time.Time{} }, 0},
	} {
		step.want(&want)
		f.must(f.Update(t.Context(), f.user, made.ID, step.change))
		got := f.get(f.user, made.ID)
		if d := cmp.Diff(want, state{f.open(got.Value, got.ID, "token"), f.open(got.RefreshToken, got.ID, "refresh_token"), got.Scopes, got.ExpiresAt}); d != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, d)
		}
		if events, told := f.take(); !slices.Equal(events, []string{"host_authentication_token updated"}) || len(told) != step.told {
			t.Errorf("%s: events %v, told %v", step.name, events, told)
		}
	}
	if err := f.Update(t.Context(), f.user, made.ID, hosttoken.Change{Value: new("")}); !fault.Is(err, fault.InvalidArgument) {
		t.Errorf("an empty value: %v", err)
	}
}

// The control plane keeps no secret in clear.
func TestSecretsAreNotInTheDatabase(t *testing.T) {
	f := setup(t)
	made := f.create(f.user, f.gitHub())
	f.must(f.Update(t.Context(), f.user, made.ID, hosttoken.Change{Value: new(secret + "-2"), RefreshToken: new(refresh + "-2")}))
	f.must(f.store.Close())
	files, err := filepath.Glob(filepath.Join(f.dir, "*"))
	f.must(err)
	for _, file := range files {
		raw, err := os.ReadFile(file) //nolint:gosec // the test's own directory
		f.must(err)
		if strings.Contains(string(raw), secret) || strings.Contains(string(raw), refresh) {
			t.Errorf("%s holds a secret in clear", file)
		}
	}
}
