package link_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/codehost"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/hosttoken"
	"github.com/musterhq/muster/internal/scmurl"
	"github.com/musterhq/muster/internal/seal"
)

const hostToken = "0192ffff-0000-7000-8000-000000000001"

// fakeTokens stores what comes for the runner A.
type fakeTokens struct {
	mu     sync.Mutex
	stored []*hosttoken.Values
	err    error
	// hold makes it wait until it is closed.
	hold chan struct{}
}

func (f *fakeTokens) Refreshed(ctx context.Context, c access.Caller, token string, from seal.Digest, v *hosttoken.Values) (int64, bool, error) {
	if f.hold != nil {
		select {
		case <-f.hold:
		case <-ctx.Done():
			return 0, false, ctx.Err()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return 0, false, f.err
	}
	if c.ID != runnerA || token != hostToken {
		return 0, true, nil
	}
	f.stored = append(f.stored, v)
	return int64(from[0]), false, nil
}

func (r *runner) refreshed(f *linkv1.TokenRefreshed) {
	r.t.Helper()
	r.send(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_TokenRefreshed{TokenRefreshed: f}})
}

func renewal(request uint64) *linkv1.TokenRefreshed {
	return &linkv1.TokenRefreshed{RequestId: request, TokenId: hostToken, RefreshTokenSha256: seal.Digest{4}.Bytes(), Values: &linkv1.SignedIn{SealedToken: []byte("sealed")}}
}

func TestRenewedTokensAreStored(t *testing.T) {
	test(t, func(t *testing.T, p *plane) {
		tokens := &fakeTokens{}
		p.SetTokens(tokens)
		a, _ := p.join(t, runnerA, hello(bootOne))
		full := renewal(7)
		full.TokenId = strings.ToUpper(hostToken)
		at := time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)
		full.Values = &linkv1.SignedIn{SealedToken: []byte("t"), SealedRefreshToken: []byte("r"), ExpiresAt: timestamppb.New(at), Scopes: []string{"repo"}}
		refused := &linkv1.TokenRefreshed{RequestId: 8, TokenId: hostToken, RefreshTokenSha256: seal.Digest{5}.Bytes(), Refused: true}
		for _, f := range []*linkv1.TokenRefreshed{full, refused} {
			a.refreshed(f)
			want := &linkv1.TokenStored{RequestId: f.GetRequestId(), Revision: int64(f.GetRefreshTokenSha256()[0])}
			if d := cmp.Diff(want, a.receive().GetTokenStored(), protocmp.Transform()); d != "" {
				t.Error(d)
			}
		}
		want := []*hosttoken.Values{{Value: []byte("t"), RefreshToken: []byte("r"), ExpiresAt: at, Scopes: []string{"repo"}}, nil}
		if d := cmp.Diff(want, tokens.stored); d != "" {
			t.Error(d)
		}
		b, _ := p.join(t, runnerB, hello(bootTwo))
		b.refreshed(renewal(9))
		if got := b.receive().GetTokenStored(); got.GetRequestId() != 9 || !got.GetSuperseded() || got.GetRevision() != 0 || got.GetError() != "" {
			t.Errorf("another runner's: %v", got)
		}
		for code, final := range map[fault.Code]bool{
			fault.FailedPrecondition: true, fault.InvalidArgument: true, fault.NotFound: true, fault.PermissionDenied: true,
			fault.Unavailable: false, fault.Aborted: false, fault.DeadlineExceeded: false, fault.ResourceExhausted: false, fault.Internal: false,
		} {
			tokens.err = fault.New(code, fault.KeyMismatch, "Another key.")
			a.refreshed(renewal(10))
			want := &linkv1.TokenStored{RequestId: 10, Error: "Another key.", Final: final}
			if d := cmp.Diff(want, a.receive().GetTokenStored(), protocmp.Transform()); d != "" {
				t.Errorf("%v: %s", code, d)
			}
		}
	})
}

