package agent_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	linkv1 "github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/internal/agent/scmhost"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/seal"
)

// renewing is a host that renews tokens: "planted-new-1" and so on, each good for
// an hour, and takes only the newest.
func renewing() *hosts {
	h := &hosts{good: "planted-token"}
	n := 0
	h.refresh = func(context.Context, string) (scmhost.Grant, error) {
		n++
		h.good = fmt.Sprintf("planted-new-%d", n)
		return scmhost.Grant{Token: h.good, RefreshToken: fmt.Sprintf("planted-new-refresh-%d", n), ExpiresAt: time.Now().Add(time.Hour)}, nil
	}
	return h
}

// tell sends a question and does not wait.
func (l *planeLink) tell(t *testing.T, id uint64, q *linkv1.Request) {
	t.Helper()
	q.Patience = durationpb.New(12 * time.Second)
	l.send(t, request(id, q))
}

func (l *planeLink) stored(t *testing.T, s *linkv1.TokenStored) {
	t.Helper()
	l.send(t, &linkv1.PlaneFrame{Frame: &linkv1.PlaneFrame_TokenStored{TokenStored: s}})
}

func (l *planeLink) changed(t *testing.T, names ...string) {
	t.Helper()
	l.send(t, &linkv1.PlaneFrame{Frame: &linkv1.PlaneFrame_SecretsChanged{SecretsChanged: &linkv1.SecretsChanged{Names: names}}})
}

// refreshed is the next frame but deliveries of secrets, which must say that a
// token was renewed.
func (l *planeLink) refreshed(t *testing.T, s secrets) *linkv1.TokenRefreshed {
	t.Helper()
	f := l.await(t, s)
	if f.GetTokenRefreshed() == nil {
		t.Fatalf("got %v, want a renewed token", f)
	}
	return f.GetTokenRefreshed()
}

func TestATokenIsRenewedOnceForManyQuestions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := renewing()
		begun := make(chan struct{}, 200)
		renew := h.refresh
		h.refresh = func(ctx context.Context, token string) (scmhost.Grant, error) {
			begun <- struct{}{}
			if token != "planted-refresh-token" {
				t.Errorf("renewed with %q", token)
			}
			<-time.After(time.Second)
			return renew(ctx, token)
		}
		pr, l := asking(t, inMemory(t), h)
		for n := range uint64(100) {
			l.tell(t, n+1, parse(signedIn(30*time.Second), "u"))
		}
		delivered := map[string]int{}
		answered := map[uint64]bool{}
		var renewal *linkv1.TokenRefreshed
		var from seal.Secret
		for len(answered) < 100 || renewal == nil {
			f := l.next(t)
			switch {
			case f.GetSecretRequest() != nil:
				q := f.GetSecretRequest()
				delivered[q.GetName()]++
				sealed, err := seal.To(l.hello.GetPublicKey(), q.GetName(), []byte(allSecrets()[q.GetName()]))
				if err != nil {
					t.Fatal(err)
				}
				if q.GetName() == refreshToken {
					from = sealed
				}
				l.secret(t, &linkv1.SecretReply{RequestId: q.GetRequestId(), Sealed: sealed})
			case f.GetTokenRefreshed() != nil:
				renewal = f.GetTokenRefreshed()
			case f.GetReply().GetContextParsed() != nil:
				answered[f.GetReply().GetRequestId()] = true
			default:
				t.Fatalf("got %v", f)
			}
		}
		if len(begun) != 1 || delivered[refreshToken] != 1 || delivered[clientSecret] != 1 || len(delivered) != 2 {
			t.Errorf("the host was asked %d times, with the deliveries %v", len(begun), delivered)
		}
		values := renewal.GetValues()
		if renewal.GetTokenId() != tokenID || seal.DigestOf(renewal.GetRefreshTokenSha256()) != from.Digest() || renewal.GetRefused() ||
			open(t, pr, values.GetSealedToken(), hostToken) != "planted-new-1" || open(t, pr, values.GetSealedRefreshToken(), refreshToken) != "planted-new-refresh-1" ||
			time.Until(values.GetExpiresAt().AsTime()).Round(time.Minute) != time.Hour {
			t.Errorf("got %v", renewal)
		}
		for _, text := range []string{pr.logs.String(), pr.out.String()} {
			if strings.Contains(text, "planted-") {
				t.Errorf("a secret was printed: %s", text)
			}
		}
	})
}

