package hosttoken_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/hosttoken"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/scm"
	"github.com/musterhq/muster/internal/seal"
)

// sealed is a secret of a credential as the runner seals it to itself.
func (f *fixture) sealed(token, part, plain string) seal.Secret {
	f.t.Helper()
	s, err := seal.To(f.runner.PublicKey, "host_authentication_token/"+token+"/"+part, []byte(plain))
	f.must(err)
	return s
}

func (f *fixture) values(token, value, refresh string) hosttoken.Values {
	return hosttoken.Values{Value: f.sealed(token, "token", value), RefreshToken: f.sealed(token, "refresh_token", refresh)}
}

// integration connects the runner to GitHub.com with OAuth.
func (f *fixture) integration() scm.Integration {
	f.t.Helper()
	i, err := f.scm.Create(f.t.Context(), f.admin, scm.NewIntegration{
		Runner: f.runner.ID, SCMID: "github", Host: "GitHub.com", PAT: true, OAuthClientID: "c", OAuthClientSecret: "s",
	})
	f.must(err)
	return i
}

// signIn is what a sign-in to an integration brings to whoever has the caller's
// rights.
func (f *fixture) signIn(c access.Caller, i scm.Integration) hosttoken.SignIn {
	f.t.Helper()
	token, there, err := f.TokenID(f.t.Context(), c, i.Runner, i.Host)
	f.must(err)
	return hosttoken.SignIn{Runner: i.Runner, Integration: i.ID, Host: i.Host, Token: token, Replaces: there, Values: f.values(token, secret, refresh)}
}

