package credentials_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/musterhq/muster/internal/agent/credentials"
	"github.com/musterhq/muster/internal/agent/scmhost"
	"github.com/musterhq/muster/internal/agent/vault"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/scmurl"
	"github.com/musterhq/muster/internal/seal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	tokenID      = "0190a000-0000-7000-8000-00000000000a"
	tokenName    = "host_authentication_token/" + tokenID + "/token"
	refreshName  = "host_authentication_token/" + tokenID + "/refresh_token"
	clientSecret = "scm_integration/0190a000-0000-7000-8000-00000000000b/client_secret"
)

// world is a control plane with sealed secrets, and a host that renews tokens.
// What a runner seals is "KEY:PURPOSE:PLAIN" here, what is stored is "PLAIN".
type world struct {
	*credentials.Manager
	vault vault.Vault
	log   bytes.Buffer
	key   string // the name of the runner's key

	mu        sync.Mutex
	secrets   map[string]string
	delivered map[string]int
	refreshed []string // the refresh tokens that the host got
	// hold delays the delivery of the token until it is closed; nil for no delay.
	hold chan struct{}
	// refresh answers the host's part; nil gives "new-1", "new-2" and so on, good
	// for an hour, with "refresh-1" and so on.
	refresh func(ctx context.Context) (scmhost.Grant, error)
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{key: "sealed", delivered: map[string]int{}, secrets: map[string]string{tokenName: "old", refreshName: "refresh-0", clientSecret: "client-secret"}}
	w.vault.Connect(vault.Source{
		Ask: func(_ context.Context, name string) (seal.Secret, error) {
			if name == tokenName && w.hold != nil {
				<-w.hold
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			w.delivered[name]++
			if plain, ok := w.secrets[name]; ok {
				return seal.Secret(plain), nil
			}
			return nil, errors.New("nothing of that name")
		},
		Open: func(s seal.Secret, _ string) ([]byte, error) {
			if string(s) == "another key's" {
				return nil, seal.ErrOpen
			}
			return bytes.Clone(s), nil
		},
	})
	w.Manager = credentials.New(credentials.Config{
		Secrets: &w.vault, Log: slog.New(slog.NewTextHandler(&w.log, nil)),
		Seal: func(purpose string, plain []byte) (seal.Secret, error) {
			return seal.Secret(w.key + ":" + purpose + ":" + string(plain)), nil
		},
		Sealed: func(s seal.Secret) bool { return strings.HasPrefix(string(s), w.key+":") },
		Refresh: func(ctx context.Context, i scmurl.Integration, c scmhost.Client, refreshToken string) (scmhost.Grant, error) {
			if i.Host != "git.example" || c.ID != "app" || c.Secret != "client-secret" {
				t.Errorf("the host %q was asked with the client %q", i.Host, c.ID)
			}
			w.mu.Lock()
			w.refreshed = append(w.refreshed, refreshToken)
			n, refresh := len(w.refreshed), w.refresh
			w.mu.Unlock()
			if refresh != nil {
				return refresh(ctx)
			}
			return scmhost.Grant{
				Token: fmt.Sprintf("new-%d", n), RefreshToken: fmt.Sprintf("refresh-%d", n), ExpiresAt: time.Now().Add(time.Hour), Scopes: []string{"repo"},
			}, nil
		},
	})
	t.Cleanup(w.Close)
	return w
}

// signIn is somebody who signs in again.
func (w *world) signIn() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.secrets[tokenName], w.secrets[refreshName] = "theirs", "their-refresh"
}

// now is an OAuth token that ends after some time, as the control plane has it.
func (w *world) now(revision int64, left time.Duration) credentials.Ref {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := ref(revision, left)
	r.RefreshToken = seal.Secret(w.secrets[refreshName]).Digest()
	return r
}

// ref is an OAuth token that ends after some time, with the refresh token that it
// had at first.
func ref(revision int64, left time.Duration) credentials.Ref {
	return credentials.Ref{
		ID: tokenID, OAuth: true, RefreshToken: seal.Secret("refresh-0").Digest(), Revision: revision, ExpiresAt: time.Now().Add(left),
		Host: credentials.Host{Integration: scmurl.Integration{ID: "0190a000-0000-7000-8000-00000000000b", Host: "git.example"}, ClientID: "app"},
	}
}