func TestFramesThatAreNoRenewals(t *testing.T) {
	test(t, func(t *testing.T, p *plane) {
		tokens := &fakeTokens{}
		p.SetTokens(tokens)
		r, _ := p.join(t, runnerA, hello(bootOne))
		for name, change := range map[string]func(*linkv1.TokenRefreshed){
			"no id":             func(f *linkv1.TokenRefreshed) { f.TokenId = "" },
			"no UUID":           func(f *linkv1.TokenRefreshed) { f.TokenId = strings.Repeat("x", 1<<20) },
			"no values":         func(f *linkv1.TokenRefreshed) { f.Values = nil },
			"nothing in them":   func(f *linkv1.TokenRefreshed) { f.Values = &linkv1.SignedIn{} },
			"values, refused":   func(f *linkv1.TokenRefreshed) { f.Refused = true },
			"no refresh token":  func(f *linkv1.TokenRefreshed) { f.RefreshTokenSha256 = nil },
			"half of one":       func(f *linkv1.TokenRefreshed) { f.RefreshTokenSha256 = make([]byte, 16) },
			"no time":           func(f *linkv1.TokenRefreshed) { f.Values.ExpiresAt = &timestamppb.Timestamp{Seconds: 1 << 62} },
			"no time either":    func(f *linkv1.TokenRefreshed) { f.Values.ExpiresAt = &timestamppb.Timestamp{Nanos: -1} },
			"no part of a time": func(f *linkv1.TokenRefreshed) { f.Values.ExpiresAt = &timestamppb.Timestamp{Nanos: 1 << 30} },
		} {
			f := renewal(1)
			change(f)
			r.refreshed(f)
			if got := r.receive().GetTokenStored(); got.GetRequestId() != 1 || got.GetError() == "" || !got.GetFinal() || got.GetSuperseded() {
				t.Errorf("%s: %v", name, got)
			}
		}
		if len(tokens.stored) > 0 {
			t.Errorf("stored %v", tokens.stored)
		}
		r.renew(1) // the link goes on
	})
}

// A slow database keeps nothing else waiting, and a runner waits for so many.
func TestRenewalsBlockNothing(t *testing.T) {
	test(t, func(t *testing.T, p *plane) {
		tokens := &fakeTokens{hold: make(chan struct{})}
		p.SetTokens(tokens)
		r, _ := p.join(t, runnerA, hello(bootOne))
		for n := range uint64(64) {
			r.refreshed(renewal(n + 1))
		}
		r.refreshed(renewal(65))
		if got := r.receive().GetTokenStored(); got.GetRequestId() != 65 || !strings.Contains(got.GetError(), "Too many") || got.GetFinal() {
			t.Fatalf("the 65th: %v", got)
		}
		r.renew(1)
		close(tokens.hold)
		for range 64 {
			if got := r.receive().GetTokenStored(); got.GetError() != "" {
				t.Fatalf("got %v", got)
			}
		}
		r.refreshed(renewal(66))
		if got := r.receive().GetTokenStored(); got.GetRequestId() != 66 || got.GetError() != "" {
			t.Errorf("later: %v", got)
		}
	})
}

// Each renewal leaves an audit entry; a runner that was broken into must not bury
// the others.
func TestRenewalsComeAtAPace(t *testing.T) {
	test(t, func(t *testing.T, p *plane) {
		p.SetTokens(&fakeTokens{})
		r, _ := p.join(t, runnerA, hello(bootOne))
		stores := func(r *runner) (n int) {
			for {
				r.refreshed(renewal(1))
				if got := r.receive().GetTokenStored(); got.GetError() != "" {
					return n
				}
				n++
			}
		}
		if n := stores(r); n != 200 {
			t.Errorf("%d at once", n)
		}
		time.Sleep(time.Second)
		if n := stores(r); n != 5 {
			t.Errorf("%d in a second", n)
		}
		r.kill()
		synctest.Wait()
		r, _ = p.join(t, runnerA, hello(bootTwo))
		if n := stores(r); n != 0 {
			t.Errorf("%d over a new link", n)
		}
	})
}

