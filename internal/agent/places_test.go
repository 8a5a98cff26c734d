package agent_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	linkv1 "github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/internal/agent/scmhost"
	"github.com/musterhq/muster/internal/fault"
)

// at is somebody's token for another host.
func at(host, token string, left time.Duration) *linkv1.HostAccess {
	a := signedIn(left)
	a.Host.Host, a.Credential.TokenId = host, token
	return a
}

// Those whose sign-in a dead host must renew wait in the places of that host, so
// that they do not hold up others.
func TestADeadHostDoesNotTakeAllQuestions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		places, err := scmhost.New(scmhost.Config{})
		if err != nil {
			t.Fatal(err)
		}
		h := &hosts{places: places, refresh: func(ctx context.Context, _ string) (scmhost.Grant, error) {
			<-ctx.Done()
			return scmhost.Grant{}, ctx.Err()
		}}
		_, l := asking(t, inMemory(t), h)
		kinds := []func(*linkv1.HostAccess) *linkv1.Request{
			func(a *linkv1.HostAccess) *linkv1.Request { return parse(a, "u") },
			func(a *linkv1.HostAccess) *linkv1.Request { return search("x", a) },
			list, authenticated, readable,
		}
		const dead, healthy = 256, 1000
		for n := range uint64(dead) {
			l.tell(t, n+1, kinds[n%uint64(len(kinds))](at("dead.example", tokenID, -time.Second)))
		}
		const other = "0190a000-0000-7000-8000-0000000000b2"
		synctest.Wait() // those who are too many have been sent away
		l.tell(t, healthy, parse(at("healthy.example", other, time.Hour), "u"))
		delivered := allSecrets()
		delivered["host_authentication_token/"+other+"/token"] = "planted-other"
		begun, busy, waited := time.Now(), 0, 0
		for answered := 0; answered < dead+1; answered++ {
			r := l.await(t, delivered).GetReply()
			switch f := r.GetFailure(); {
			case r.GetRequestId() == healthy:
				if r.GetContextParsed() == nil || time.Since(begun) != 0 {
					t.Errorf("another host, after %s: %v", time.Since(begun), r)
				}
			case f.GetReason() == "runner-refused" && time.Since(begun) == 0:
				busy++
			case f.GetReason() == "runner-refused" && time.Since(begun) == time.Second:
				waited++
			case f.GetReason() != "host-unavailable":
				t.Errorf("got %v", r)
			}
		}
		if busy != dead-64 || waited != 32 {
			t.Errorf("%d were sent away at once and %d after a while, not %d and 32", busy, waited, dead-64)
		}
	})
}

// A search renews what one of its hosts refuses, as if that host had been asked alone.
func TestASearchRenewsWhatOneHostRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const other = "0190a000-0000-7000-8000-0000000000b2"
		h := &hosts{refresh: func(context.Context, string) (scmhost.Grant, error) {
			return scmhost.Grant{Token: "planted-new-1", RefreshToken: "planted-new-refresh", ExpiresAt: time.Now().Add(time.Hour)}, nil
		}}
		h.ask = func(_ context.Context, a scmhost.Account, _ string) error {
			if a.Host == "b.example" && a.Credential.Token == "planted-other" {
				return refusedToken
			}
			return nil
		}
		_, l := asking(t, inMemory(t), h)
		delivered := allSecrets()
		delivered["host_authentication_token/"+other+"/token"] = "planted-other"
		delivered["host_authentication_token/"+other+"/refresh_token"] = "planted-other-refresh"
		l.tell(t, 1, search("x", at("a.example", tokenID, time.Hour), at("b.example", other, time.Hour)))
		var names []string
		for range 2 { // the renewal is handed over too
			for _, r := range l.await(t, delivered).GetReply().GetRepositoriesFound().GetRepositories() {
				names = append(names, r.GetName())
			}
		}
		if want := []string{"a.example:planted-token/false/2/25", "b.example:planted-new-1/false/2/25"}; !slices.Equal(names, want) {
			t.Errorf("found %s", fmt.Sprint(names))
		}
	})
}

// All hosts of a search are asked at once.
func TestASearchAsksAllHostsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hosts{ask: func(ctx context.Context, _ scmhost.Account, _ string) error {
			<-time.After(time.Second)
			return ctx.Err()
		}}
		_, l := asking(t, inMemory(t), h)
		begun := time.Now()
		r := l.ask(t, allSecrets(), search("x", at("a.example", tokenID, time.Hour), at("b.example", tokenID, time.Hour)))
		if found := r.GetRepositoriesFound().GetRepositories(); len(found) != 2 || time.Since(begun) != time.Second {
			t.Errorf("after %s: %v", time.Since(begun), r)
		}
	})
}

// A host that a search leaves out is in the log, and so is a question that took too
// long.
func TestWhatSearchesLeaveOutIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hosts{ask: func(_ context.Context, a scmhost.Account, what string) error {
			switch {
			case what == "slow":
				return context.DeadlineExceeded
			case a.Host == "b.example":
				return fault.New(fault.PermissionDenied, fault.HostRefused, "planted-words")
			}
			return nil
		}}
		pr, l := asking(t, inMemory(t), h)
		two := []*linkv1.HostAccess{at("a.example", tokenID, time.Hour), at("b.example", tokenID, time.Hour)}
		for range 3 {
			if found := l.ask(t, allSecrets(), search("x", two...)).GetRepositoriesFound().GetRepositories(); len(found) != 1 {
				t.Errorf("found %v", found)
			}
		}
		l.ask(t, allSecrets(), parse(two[0], "slow"))
		logs := pr.logs.String()
		if n := strings.Count(logs, "a search left a source code host out"); n != 1 {
			t.Errorf("it was logged %d times: %s", n, logs)
		}
		for _, want := range []string{"b.example", "host-refused", "was not answered in time"} {
			if !strings.Contains(logs, want) {
				t.Errorf("the log lacks %q: %s", want, logs)
			}
		}
		if strings.Contains(logs, "planted-words") {
			t.Errorf("what a host said was logged: %s", logs)
		}
	})
}

// Whether a repository can be read is known although the host does not say whether
// it accepts the credential.
func TestWhatANarrowCredentialCannotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hosts{ask: func(_ context.Context, _ scmhost.Account, what string) error {
			if what == "viewer" {
				return fault.New(fault.PermissionDenied, fault.HostRefused, "Too narrow.")
			}
			return fault.New(fault.NotFound, fault.ReasonNotFound, "There is none.")
		}}
		_, l := asking(t, inMemory(t), h)
		got := l.ask(t, allSecrets(), readable(signedIn(time.Hour)))
		if checked := got.GetRepositoryChecked(); checked == nil || checked.GetHasAccess() || checked.GetErrorMessage() != "There is none." {
			t.Errorf("a repository: %v", got)
		}
		if got := l.ask(t, allSecrets(), authenticated(signedIn(time.Hour))).GetFailure(); got.GetReason() != "host-refused" {
			t.Errorf("who is signed in: %v", got)
		}
	})
}