func TestKeepMakesACredential(t *testing.T) {
	f := setup(t)
	in := f.signIn(f.user, f.integration())
	in.ExpiresAt = time.Date(2027, 1, 2, 3, 4, 5, 678_901_999, time.UTC)
	in.Scopes = []string{"repo", "", "read:org", "a b", "ü", "x\x00", strings.Repeat("x", 256)}
	f.take()
	f.must(f.Keep(t.Context(), f.user, in))
	events, told := f.take()
	if !slices.Equal(events, []string{"host_authentication_token created"}) {
		t.Errorf("events %v", events)
	}
	names := []string{"host_authentication_token/" + in.Token + "/refresh_token", "host_authentication_token/" + in.Token + "/token"}
	if !slices.Equal(told, names) {
		t.Errorf("the runner was told of %v", told)
	}
	got := f.get(f.user, in.Token)
	if f.open(got.Value, in.Token, "token") != secret || f.open(got.RefreshToken, in.Token, "refresh_token") != refresh {
		t.Error("the runner cannot open the values")
	}
	want := hosttoken.Token{
		ID: in.Token, Organization: f.user.Organization, Runner: f.runner.ID, Host: "GitHub.com", Subject: f.user.Subject, Source: hosttoken.SourceOAuth,
		Integration: in.Integration, Scopes: []string{"repo", "read:org"}, ExpiresAt: in.ExpiresAt.Truncate(time.Microsecond),
		Value: in.Value, RefreshToken: in.RefreshToken, CreatedAt: got.CreatedAt, UpdatedAt: got.CreatedAt, Revision: 1,
	}
	if d := cmp.Diff(want, got); d != "" || got.CreatedAt.IsZero() {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// Whatever the person had for the host is replaced: they have one credential for
// it at most.
func TestKeepTakesThePlaceOfACredential(t *testing.T) {
	f := setup(t)
	i := f.integration()
	n := f.gitHub()
	n.Source, n.Host = hosttoken.SourcePAT, "github.COM"
	before := f.create(f.user, n)
	in := f.signIn(f.user, i)
	if in.Token != before.ID {
		t.Fatalf("the id is %s, and not %s", in.Token, before.ID)
	}
	in.Values = f.values(in.Token, "new", "newer")
	in.RefreshToken, in.Scopes = nil, nil
	f.take()
	f.must(f.Keep(t.Context(), f.user, in))
	if events, told := f.take(); !slices.Equal(events, []string{"host_authentication_token updated"}) || len(told) != 2 {
		t.Errorf("events %v, told %v", events, told)
	}
	got := f.get(f.user, before.ID)
	if got.Source != hosttoken.SourceOAuth || got.Integration != i.ID || got.Host != "github.COM" || got.Revision != 2 ||
		len(got.RefreshToken) != 0 || len(got.Scopes) != 0 || !got.ExpiresAt.IsZero() || f.open(got.Value, got.ID, "token") != "new" {
		t.Errorf("got %+v", got)
	}
}

// Another spelling of the host does not keep the old credential, unless it belongs
// to another integration.
func TestKeepTakesThePlaceOfAnotherSpelling(t *testing.T) {
	f := setup(t)
	i := f.integration()
	old, other := f.gitHub(), f.gitHub()
	old.Host, other.Host, old.Source = "www.github.com:443", "github.example.com", hosttoken.SourcePAT
	before := f.create(f.user, old)
	f.create(f.user, other)
	in := f.signIn(f.user, i)
	if in.Token != before.ID {
		t.Fatalf("the id is %s, and not %s", in.Token, before.ID)
	}
	in.Values = f.values(in.Token, "new", "newer")
	f.must(f.Keep(t.Context(), f.user, in))
	if got := f.get(f.user, before.ID); got.Source != hosttoken.SourceOAuth || got.Integration != i.ID || f.open(got.Value, got.ID, "token") != "new" {
		t.Errorf("got %+v", got)
	}
	if id, _, err := f.TokenID(t.Context(), f.user, f.runner.ID, "ssh.github.com"); err != nil || id == before.ID {
		t.Errorf("what belongs to an integration is replaced for another: %v", err)
	}
}

func TestKeepRefuses(t *testing.T) {
	f := setup(t)
	i := f.integration()
	public, _, err := seal.NewKeyPair()
	f.must(err)
	other, err := seal.To(public[:], "x", []byte("y"))
	f.must(err)
	deleting := f.grant(f.person(f.admin.Organization, resource.RoleOrgMember), f.runner, resource.RoleRunnerUser)
	deleter := f.grant(f.person(f.admin.Organization, resource.RoleOrgMember), f.runner, resource.RoleRunnerUser)
	f.create(deleter, f.gitHub())
	for name, tt := range map[string]struct {
		c      access.Caller
		change func(*hosttoken.SignIn)
		code   fault.Code
		reason fault.Reason
	}{
		"who may not use the runner": {f.member, nil, fault.NotFound, fault.ReasonNotFound},
		"a runner": {
			access.Caller{Subject: access.Subject{Principal: access.PrincipalRunner, ID: string(f.runner.ID)}, Organization: f.user.Organization},
			nil, fault.Unauthenticated, fault.UnknownToken,
		},
		"another key":                   {f.user, func(in *hosttoken.SignIn) { in.Value = other }, fault.FailedPrecondition, fault.KeyMismatch},
		"another key for the refresh":   {f.user, func(in *hosttoken.SignIn) { in.RefreshToken = other }, fault.FailedPrecondition, fault.KeyMismatch},
		"nothing":                       {f.user, func(in *hosttoken.SignIn) { in.Value = nil }, fault.FailedPrecondition, fault.KeyMismatch},
		"plain text":                    {f.user, func(in *hosttoken.SignIn) { in.Value = []byte("plain") }, fault.FailedPrecondition, fault.KeyMismatch},
		"too much":                      {f.user, func(in *hosttoken.SignIn) { in.Value = append(in.Value, make([]byte, 17<<10)...) }, fault.InvalidArgument, fault.RunnerRefused},
		"an integration that is gone":   {f.user, func(in *hosttoken.SignIn) { in.Integration = id.New() }, fault.NotFound, fault.ReasonNotFound},
		"another host":                  {f.user, func(in *hosttoken.SignIn) { in.Host = "gitlab.com" }, fault.InvalidArgument, fault.InvalidField},
		"a runner that is gone":         {f.user, func(in *hosttoken.SignIn) { in.Runner = id.Runner(id.New()) }, fault.NotFound, fault.ReasonNotFound},
		"one that was deleted":          {deleter, func(in *hosttoken.SignIn) { f.must(f.Delete(t.Context(), deleter, in.Token)) }, fault.Aborted, fault.Conflict},
		"an id that is not its own one": {deleting, func(in *hosttoken.SignIn) { f.create(deleting, f.gitHub()) }, fault.Aborted, fault.Conflict},
	} {
		in := f.signIn(tt.c, i)
		if tt.change != nil {
			tt.change(&in)
		}
		if err := f.Keep(t.Context(), tt.c, in); !fault.Is(err, tt.code) || !fault.HasReason(err, tt.reason) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for n := range 100 {
		n := hosttoken.NewToken{Runner: f.runner.ID, Host: fmt.Sprintf("%d.example.com", n), Value: "v"}
		f.create(f.user, n)
	}
	if err := f.Keep(t.Context(), f.user, f.signIn(f.user, i)); !fault.HasReason(err, fault.LimitReached) {
		t.Errorf("one more than the most: %v", err)
	}
	f.must(f.store.Fleet().Write(t.Context(), func(tx fleet.Tx) error {
		r := f.runner
		r.DeletingAt = time.Now()
		_, err := tx.UpdateRunner(t.Context(), r)
		return err
	}))
	if err := f.Keep(t.Context(), f.user, f.signIn(f.user, i)); !fault.HasReason(err, fault.RunnerGone) {
		t.Errorf("a runner that is being deleted: %v", err)
	}
}

func TestRefreshed(t *testing.T) {
	f := setup(t)
	runner := f.runnerCaller(f.runner)
	token := f.create(f.user, f.gitHub())
	from := func() seal.Digest { return f.get(f.user, token.ID).RefreshToken.Digest() }
	f.take()
	v := f.values(token.ID, "second", "second-refresh")
	v.ExpiresAt = time.Date(2028, 1, 1, 0, 0, 0, 0, time.UTC)
	first := from()
	for _, name := range []string{"the first time", "again"} { // which changes nothing
		if revision, superseded, err := f.Refreshed(t.Context(), runner, token.ID, first, &v); revision != 2 || superseded || err != nil {
			t.Fatalf("%s: %d, %v, %v", name, revision, superseded, err)
		}
	}
	if events, told := f.take(); !slices.Equal(events, []string{"host_authentication_token updated"}) || len(told) != 2 {
		t.Errorf("events %v, told %v", events, told)
	}
	got := f.get(f.user, token.ID)
	if got.Revision != 2 || f.open(got.Value, token.ID, "token") != "second" || f.open(got.RefreshToken, token.ID, "refresh_token") != "second-refresh" ||
		!got.ExpiresAt.Equal(v.ExpiresAt) || !slices.Equal(got.Scopes, token.Scopes) {
		t.Errorf("got %+v", got)
	}
	// Its owner changes something else meanwhile. A host that gives no new refresh
	// token goes on accepting the old one.
	f.must(f.Update(t.Context(), f.user, token.ID, hosttoken.Change{ExpiresAt: new(time.Now()), Scopes: []string{"more"}}))
	third := hosttoken.Values{Value: f.sealed(token.ID, "token", "third"), Scopes: []string{"less"}}
	if revision, superseded, err := f.Refreshed(t.Context(), runner, token.ID, from(), &third); revision != 4 || superseded || err != nil {
		t.Fatalf("third: %d, %v, %v", revision, superseded, err)
	}
	if got := f.get(f.user, token.ID); f.open(got.RefreshToken, token.ID, "refresh_token") != "second-refresh" || !slices.Equal(got.Scopes, []string{"less"}) {
		t.Errorf("got %+v", got)
	}
	// What the host refuses to renew has expired.
	if revision, superseded, err := f.Refreshed(t.Context(), runner, token.ID, from(), nil); revision != 5 || superseded || err != nil {
		t.Fatalf("refused: %d, %v, %v", revision, superseded, err)
	}
	if got := f.get(f.user, token.ID); len(got.RefreshToken) != 0 || got.ExpiresAt.IsZero() || got.ExpiresAt.After(time.Now()) {
		t.Errorf("got %+v", got)
	}
}

// What a runner brings for a credential that is not its own, or not that one any
// more, changes nothing.
func TestRefreshedIsSuperseded(t *testing.T) {
	f := setup(t)
	token := f.create(f.user, f.gitHub())
	old := token.RefreshToken.Digest()
	f.must(f.Update(t.Context(), f.user, token.ID, hosttoken.Change{RefreshToken: new(refresh)})) // the same one, sealed anew
	unrenewable := f.gitHub()
	unrenewable.Host, unrenewable.RefreshToken = "gitlab.com", ""
	bare := f.create(f.user, unrenewable)
	other := f.addRunner(f.runner.PublicKey)
	before := f.get(f.user, token.ID)
	from := before.RefreshToken.Digest()
	f.take()
	for name, tt := range map[string]struct {
		runner   access.Caller
		token    string
		from     seal.Digest
		revision int64
	}{
		"another runner's":       {f.runnerCaller(other), token.ID, from, 0},
		"an older refresh token": {f.runnerCaller(f.runner), token.ID, old, 2},
		"no refresh token":       {f.runnerCaller(f.runner), token.ID, seal.Digest{}, 2},
		"none":                   {f.runnerCaller(f.runner), id.New(), from, 0},
		"without refresh tokens": {f.runnerCaller(f.runner), bare.ID, seal.Digest{}, 1},
	} {
		v := f.values(tt.token, "new", "new")
		for _, v := range []*hosttoken.Values{&v, nil} {
			if revision, superseded, err := f.Refreshed(t.Context(), tt.runner, tt.token, tt.from, v); revision != tt.revision || !superseded || err != nil {
				t.Errorf("%s: %d, %v, %v", name, revision, superseded, err)
			}
		}
	}
	if events, told := f.take(); len(events) > 0 || len(told) > 0 {
		t.Errorf("events %v, told %v", events, told)
	}
	if d := cmp.Diff(before, f.get(f.user, token.ID)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	public, _, err := seal.NewKeyPair()
	f.must(err)
	wrong, err := seal.To(public[:], "x", []byte("y"))
	f.must(err)
	if _, _, err := f.Refreshed(t.Context(), f.runnerCaller(f.runner), token.ID, from, &hosttoken.Values{Value: wrong}); !fault.HasReason(err, fault.KeyMismatch) {
		t.Errorf("another key: %v", err)
	}
	for name, c := range map[string]access.Caller{"its owner": f.user, "an admin": f.admin, "nobody": {}} {
		if _, _, err := f.Refreshed(t.Context(), c, token.ID, from, nil); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func (f *fixture) runnerCaller(r fleet.Runner) access.Caller {
	return access.Caller{Subject: access.Subject{Principal: access.PrincipalRunner, ID: string(r.ID)}, Organization: r.Organization}
}
