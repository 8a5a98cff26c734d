package credentials_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musterhq/muster/internal/agent/credentials"
	"github.com/musterhq/muster/internal/agent/scmhost"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/seal"
)

func TestARenewalIsHandedOverUntilItIsStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.connect(t)
		r := ref(7, 0)
		w.gives(t, r, "new-1")
		first := <-l.sent
		if first.Token != tokenID || first.From != seal.Secret("refresh-0").Digest() || first.Refused || string(first.Values.Token) != "sealed:"+tokenName+":new-1" ||
			string(first.Values.RefreshToken) != "sealed:"+refreshName+":refresh-1" || time.Until(first.Values.ExpiresAt) != time.Hour || fmt.Sprint(first.Values.Scopes) != "[repo]" {
			t.Errorf("handed over: %+v", first)
		}
		last := time.Now()
		again := func(l *link, after time.Duration) {
			t.Helper()
			got := <-l.sent
			if waited := time.Since(last); waited != after || fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", first) || string(got.Values.Token) != string(first.Values.Token) {
				t.Errorf("after %s, want %s: %+v", waited, after, got)
			}
			last = time.Now()
		}
		for _, pause := range []time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second, 40 * time.Second, time.Minute, time.Minute} {
			again(l, pause)
		}
		// The link breaks, and the next one gets it at once.
		l.cut()
		if err := <-l.done; !errors.Is(err, context.Canceled) {
			t.Errorf("Deliver returned %v", err)
		}
		l = w.connect(t)
		again(l, 0)
		again(l, 5*time.Second)
		w.gives(t, r, "new-1")
		w.Stored(first.ID+1, credentials.Outcome{Revision: 9}) // of nothing
		again(l, 10*time.Second)

		w.store(first, 8)
		<-time.After(time.Hour - 2*time.Minute - time.Since(last))
		l.quiet(t)
	})
}

// The frame may or may not have left.
func TestALinkThatBreaksWhileARenewalIsHandedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		broken := errors.New("broken")
		done := make(chan error)
		go func() {
			done <- w.Deliver(t.Context(), func(context.Context, credentials.Renewal) error { return broken })
		}()
		w.gives(t, ref(1, 0), "new-1")
		if err := <-done; !errors.Is(err, broken) {
			t.Errorf("Deliver returned %v", err)
		}
		l := w.connect(t)
		w.store(<-l.sent, 2)
		l.quiet(t)
		w.gives(t, ref(2, time.Hour), "new-1")
		w.asked(t, "refresh-0")
	})
}

func TestWhoseValuesAreNewer(t *testing.T) {
	for name, c := range map[string]struct {
		then     func(w *world, l *link)
		revision int64
		want     string
	}{
		"before it is stored":               {revision: 1, want: "new-1", then: func(*world, *link) {}},
		"afterwards, an older question":     {revision: 1, want: "new-1", then: func(w *world, l *link) { w.store(<-l.sent, 2) }},
		"afterwards, a new one":             {revision: 2, want: "new-1", then: func(w *world, l *link) { w.store(<-l.sent, 2) }},
		"somebody signed in again":          {revision: 3, want: "theirs", then: func(w *world, l *link) { w.store(<-l.sent, 2); w.signIn() }},
		"somebody did, before it is stored": {revision: 2, want: "theirs", then: func(w *world, _ *link) { w.signIn() }},
		"the plane says so first": {revision: 1, want: "theirs", then: func(w *world, l *link) {
			w.signIn()
			w.Stored((<-l.sent).ID, credentials.Outcome{Revision: 2, Superseded: true})
		}},
		"the plane says so first, a new question": {revision: 2, want: "theirs", then: func(w *world, l *link) {
			w.signIn()
			w.Stored((<-l.sent).ID, credentials.Outcome{Revision: 2, Superseded: true})
		}},
		"other things were changed, before it is stored": {revision: 2, want: "new-1", then: func(*world, *link) {}},
		"other things were changed, and it is stored": {revision: 3, want: "new-1", then: func(w *world, l *link) {
			w.gives(t, w.now(2, time.Hour), "new-1")
			w.store(<-l.sent, 3)
		}},
		"it was stored, and the answer is late": {revision: 2, want: "new-1", then: func(w *world, _ *link) {
			w.secrets[tokenName], w.secrets[refreshName] = "new-1", "refresh-1"
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				l := w.connect(t)
				w.gives(t, ref(1, 0), "new-1")
				c.then(w, l)
				// What an older question says of the end of a token means nothing.
				left := time.Hour
				if c.revision == 1 {
					left = 0
				}
				w.gives(t, w.now(c.revision, left), c.want)
				w.asked(t, "refresh-0")
			})
		})
	}
}