// Whatever happens to links, a pair that the host has given is not lost.
func TestARenewedTokenOutlivesItsLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := renewing()
		p := inMemory(t)
		pr, l := asking(t, p, h)
		renew := h.refresh
		h.refresh = func(ctx context.Context, token string) (scmhost.Grant, error) {
			// The link breaks while the host works.
			l.end(t, nil)
			<-time.After(100 * time.Millisecond)
			if ctx.Err() != nil {
				t.Error("the renewal ended with the link")
			}
			return renew(ctx, token)
		}
		l.tell(t, 1, parse(signedIn(0), "u"))
		if f := l.await(t, allSecrets()); f != nil {
			t.Fatalf("got %v", f)
		}
		l = p.welcomed(t)
		first := l.refreshed(t, nil)
		// This one breaks after the frame, before its answer; and the control plane
		// fails to store it once.
		l.end(t, nil)
		l = p.welcomed(t)
		again := l.refreshed(t, nil)
		if string(again.GetValues().GetSealedToken()) != string(first.GetValues().GetSealedToken()) || string(again.GetRefreshTokenSha256()) != string(first.GetRefreshTokenSha256()) {
			t.Errorf("got %v", again)
		}
		l.stored(t, &linkv1.TokenStored{RequestId: again.GetRequestId(), Error: "the database is away"})
		begun := time.Now()
		last := l.refreshed(t, nil)
		if waited := time.Since(begun); waited != 5*time.Second {
			t.Errorf("it came again after %s", waited)
		}
		pr.logs.has(t, "the database is away")
		// A question of before still gets the newest value.
		if got := l.ask(t, nil, parse(signedIn(0), "u")); got.GetContextParsed() == nil {
			t.Errorf("got %v", got)
		}
		l.stored(t, &linkv1.TokenStored{RequestId: last.GetRequestId(), Revision: 2})
		l.end(t, nil)
		l = p.welcomed(t)
		if got := l.ask(t, nil, parse(signedIn(0), "u")); got.GetContextParsed() == nil {
			t.Errorf("got %v", got)
		}
		if want := []string{"planted-new-1", "planted-new-1"}; !slices.Equal(h.used, want) {
			t.Errorf("the host was asked with %q", h.used)
		}
	})
}

func TestARenewedTokenThatSomebodyReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := renewing()
		_, l := asking(t, inMemory(t), h)
		l.tell(t, 1, list(signedIn(0)))
		frames := []*linkv1.RunnerFrame{l.await(t, allSecrets()), l.await(t, nil)}
		n := slices.IndexFunc(frames, func(f *linkv1.RunnerFrame) bool { return f.GetTokenRefreshed() != nil })
		if n < 0 || frames[1-n].GetReply().GetOrganizationsListed() == nil {
			t.Fatalf("got %v", frames)
		}
		l.stored(t, &linkv1.TokenStored{RequestId: frames[n].GetTokenRefreshed().GetRequestId(), Revision: 2, Superseded: true})
		theirs := secrets{hostToken: "planted-theirs"}
		h.good = "planted-theirs"
		a := signedIn(time.Hour)
		a.Credential.Revision = 2
		if got := l.ask(t, theirs, list(a)); got.GetOrganizationsListed() == nil {
			t.Errorf("got %v", got)
		}
	})
}

func TestATokenThatTheHostRenewsNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := renewing()
		h.refresh = func(context.Context, string) (scmhost.Grant, error) {
			return scmhost.Grant{}, fault.New(fault.FailedPrecondition, fault.SignInRequired, "no").WithCause(scmhost.ErrRevoked)
		}
		_, l := asking(t, inMemory(t), h)
		l.tell(t, 1, parse(signedIn(0), "u"))
		for range 2 {
			f := l.await(t, allSecrets())
			if r := f.GetTokenRefreshed(); r != nil {
				if !r.GetRefused() || r.GetTokenId() != tokenID || len(r.GetRefreshTokenSha256()) == 0 || r.GetValues() != nil {
					t.Errorf("got %v", r)
				}
				l.stored(t, &linkv1.TokenStored{RequestId: r.GetRequestId(), Revision: 2})
				continue
			}
			if r := f.GetReply().GetFailure(); r.GetCode() != 9 || r.GetReason() != "sign-in-required" {
				t.Errorf("got %v", f)
			}
		}
		if got := l.ask(t, nil, authenticated(signedIn(time.Hour))).GetAuthenticationChecked().GetResult(); got == nil || got.GetAuthenticated() {
			t.Errorf("got %v", got)
		}
		if len(h.used) != 0 {
			t.Errorf("the host was asked with %q", h.used)
		}
	})
}