// gives fails unless a token has that value.
func (w *world) gives(t *testing.T, r credentials.Ref, want string) {
	t.Helper()
	got, err := w.Get(t.Context(), r)
	if err != nil || got.Token != want || got.OAuth != r.OAuth {
		t.Errorf("revision %d gives %q (OAuth: %v), %v; want %q", r.Revision, got.Token, got.OAuth, err, want)
	}
}

// refuses fails unless a token is refused with that reason.
func (w *world) refuses(t *testing.T, r credentials.Ref, want fault.Reason) {
	t.Helper()
	if got, err := w.Get(t.Context(), r); !fault.HasReason(err, want) || got.Token != "" {
		t.Errorf("revision %d gives %q, %v; want %s", r.Revision, got.Token, err, want)
	}
}

// asked fails unless the host got these refresh tokens, in this order.
func (w *world) asked(t *testing.T, want ...string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if fmt.Sprint(w.refreshed) != fmt.Sprint(want) {
		t.Errorf("the host got the refresh tokens %q, want %q", w.refreshed, want)
	}
}

// store is what a control plane does when it stores a renewal.
func (w *world) store(r credentials.Renewal, revision int64) {
	w.mu.Lock()
	cut := func(s seal.Secret) string { return string(s[bytes.LastIndexByte(s, ':')+1:]) }
	w.secrets[tokenName], w.secrets[refreshName] = cut(r.Values.Token), cut(r.Values.RefreshToken)
	w.mu.Unlock()
	w.Stored(r.ID, credentials.Outcome{Revision: revision})
}

// link is a link over which renewals are handed over.
type link struct {
	sent chan credentials.Renewal
	cut  context.CancelFunc
	done chan error
}

func (w *world) connect(t *testing.T) *link {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l := &link{sent: make(chan credentials.Renewal, 100), cut: cancel, done: make(chan error, 1)}
	go func() {
		l.done <- w.Deliver(ctx, func(_ context.Context, r credentials.Renewal) error { l.sent <- r; return nil })
	}()
	t.Cleanup(cancel)
	return l
}

// quiet fails when anything more was handed over.
func (l *link) quiet(t *testing.T) {
	t.Helper()
	synctest.Wait()
	select {
	case r := <-l.sent:
		t.Errorf("also handed over: %+v", r)
	default:
	}
}

func TestWhenATokenIsRenewed(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*credentials.Ref)
		left   time.Duration
		want   string
		asks   int
	}{
		"a personal access token": {want: "old", left: time.Hour, change: func(r *credentials.Ref) { r.OAuth, r.RefreshToken, r.ExpiresAt = false, seal.Digest{}, time.Time{} }},
		"it never ends":           {want: "old", change: func(r *credentials.Ref) { r.ExpiresAt = time.Time{} }},
		"long before":             {want: "old", left: time.Hour},
		"61 seconds before":       {want: "old", left: 61 * time.Second},
		"a minute before":         {want: "new-1", left: time.Minute, asks: 1},
		"at its end":              {want: "new-1", left: 0, asks: 1},
		"long after":              {want: "new-1", left: -time.Hour, asks: 1},
		"without a refresh token": {want: "old", left: time.Second, change: func(r *credentials.Ref) { r.RefreshToken = seal.Digest{} }},
		"without one, after":      {left: -time.Second, change: func(r *credentials.Ref) { r.RefreshToken = seal.Digest{} }},
		"a personal one, after":   {left: -time.Second, change: func(r *credentials.Ref) { r.OAuth, r.RefreshToken = false, seal.Digest{} }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				r := ref(1, c.left)
				if c.change != nil {
					c.change(&r)
				}
				if c.want == "" {
					w.refuses(t, r, fault.SignInRequired)
				} else {
					w.gives(t, r, c.want)
				}
				if len(w.refreshed) != c.asks {
					t.Errorf("the host renewed %d times", len(w.refreshed))
				}
			})
		})
	}
}