func TestWhatTheHostRefusesToRenew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.connect(t)
		w.refresh = func(context.Context) (scmhost.Grant, error) { return scmhost.Grant{}, scmhost.ErrRevoked }
		w.refuses(t, ref(1, 30*time.Second), fault.SignInRequired)
		r := <-l.sent
		if !r.Refused || r.From != seal.Secret("refresh-0").Digest() || len(r.Values.Token) != 0 {
			t.Errorf("handed over: %+v", r)
		}
		w.Forget(tokenName, refreshName)
		if again := <-l.sent; again.ID != r.ID {
			t.Errorf("also handed over: %+v", again)
		}
		delete(w.secrets, refreshName)
		w.Stored(r.ID, credentials.Outcome{Revision: 2})
		w.refuses(t, ref(1, 30*time.Second), fault.SignInRequired)
		w.refuses(t, w.now(2, 0), fault.SignInRequired)
		if _, err := w.Replace(t.Context(), w.now(2, time.Hour), scmhost.Credential{Token: "old"}); !fault.HasReason(err, fault.SignInRequired) {
			t.Errorf("got %v", err)
		}
		w.asked(t, "refresh-0")
		w.signIn()
		w.gives(t, w.now(3, time.Hour), "theirs")
		l.quiet(t)
	})
}

func TestSignedInAgainWhileTheHostRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.connect(t)
		w.refresh = func(context.Context) (scmhost.Grant, error) { return scmhost.Grant{}, scmhost.ErrRevoked }
		w.refuses(t, ref(1, 0), fault.SignInRequired)
		w.signIn()
		w.Stored((<-l.sent).ID, credentials.Outcome{Revision: 2, Superseded: true})
		w.gives(t, ref(1, 0), "theirs")
		w.gives(t, w.now(2, time.Hour), "theirs")
	})
}

// What the vault has may be older than what a question speaks of.
func TestAQuestionThatIsAheadOfTheNews(t *testing.T) {
	w := newWorld(t)
	w.gives(t, ref(1, time.Hour), "old")
	w.signIn()
	w.gives(t, ref(1, time.Hour), "old")
	w.gives(t, w.now(2, time.Hour), "theirs")
}

// A renewal of what is changed meanwhile is used by nobody. The control plane has
// the last word, since it may have been made from what is new.
func TestChangedWhileItIsRenewed(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, w *world){
		"a newer question": func(t *testing.T, w *world) { t.Helper(); w.gives(t, w.now(2, time.Hour), "theirs") },
		"the news":         func(_ *testing.T, w *world) { w.vault.Forget(tokenName, refreshName); w.Forget(tokenName, refreshName) },
		"everything":       func(_ *testing.T, w *world) { w.vault.Forget(credentials.Kinds); w.Forget(credentials.Kinds) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				l := w.connect(t)
				goOn := make(chan struct{})
				w.refresh = func(context.Context) (scmhost.Grant, error) {
					<-goOn
					return scmhost.Grant{Token: "late", RefreshToken: "late"}, nil
				}
				done := make(chan struct{})
				go func() {
					defer close(done)
					if got, err := w.Get(t.Context(), ref(1, 0)); got.Token == "late" {
						t.Errorf("got %q, %v", got.Token, err)
					}
				}()
				synctest.Wait()
				w.signIn()
				change(t, w)
				close(goOn)
				<-done
				w.gives(t, w.now(2, time.Hour), "theirs")
				r := <-l.sent
				if r.From != seal.Secret("refresh-0").Digest() {
					t.Errorf("handed over: %+v", r)
				}
				w.Stored(r.ID, credentials.Outcome{Revision: 2, Superseded: true})
				w.gives(t, w.now(2, time.Hour), "theirs")
				w.asked(t, "refresh-0")
				l.quiet(t)
			})
		})
	}
}