func TestRunnersAreAskedToSignPeopleIn(t *testing.T) {
	test(t, func(t *testing.T, p *plane) {
		r, _ := p.join(t, runnerA, hello(bootOne))
		host := codehost.Host{Integration: scmurl.Integration{ID: "i", SCMID: "gitlab", Host: "gitlab.example/git", OAuth: true}, OAuthClientID: "client"}
		source := &linkv1.SourceHost{IntegrationId: "i", ScmId: "gitlab", Host: "gitlab.example/git", OauthClientId: "client"}
		type answer struct {
			page   string
			values hosttoken.Values
			err    error
		}
		done := make(chan answer, 1)
		begin := func() *linkv1.Request {
			go func() {
				page, err := p.BeginSignIn(t.Context(), runnerA, host, "state", "https://muster.example/oauth/callback", 10*time.Minute)
				done <- answer{page: page, err: err}
			}()
			return r.receive().GetRequest()
		}
		finish := func() *linkv1.Request {
			go func() {
				v, err := p.FinishSignIn(t.Context(), runnerA, host, "state", "https://muster.example/oauth/callback", "code", hostToken)
				done <- answer{values: v, err: err}
			}()
			return r.receive().GetRequest()
		}
		q := begin()
		if d := cmp.Diff(&linkv1.BeginSignIn{
			Host: source, State: "state", RedirectUrl: "https://muster.example/oauth/callback", Life: durationpb.New(10 * time.Minute),
		}, q.GetBeginSignIn(), protocmp.Transform()); d != "" {
			t.Error(d)
		}
		r.reply(&linkv1.Reply{RequestId: q.GetRequestId(), Reply: &linkv1.Reply_SignInBegun{SignInBegun: &linkv1.SignInBegun{AuthorizeUrl: "https://gitlab.example/git/oauth/authorize"}}})
		if got := <-done; got.page != "https://gitlab.example/git/oauth/authorize" || got.err != nil {
			t.Errorf("BeginSignIn: %+v", got)
		}
		q = finish()
		if d := cmp.Diff(&linkv1.FinishSignIn{
			Host: source, State: "state", RedirectUrl: "https://muster.example/oauth/callback", Code: "code", TokenId: hostToken,
		}, q.GetFinishSignIn(), protocmp.Transform()); d != "" {
			t.Error(d)
		}
		r.reply(&linkv1.Reply{RequestId: q.GetRequestId(), Reply: &linkv1.Reply_SignedIn{SignedIn: &linkv1.SignedIn{SealedToken: []byte("t"), Scopes: []string{"api"}}}})
		if got := <-done; got.err != nil || string(got.values.Value) != "t" || len(got.values.RefreshToken) > 0 || !got.values.ExpiresAt.IsZero() {
			t.Errorf("FinishSignIn: %+v", got)
		}
		for name, ask := range map[string]func() *linkv1.Request{"begin": begin, "finish": finish} {
			r.reply(&linkv1.Reply{RequestId: ask().GetRequestId()})
			if got := <-done; !fault.HasReason(got.err, fault.RunnerRefused) {
				t.Errorf("%s: an empty reply: %v", name, got.err)
			}
			r.reply(&linkv1.Reply{RequestId: ask().GetRequestId(), Failure: &linkv1.Failure{Code: 9, Reason: "sign-in-failed", Message: "The host says no."}})
			if got := <-done; !fault.HasReason(got.err, fault.SignInFailed) {
				t.Errorf("%s: a failure: %v", name, got.err)
			}
		}
		r.reply(&linkv1.Reply{RequestId: finish().GetRequestId(), Reply: &linkv1.Reply_SignedIn{SignedIn: &linkv1.SignedIn{}}})
		if got := <-done; !fault.HasReason(got.err, fault.RunnerRefused) {
			t.Errorf("nothing sealed: %v", got.err)
		}
	})
}
