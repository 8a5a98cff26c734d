package scm_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/hosttoken"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/page"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/runnerschema"
	"github.com/musterhq/muster/internal/scm"
	"github.com/musterhq/muster/internal/seal"
)

func firstPage(t *testing.T) page.Query {
	t.Helper()
	q, err := page.Parse(page.Request{Size: 100}, "")
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func TestWhatIsCreatedIsRead(t *testing.T) {
	f := setup(t)
	made := f.create(f.gitHub())
	got := f.get(made.ID)
	if d := cmp.Diff(made, got, cmp.Comparer(func(a, b seal.Secret) bool { return string(a) == string(b) })); d != "" {
		t.Errorf("read back (-made +got):\n%s", d)
	}
	if got.Host != "GitHub.com" || f.open(got) != secret {
		t.Errorf("host %q", got.Host)
	}
	if got.Stale(f.runner.PublicKey) || !got.Stale(make([]byte, seal.KeySize)) {
		t.Error("the secret is sealed to the runner's key and to no other")
	}
	events, told := f.take()
	if !slices.Equal(events, []string{"runner_scm_integration created"}) || !slices.Equal(told, []string{"scm_integration/" + made.ID + "/client_secret"}) {
		t.Errorf("events %v, told %v", events, told)
	}
}

// The words are those that Terraform looks for.
func TestOAuthNeedsAKey(t *testing.T) {
	f := setup(t)
	n := f.gitHub()
	n.Runner = f.keyless.ID
	refused := func(err error) {
		t.Helper()
		if !fault.Is(err, fault.FailedPrecondition) || !fault.HasReason(err, fault.NoPublicKey) || !strings.Contains(fault.From(err).Message, "runner does not have a public key") {
			t.Errorf("without a key: %v", err)
		}
	}
	_, err := f.Create(t.Context(), f.admin, n)
	refused(err)
	n.OAuthClientID, n.OAuthClientSecret = "", ""
	made := f.create(n)
	client, plain, none := "client", "s", ""
	refused(f.Update(t.Context(), f.admin, made.ID, scm.Change{OAuthClientID: &client, OAuthClientSecret: &plain}))
	yes := true
	f.must(f.Update(t.Context(), f.admin, made.ID, scm.Change{OAuthClientID: &none, PAT: &yes, IssuerURL: &none, VirtualDirectory: &none}))
}

func TestRulesApply(t *testing.T) {
	f := setup(t)
	for name, change := range map[string]func(*scm.NewIntegration){
		"a URL as host":           func(n *scm.NewIntegration) { n.Host = "https://github.com" },
		"no host":                 func(n *scm.NewIntegration) { n.Host = "" },
		"no kind":                 func(n *scm.NewIntegration) { n.SCMID = "" },
		"a kind that is not his":  func(n *scm.NewIntegration) { n.SCMID = "fossil" },
		"a client without secret": func(n *scm.NewIntegration) { n.OAuthClientSecret = "" },
		"a secret without client": func(n *scm.NewIntegration) { n.OAuthClientID = "" },
		"an issuer on GitHub":     func(n *scm.NewIntegration) { n.IssuerURL = "https://login.example.com" },
		"no way to sign in":       func(n *scm.NewIntegration) { n.PAT, n.OAuthClientID, n.OAuthClientSecret = false, "", "" },
	} {
		f.schema = runnerschema.Schema{SCM: []runnerschema.SCM{{ID: "github", OAuth: true, PAT: true}}}
		n := f.gitHub()
		change(&n)
		if _, err := f.Create(t.Context(), f.admin, n); !fault.Is(err, fault.InvalidArgument) || fault.From(err).Field == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if events, told := f.take(); len(events)+len(told) > 0 {
		t.Errorf("refused calls left %v, %v", events, told)
	}
}

func TestOneIntegrationPerHost(t *testing.T) {
	f := setup(t)
	f.create(f.gitHub())
	n := f.gitHub()
	n.Host = "github.COM"
	if _, err := f.Create(t.Context(), f.admin, n); !fault.Is(err, fault.AlreadyExists) {
		t.Errorf("the same host again: %v", err)
	}
	n.Runner, n.OAuthClientID, n.OAuthClientSecret = f.keyless.ID, "", ""
	f.create(n) // on another runner

	n = f.gitHub()
	n.Host = "raced.example.com"
	var made, taken atomic.Int32
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			switch _, err := f.Create(t.Context(), f.admin, n); {
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
}

func TestDeleteTakesTheCredentialsAlong(t *testing.T) {
	f := setup(t)
	made := f.create(f.gitHub())
	gone := []string{f.hostToken(f.runner, "github.com", hosttoken.SourceOAuth), f.hostToken(f.runner, "GITHUB.com", hosttoken.SourcePAT)}
	elsewhere := f.hostToken(f.runner, "gitlab.com", hosttoken.SourcePAT)
	f.take()
	f.must(f.Delete(t.Context(), f.admin, made.ID))
	if there := f.hostTokens(); len(there) != 1 || !there[elsewhere] {
		t.Errorf("left: %v", there)
	}
	events, told := f.take()
	wantTold := []string{"scm_integration/" + made.ID + "/client_secret"}
	for _, token := range gone {
		wantTold = append(wantTold, "host_authentication_token/"+token+"/") // all of its secrets
	}
	slices.Sort(wantTold)
	if d := cmp.Diff([]string{"host_authentication_token deleted", "host_authentication_token deleted", "runner_scm_integration deleted"}, events); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(wantTold, told); d != "" {
		t.Error(d)
	}
	_, err := f.Get(t.Context(), f.admin, made.ID)
	for what, err := range map[string]error{
		"Get": err, "Delete": f.Delete(t.Context(), f.admin, made.ID), "Update": f.Update(t.Context(), f.admin, made.ID, scm.Change{}),
	} {
		if !fault.Is(err, fault.NotFound) {
			t.Errorf("%s after the deletion: %v", what, err)
		}
	}
}

func TestWhoMayWhat(t *testing.T) {
	f := setup(t)
	made := f.create(f.gitHub())
	n := f.gitHub()
	n.Runner, n.OAuthClientID, n.OAuthClientSecret = f.keyless.ID, "", ""
	other := f.create(n)
	stranger := f.person(f.organization(), resource.RoleOrgAdmin)
	creator := f.member
	creator.Subject = f.admin.Subject
	for _, tt := range []struct {
		name   string
		caller access.Caller
		sees   []string
		writes bool
	}{
		{"an admin", f.admin, []string{made.ID, other.ID}, true},
		{"a runners admin", f.person(f.admin.Organization, resource.RoleOrgRunnersAdmin), []string{made.ID, other.ID}, true},
		{"a member", f.member, nil, false},
		{"the maker of the runners", creator, []string{made.ID, other.ID}, false},
		{"a user of one runner", f.grant(f.member, f.runner, resource.RoleRunnerUser), []string{made.ID}, false},
		{"a reader of one runner", f.grant(f.member, f.runner, resource.RoleRunnerConfigurationReader), []string{made.ID}, false},
		{"an admin of one runner", f.grant(f.member, f.runner, resource.RoleRunnerAdmin), []string{made.ID}, true},
		{"an admin of another organization", stranger, nil, false},
		{"the runner", access.Caller{Subject: access.Subject{Principal: access.PrincipalRunner, ID: string(f.runner.ID)}, Organization: f.admin.Organization}, []string{made.ID}, false},
	} {
		var listed []string
		rows, _, err := f.List(t.Context(), tt.caller, scm.Query{}, page.Request{})
		f.must(err)
		for _, i := range rows {
			listed = append(listed, i.ID)
		}
		if d := cmp.Diff(tt.sees, listed); d != "" {
			t.Errorf("%s lists (-want +got):\n%s", tt.name, d)
		}
		rows, _, err = f.List(t.Context(), tt.caller, scm.Query{Runners: []id.Runner{f.runner.ID}}, page.Request{})
		if f.must(err); (len(rows) == 1) != slices.Contains(tt.sees, made.ID) {
			t.Errorf("%s lists %d of the runner", tt.name, len(rows))
		}
		for _, integration := range []string{made.ID, other.ID} {
			want := fault.NotFound
			if slices.Contains(tt.sees, integration) {
				want = 0
			}
			if _, err := f.Get(t.Context(), tt.caller, integration); (want == 0) != (err == nil) || want != 0 && !fault.Is(err, want) {
				t.Errorf("%s: Get: %v", tt.name, err)
			}
			if want == 0 && !tt.writes {
				want = fault.PermissionDenied
			}
			if err := f.Update(t.Context(), tt.caller, integration, scm.Change{}); (want == 0) != (err == nil) || want != 0 && !fault.Is(err, want) {
				t.Errorf("%s: Update: %v", tt.name, err)
			}
			if want == 0 {
				continue
			}
			if err := f.Delete(t.Context(), tt.caller, integration); !fault.Is(err, want) {
				t.Errorf("%s: Delete: %v", tt.name, err)
			}
		}
		n := scm.NewIntegration{Runner: f.runner.ID, SCMID: "gitlab", Host: "gitlab.com", PAT: true}
		i, err := f.Create(t.Context(), tt.caller, n)
		switch {
		case tt.writes:
			f.must(err)
			f.must(f.Delete(t.Context(), tt.caller, i.ID))
		case len(tt.sees) == 0 && !fault.Is(err, fault.NotFound), len(tt.sees) > 0 && !fault.Is(err, fault.PermissionDenied):
			t.Errorf("%s: Create: %v", tt.name, err)
		}
	}
}

func TestNothingIsAddedToARunnerThatGoes(t *testing.T) {
	f := setup(t)
	f.must(f.store.Fleet().Write(t.Context(), func(tx fleet.Tx) error {
		r := f.runner
		r.DeletingAt = r.CreatedAt
		_, err := tx.UpdateRunner(t.Context(), r)
		return err
	}))
	if _, err := f.Create(t.Context(), f.admin, f.gitHub()); !fault.HasReason(err, fault.RunnerGone) {
		t.Errorf("on a runner that is being deleted: %v", err)
	}
	n := f.gitHub()
	n.Runner = id.Runner(id.New())
	if _, err := f.Create(t.Context(), f.admin, n); !fault.Is(err, fault.NotFound) {
		t.Errorf("on no runner: %v", err)
	}
}

// The control plane keeps no secret in clear.
func TestSecretsAreNotInTheDatabase(t *testing.T) {
	f := setup(t)
	made := f.create(f.gitHub())
	other := "another-planted-secret"
	f.must(f.Update(t.Context(), f.admin, made.ID, scm.Change{OAuthClientSecret: &other}))
	if f.open(f.get(made.ID)) != other {
		t.Error("the secret is not the new one")
	}
	f.must(f.store.Close())
	files, err := filepath.Glob(filepath.Join(f.dir, "*"))
	f.must(err)
	for _, file := range files {
		raw, err := os.ReadFile(file) //nolint:gosec // the test's own directory
		f.must(err)
		if strings.Contains(string(raw), secret) || strings.Contains(string(raw), other) {
			t.Errorf("%s holds a secret in clear", file)
		}
	}
}