// A question of before a sign-in, and no news of it yet: what is renewed is the new
// one, and it counts.
func TestAQuestionOfBeforeASignIn(t *testing.T) {
	for name, during := range map[string]bool{"asked about afterwards": false, "asked about meanwhile": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				l := w.connect(t)
				w.signIn()
				goOn, done := make(chan struct{}), make(chan struct{})
				w.refresh = func(context.Context) (scmhost.Grant, error) {
					<-goOn
					return scmhost.Grant{Token: "new", RefreshToken: "newer", ExpiresAt: time.Now().Add(time.Hour)}, nil
				}
				go func() { defer close(done); w.gives(t, ref(1, 0), "new") }()
				synctest.Wait()
				if during {
					w.gives(t, w.now(2, time.Hour), "theirs")
				}
				close(goOn)
				<-done
				r := <-l.sent
				if r.From != seal.Secret("their-refresh").Digest() {
					t.Errorf("handed over: %+v", r)
				}
				w.gives(t, w.now(2, 0), "new")
				w.store(r, 3)
				w.gives(t, w.now(3, time.Hour), "new")
				w.asked(t, "their-refresh")
				l.quiet(t)
			})
		})
	}
}

// What can never be stored is of no use, and the host may not give it twice.
func TestARenewalThatIsRefusedForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.connect(t)
		w.gives(t, ref(1, 0), "new-1")
		w.Stored((<-l.sent).ID, credentials.Outcome{Final: true})
		w.refuses(t, ref(1, 0), fault.SignInRequired)
		<-time.After(time.Hour)
		l.quiet(t)
		w.asked(t, "refresh-0")
		w.signIn()
		w.gives(t, w.now(2, time.Hour), "theirs")

		// Not this one, when somebody has signed in again.
		w.gives(t, w.now(2, 0), "new-2")
		r := <-l.sent
		w.signIn()
		w.secrets[refreshName] = "another-refresh"
		w.gives(t, w.now(3, time.Hour), "theirs")
		w.Stored(r.ID, credentials.Outcome{Final: true})
		w.gives(t, w.now(3, time.Hour), "theirs")
	})
}

// The control plane takes nothing that is sealed to an old key.
func TestARenewalIsSealedToTheKeyInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.connect(t)
		w.gives(t, ref(1, 0), "new-1")
		first := <-l.sent
		l.cut()
		if err := <-l.done; !errors.Is(err, context.Canceled) {
			t.Errorf("Deliver returned %v", err)
		}
		w.key = "another"
		l = w.connect(t)
		again := <-l.sent
		if again.ID != first.ID || again.From != first.From || string(again.Values.Token) != "another:"+tokenName+":new-1" ||
			string(again.Values.RefreshToken) != "another:"+refreshName+":refresh-1" || !again.Values.ExpiresAt.Equal(first.Values.ExpiresAt) {
			t.Errorf("handed over: %+v", again)
		}
	})
}

// One that is made anew counts from the beginning.
func TestWhatIsForgottenHasNoRevision(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.gives(t, ref(5, time.Hour), "old")
		w.Forget(tokenName, refreshName)
		w.signIn()
		w.gives(t, w.now(1, 0), "new-1")
		w.asked(t, "their-refresh")
	})
}