// The host has taken a token back early, and still renews it.
func TestATokenThatTheHostRefuses(t *testing.T) {
	for name, q := range map[string]func(*linkv1.HostAccess) *linkv1.Request{
		"parse":         func(a *linkv1.HostAccess) *linkv1.Request { return parse(a, "u") },
		"search":        func(a *linkv1.HostAccess) *linkv1.Request { return search("x", a) },
		"organizations": list, "authentication": authenticated, "repository": readable,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := renewing()
				h.good = "planted-another"
				_, l := asking(t, inMemory(t), h)
				l.tell(t, 1, q(signedIn(time.Hour)))
				for range 2 { // the renewal is handed over too
					r := l.await(t, allSecrets()).GetReply()
					if r.GetFailure() != nil || r.GetAuthenticationChecked() != nil && !r.GetAuthenticationChecked().GetResult().GetAuthenticated() {
						t.Errorf("got %v", r)
					}
				}
				if last := h.used[len(h.used)-1]; last != "planted-new-1" || h.used[0] != "planted-token" || len(h.used) > 3 {
					t.Errorf("the host was asked with %q", h.used)
				}
				// It is refused for good.
				h.good = "planted-another"
				r := l.ask(t, allSecrets(), parse(signedIn(time.Hour), "u"))
				if r.GetFailure().GetReason() != "sign-in-required" {
					t.Errorf("got %v", r)
				}
			})
		})
	}
}

// What can never be stored is not sent for ever.
func TestARenewalThatTheControlPlaneRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inMemory(t)
		pr, l := asking(t, p, renewing())
		l.tell(t, 1, parse(signedIn(0), "u"))
		for range 2 {
			if r := l.await(t, allSecrets()).GetTokenRefreshed(); r != nil {
				l.stored(t, &linkv1.TokenStored{RequestId: r.GetRequestId(), Error: "another key", Final: true})
			}
		}
		synctest.Wait()
		if n := strings.Count(pr.logs.String(), "another key"); n != 1 {
			t.Errorf("it was logged %d times", n)
		}
		if r := l.ask(t, allSecrets(), parse(signedIn(0), "u")); r.GetFailure().GetReason() != "sign-in-required" {
			t.Errorf("got %v", r)
		}
		l.end(t, nil)
		p.welcomed(t).silent(t)
	})
}

func TestARenewalIsHandedOverBeforeTheRunnerStops(t *testing.T) {
	for name, stopped := range map[string]int{"it has no secrets": 0, "it has one": 1, "the host works": 2} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := renewing()
				renew := h.refresh
				h.refresh = func(ctx context.Context, token string) (scmhost.Grant, error) {
					<-time.After(time.Second)
					return renew(ctx, token)
				}
				pr, l := asking(t, inMemory(t), h)
				l.tell(t, 1, parse(signedIn(0), "u"))
				stop := func(when int) {
					if synctest.Wait(); when == stopped {
						pr.cancel(nil)
						synctest.Wait()
					}
				}
				for n, name := range []string{clientSecret, refreshToken} {
					stop(n)
					l.deliver(t, name, l.hello.GetPublicKey(), allSecrets()[name])
				}
				stop(2)
				begun := time.Now()
				var kinds []string
				for f := l.next(t); f != nil; f = l.next(t) {
					switch {
					case f.GetTokenRefreshed() != nil:
						kinds = append(kinds, "renewal")
					case f.GetGoodbye() != nil:
						kinds = append(kinds, "goodbye")
					}
				}
				if waited := time.Since(begun); !slices.Equal(kinds, []string{"renewal", "goodbye"}) || waited > time.Second {
					t.Errorf("got %q after %s", kinds, waited)
				}
				if err := pr.wait(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestSecretsThatChangeAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hosts{}
		_, l := asking(t, inMemory(t), h)
		l.ask(t, allSecrets(), parse(signedIn(time.Hour), "u"))
		l.changed(t, "host_authentication_token/"+tokenID+"/", "scm_integration/"+integrationID+"/", "llm_integration/x/api_key", "scm_integration/")
		l.ask(t, secrets{hostToken: "planted-theirs"}, parse(signedIn(time.Hour), "u"))
		if !slices.Equal(h.used, []string{"planted-token", "planted-theirs"}) || h.forgotten[0] != integrationID {
			t.Errorf("the host was asked with %q; forgotten: %q", h.used, h.forgotten)
		}
	})
}