func TestARenewedTokenLivesAsLongAsTheHostSays(t *testing.T) {
	for _, life := range []time.Duration{time.Hour, 5 * time.Minute, 40 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.refresh = func(context.Context) (scmhost.Grant, error) {
				return scmhost.Grant{Token: fmt.Sprintf("new-%d", len(w.refreshed)), RefreshToken: "again", ExpiresAt: time.Now().Add(life)}, nil
			}
			l := w.connect(t)
			r := ref(1, 0)
			w.gives(t, r, "new-1")
			w.store(<-l.sent, 2)
			<-time.After(life - min(time.Minute, life/10) - time.Millisecond)
			w.gives(t, r, "new-1")
			<-time.After(time.Millisecond)
			w.gives(t, r, "new-2") // also for a question that is older than the first renewal
			w.asked(t, "refresh-0", "again")
			if got := <-l.sent; got.From != seal.Secret("again").Digest() || string(got.Values.Token) != "sealed:"+tokenName+":new-2" {
				t.Errorf("handed over: %+v", got)
			}
		})
	}
}

func TestRenewedOnceForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		answer := make(chan struct{})
		w.refresh = func(ctx context.Context) (scmhost.Grant, error) {
			select {
			case <-answer:
				return scmhost.Grant{Token: "new", RefreshToken: "refresh"}, nil
			case <-ctx.Done():
				return scmhost.Grant{}, ctx.Err()
			}
		}
		r := ref(1, 0)
		first, leave := context.WithCancel(t.Context())
		var gone, all sync.WaitGroup
		gone.Go(func() {
			if _, err := w.Get(first, r); !fault.Is(err, fault.DeadlineExceeded) {
				t.Errorf("whoever does not wait gets %v", err)
			}
		})
		synctest.Wait()
		for range 100 {
			all.Go(func() { w.gives(t, r, "new") })
		}
		synctest.Wait()
		leave() // the one that began it
		gone.Wait()
		close(answer)
		all.Wait()
		w.asked(t, "refresh-0")
		for name, n := range w.delivered {
			if n > 1 {
				t.Errorf("%s was delivered %d times", name, n)
			}
		}
	})
}

// Nobody waits any more, and still it counts.
func TestARenewalOutlivesWhoNeededIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.refresh = func(ctx context.Context) (scmhost.Grant, error) {
			select {
			case <-time.After(5 * time.Second):
				return scmhost.Grant{Token: "new", RefreshToken: "refresh"}, nil
			case <-ctx.Done():
				return scmhost.Grant{}, ctx.Err()
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := w.Get(ctx, ref(1, 0)); !fault.HasReason(err, fault.HostUnavailable) {
			t.Errorf("got %v", err)
		}
		l := w.connect(t)
		if r := <-l.sent; string(r.Values.RefreshToken) != "sealed:"+refreshName+":refresh" {
			t.Errorf("handed over: %+v", r)
		}
		w.gives(t, ref(1, 0), "new")
		w.asked(t, "refresh-0")
	})
}

func TestAHostThatDoesNotRenew(t *testing.T) {
	down := fault.New(fault.Unavailable, fault.HostUnavailable, "down")
	for name, c := range map[string]struct {
		err          error
		early, ended fault.Reason // empty when the token is still used
	}{
		"down":           {err: down, ended: fault.HostUnavailable},
		"no fault":       {err: errors.New("odd")},
		"it is not good": {err: fault.New(fault.FailedPrecondition, fault.SignInRequired, "gone").WithCause(scmhost.ErrRevoked), early: fault.SignInRequired, ended: fault.SignInRequired},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.refresh = func(context.Context) (scmhost.Grant, error) { return scmhost.Grant{}, c.err }
				r := ref(1, 30*time.Second)
				if c.early == "" {
					w.gives(t, r, "old")
				} else {
					w.refuses(t, r, c.early)
				}
				<-time.After(time.Minute)
				if c.ended == "" {
					if _, err := w.Get(t.Context(), r); !errors.Is(err, c.err) {
						t.Errorf("got %v", err)
					}
				} else {
					w.refuses(t, r, c.ended)
				}
				// It is tried again, unless the host has said no.
				if want := map[bool]int{true: 1, false: 2}[errors.Is(c.err, scmhost.ErrRevoked)]; len(w.refreshed) != want {
					t.Errorf("the host was asked %d times, want %d", len(w.refreshed), want)
				}
			})
		})
	}
}

func TestSecretsThatDoNotCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.secrets[tokenName] = "another key's"
		w.refuses(t, ref(1, time.Hour), fault.SignInRequired)
		delete(w.secrets, tokenName)
		w.refuses(t, ref(2, time.Hour), fault.RunnerRefused)
		w.secrets[clientSecret] = "another key's"
		w.refuses(t, ref(3, 0), fault.HostNotConfigured)
		w.secrets[clientSecret] = "client-secret"
		w.vault.Forget(clientSecret)
		w.secrets[refreshName] = "another key's"
		w.refuses(t, ref(4, 0), fault.SignInRequired)
		w.asked(t)
		w.vault.Disconnect()
		w.refuses(t, ref(5, time.Hour), fault.RunnerRefused)
	})
}

func TestReplace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.connect(t)
		r := ref(1, time.Hour)
		old, err := w.Get(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				if got, err := w.Replace(t.Context(), r, old); err != nil || got.Token != "new-1" {
					t.Errorf("got %q, %v", got.Token, err)
				}
			})
		}
		all.Wait()
		w.asked(t, "refresh-0")

		// One that is as new as this would not get better by another renewal, stored
		// or not.
		refused := func() {
			t.Helper()
			if got, err := w.Replace(t.Context(), r, scmhost.Credential{Token: "new-1"}); !fault.HasReason(err, fault.SignInRequired) {
				t.Errorf("got %q, %v", got.Token, err)
			}
		}
		refused()
		w.store(<-l.sent, 2)
		refused()
		<-time.After(time.Minute)
		if got, err := w.Replace(t.Context(), r, scmhost.Credential{Token: "new-1"}); err != nil || got.Token != "new-2" {
			t.Errorf("got %q, %v", got.Token, err)
		}
		w.store(<-l.sent, 3)

		w.refresh = func(context.Context) (scmhost.Grant, error) {
			return scmhost.Grant{}, fault.New(fault.Unavailable, fault.HostUnavailable, "down")
		}
		<-time.After(time.Minute)
		if _, err := w.Replace(t.Context(), r, scmhost.Credential{Token: "new-2"}); !fault.HasReason(err, fault.HostUnavailable) {
			t.Errorf("got %v", err)
		}
		r = ref(4, time.Hour)
		r.RefreshToken = seal.Digest{}
		if _, err := w.Replace(t.Context(), r, scmhost.Credential{Token: "new-2"}); !fault.HasReason(err, fault.SignInRequired) {
			t.Errorf("got %v", err)
		}
	})
}

// Somebody renewed it, or found that it cannot be, while this one still learned
// which value it is that was refused.
func TestReplaceComesSecond(t *testing.T) {
	for name, refresh := range map[string]func(context.Context) (scmhost.Grant, error){
		"renewed": nil,
		"refused": func(context.Context) (scmhost.Grant, error) { return scmhost.Grant{}, scmhost.ErrRevoked },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.refresh = refresh
				w.hold = make(chan struct{})
				var second sync.WaitGroup
				second.Go(func() {
					got, err := w.Replace(t.Context(), ref(1, time.Hour), scmhost.Credential{Token: "old"})
					if renewed := got.Token == "new-1" && err == nil; renewed != (refresh == nil) || !renewed && !fault.HasReason(err, fault.SignInRequired) {
						t.Errorf("got %q, %v", got.Token, err)
					}
				})
				synctest.Wait()
				if _, err := w.Get(t.Context(), ref(1, 0)); (err == nil) != (refresh == nil) {
					t.Errorf("got %v", err)
				}
				close(w.hold)
				second.Wait()
				w.asked(t, "refresh-0")
			})
		})
	}
}

func TestNothingIsPrinted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.connect(t)
		w.gives(t, ref(1, 0), "new-1")
		fmt.Fprintf(&w.log, "%v %+v %#v %s %+v", w.Manager, w.Manager, w.Manager, w.Manager, <-l.sent)
		slog.New(slog.NewJSONHandler(&w.log, nil)).Info("x", "manager", w.Manager)
		for _, secret := range []string{"new-1", "refresh-0", "refresh-1", "client-secret", fmt.Sprint([]byte("new-1"))} {
			if strings.Contains(w.log.String(), secret) {
				t.Errorf("%q is in: %s", secret, &w.log)
			}
		}
	})
}