func TestForget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.connect(t)
		w.gives(t, ref(1, 0), "new-1")
		r := <-l.sent
		// The only copy of it is here, so it stays, and the control plane is asked.
		w.Forget("host_authentication_token/" + tokenID + "/")
		begun := time.Now()
		if again := <-l.sent; again.ID != r.ID || time.Since(begun) != 0 {
			t.Errorf("after %s: %+v", time.Since(begun), again)
		}
		w.gives(t, ref(1, 0), "new-1")
		w.Forget(clientSecret, "host_authentication_token/another/", "host_authentication_token")
		l.quiet(t)

		w.store(r, 2)
		delivered := w.delivered[tokenName]
		w.gives(t, ref(2, 0), "new-1")
		if w.delivered[tokenName] != delivered {
			t.Error("a value that is here was asked for")
		}
		w.Forget(credentials.Kinds)
		w.gives(t, ref(2, time.Hour), "new-1")
		if w.delivered[tokenName] != delivered+1 {
			t.Error("a value that was forgotten was used")
		}
	})
}

// It is not renewed a second time before the first one is stored: the control
// plane could not tell which is the newer.
func TestARenewalThatCannotBeStoredForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.connect(t)
		w.gives(t, ref(1, 0), "new-1")
		<-time.After(time.Hour - time.Second)
		w.gives(t, ref(1, 0), "new-1")
		<-time.After(time.Second)
		w.refuses(t, ref(1, 0), fault.RunnerRefused)
		w.store(<-l.sent, 2)
		w.gives(t, ref(1, 0), "new-2")
		w.asked(t, "refresh-0", "refresh-1")
	})
}

func TestFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		flushed := func(d time.Duration) bool {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			defer cancel()
			w.Flush(ctx)
			return ctx.Err() == nil
		}
		if !flushed(time.Second) {
			t.Error("there is nothing to wait for")
		}
		w.refresh = func(context.Context) (scmhost.Grant, error) {
			<-time.After(2 * time.Second)
			return scmhost.Grant{Token: "new", RefreshToken: "refresh"}, nil
		}
		go func() { _, _ = w.Get(t.Context(), ref(1, 0)) }()
		synctest.Wait()
		if flushed(time.Second) {
			t.Error("it did not wait for the host")
		}
		if flushed(5 * time.Second) {
			t.Error("nobody has got it yet")
		}
		l := w.connect(t)
		if !flushed(time.Second) || len(l.sent) != 1 {
			t.Errorf("%d were handed over", len(l.sent))
		}
	})
}

func TestCloseEndsARenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.refresh = func(ctx context.Context) (scmhost.Grant, error) { <-ctx.Done(); return scmhost.Grant{}, ctx.Err() }
		go func() { _, _ = w.Get(t.Context(), ref(1, 0)) }()
		synctest.Wait()
		begun := time.Now()
		w.Close()
		if waited := time.Since(begun); waited != 0 {
			t.Errorf("Close took %s", waited)
		}
	})
}

func TestWhatIsNotStoredNeverMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		const many = 10_000
		numbered := func(n int) credentials.Ref {
			r := ref(1, 0)
			r.ID = fmt.Sprint(n)
			return r
		}
		want := make([]string, many)
		for n := range want {
			w.secrets["host_authentication_token/"+fmt.Sprint(n)+"/refresh_token"] = "refresh"
			got, err := w.Get(t.Context(), numbered(n))
			if want[n] = got.Token; err != nil || got.Token == "" {
				t.Fatal(err)
			}
		}
		w.gives(t, ref(1, time.Hour), "old")
		for n := range want {
			w.gives(t, numbered(n), want[n])
		}
		if len(w.refreshed) != many {
			t.Errorf("the host renewed %d times", len(w.refreshed))
		}
	})
}