func TestOneDeliveryForManyQuestions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, l := asking(t, inMemory(t), &hosts{})
		for n := range uint64(20) {
			l.tell(t, n+1, parse(signedIn(time.Hour), "u"))
		}
		synctest.Wait()
		l.deliver(t, hostToken, l.hello.GetPublicKey(), "planted-token")
		for range 20 {
			if r := expect(t, l, (*linkv1.RunnerFrame).GetReply); r.GetContextParsed() == nil {
				t.Errorf("got %v", r)
			}
		}
	})
}

func TestQuestionsAboutSourceCodeHostsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		goOn := make(chan struct{})
		h := &hosts{ask: func(ctx context.Context, a scmhost.Account, _ string) error {
			if a.Host != "slow.example" {
				return nil
			}
			select {
			case <-goOn:
			case <-ctx.Done():
			}
			return ctx.Err()
		}}
		_, l := asking(t, inMemory(t), h)
		slow := &linkv1.HostAccess{Host: &linkv1.SourceHost{Host: "slow.example"}}
		for n := range uint64(255) {
			l.tell(t, n+1, readable(slow))
		}
		synctest.Wait()
		// Another host is not held up, and neither are other requests.
		if r := l.ask(t, nil, readable(&linkv1.HostAccess{Host: sourceHost()})); !r.GetRepositoryChecked().GetHasAccess() {
			t.Errorf("got %v", r)
		}
		l.tell(t, 256, readable(slow))
		l.send(t, checkSecrets(300))
		l.checked(t, 300)
		// All that are too many are told so, however many they are.
		for n := range uint64(200) {
			l.tell(t, 1000+n, readable(slow))
		}
		for range 200 {
			r := expect(t, l, (*linkv1.RunnerFrame).GetReply)
			if f := r.GetFailure(); r.GetRequestId() < 1000 || f.GetCode() != 8 || f.GetReason() != "runner-refused" || f.GetRetryAfter().AsDuration() != time.Second {
				t.Fatalf("got %v", r)
			}
		}
		close(goOn)
		for range 256 {
			if r := expect(t, l, (*linkv1.RunnerFrame).GetReply); !r.GetRepositoryChecked().GetHasAccess() {
				t.Fatalf("got %v", r)
			}
		}
		if r := l.ask(t, nil, readable(slow)); !r.GetRepositoryChecked().GetHasAccess() {
			t.Errorf("got %v", r)
		}
	})
}

func TestAQuestionEndsBeforeNobodyWaits(t *testing.T) {
	for told, want := range map[time.Duration]time.Duration{12 * time.Second: 10 * time.Second, time.Hour: 10 * time.Second, 3 * time.Second: 3 * time.Second, 0: time.Second} {
		synctest.Test(t, func(t *testing.T) {
			h := &hosts{ask: func(ctx context.Context, _ scmhost.Account, _ string) error {
				<-ctx.Done()
				return fault.New(fault.DeadlineExceeded, fault.HostUnavailable, "slow")
			}}
			_, l := asking(t, inMemory(t), h)
			q := readable(&linkv1.HostAccess{Host: sourceHost()})
			q.Patience = durationpb.New(told)
			begun := time.Now()
			l.send(t, request(1, q))
			r := expect(t, l, (*linkv1.RunnerFrame).GetReply)
			if waited := time.Since(begun); waited != want || r.GetFailure().GetCode() != 4 || r.GetFailure().GetMessage() != "slow" {
				t.Errorf("%s: after %s, want %s: %v", told, waited, want, r)
			}
		})
	}
}

func TestALinkThatEndsWhileAHostIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ended atomic.Bool
		h := &hosts{ask: func(ctx context.Context, _ scmhost.Account, _ string) error {
			<-ctx.Done()
			ended.Store(true)
			return ctx.Err()
		}}
		p := inMemory(t)
		pr, l := asking(t, p, h)
		begun := time.Now()
		l.tell(t, 1, readable(&linkv1.HostAccess{Host: sourceHost()}))
		// One more waits for a secret that never comes.
		l.tell(t, 2, parse(signedIn(time.Hour), "u"))
		synctest.Wait()
		expect(t, l, (*linkv1.RunnerFrame).GetSecretRequest)
		l.end(t, nil)
		synctest.Wait()
		if !ended.Load() || time.Since(begun) != 0 {
			t.Errorf("the question ended: %v, after %s", ended.Load(), time.Since(begun))
		}
		h.ask = nil
		l = p.welcomed(t)
		if r := l.ask(t, allSecrets(), parse(signedIn(time.Hour), "u")); r.GetContextParsed() == nil {
			t.Errorf("got %v", r)
		}
		if strings.Contains(pr.logs.String(), `"level":"ERROR"`) {
			t.Errorf("the end of a link is no error: %s", pr.logs)
		}
	})
}
