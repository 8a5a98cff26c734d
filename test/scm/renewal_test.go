package scm_test

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/musterhq/muster/test/gitea"
	"github.com/musterhq/muster/test/muster"
)

// tokenLife is that of an access token at a Gitea whose tokens end soon, in
// seconds.
const tokenLife = 10

// Somebody signs in once, and stays signed in while tokens end, runners and
// control planes restart, and until the host takes it back. Every refresh token
// works once, so that a renewal that is lost or done twice would be noticed.
func TestSignInIsRenewed(t *testing.T) {
	t.Parallel()
	f := newForge(t, muster.ServerOptions{}, gitea.Options{AccessTokenLife: tokenLife, RotateRefreshTokens: true})
	defer f.search(t)
	f.runner = f.join(t, "lab", f.host)
	if got := f.connect(t); got.stderr != "" {
		t.Errorf("there is something wrong with the integration: %s", got.stderr)
	}
	grace := f.member(t, "Grace", f.runner)
	alice := f.server.Browser(t, gitea.Alice)
	byHost := object{"runnerId": f.runner.id, "host": f.host}
	signIn := func() {
		t.Helper()
		b := f.browser(t)
		b.signIn(t, alice, grace.call(t, "RunnerService/CheckAuthenticationForHost", byHost).text("supportsOauth2", "authUrl"))
	}
	signedIn := func() bool {
		return grace.call(t, "RunnerService/CheckAuthenticationForHost", byHost).at("authenticated") == true
	}
	ask := func() reply {
		return grace.ask(t, "RunnerService/ListSCMOrganizations", object{"runnerId": f.runner.id, "scmHost": f.host}) // never remembered
	}
	works := func() {
		t.Helper()
		if got := ask(); got.text("organizations", "0", "name") != "acme" {
			t.Fatalf("the answer is %d %s", got.status, got.body)
		}
	}
	expiry := func() time.Time {
		t.Helper()
		tokens := grace.call(t, "RunnerConfigurationService/ListHostAuthenticationTokens", object{})
		at, err := time.Parse(time.RFC3339, tokens.text("tokens", "0", "expiresAt"))
		if err != nil {
			t.Fatalf("%v in %s", err, tokens.body)
		}
		return at
	}
	stored := func(after time.Time) {
		t.Helper()
		muster.Until(t, muster.Patience, func() error {
			if at := expiry(); !at.After(after) {
				return fmt.Errorf("the credential that is stored ends %s still", at)
			}
			return nil
		})
	}
	signIn()

	// A token that ends within a minute is due at once, and many need it.
	first := expiry()
	const many = 50
	var begun, all sync.WaitGroup
	begun.Add(many)
	f.tap.holding(begun.Wait)
	for range many {
		all.Go(func() {
			begun.Done()
			got := ask()
			for got.status == http.StatusTooManyRequests { // a runner lets only so many wait for one host
				got = ask()
			}
			if got.status != http.StatusOK {
				t.Errorf("one of many gets %d %s", got.status, got.body)
			}
		})
	}
	all.Wait()
	f.tap.holding(nil)
	if renewed, refused := f.tap.counts(); renewed != 1 || refused != 0 {
		t.Errorf("for %d calls the token was renewed %d times, and %d were refused", many, renewed, refused)
	}
	stored(first)

	// While somebody works, they notice nothing of it, and neither does the host.
	before, _ := f.tap.counts()
	calls := 0
	muster.Throughout(t, 3*tokenLife*time.Second/2, func() error {
		calls++
		if got := ask(); got.status != http.StatusOK {
			return fmt.Errorf("%d %s", got.status, got.body)
		}
		return nil
	})
	renewed, refused := f.tap.counts()
	if renewed -= before; renewed < 1 || renewed > 3 || refused != 0 {
		t.Errorf("during %d calls in one and a half lives of a token it was renewed %d times, and %d calls were refused by the host", calls, renewed, refused)
	}

	// The renewed pair is stored: it outlives the runner, however that ends.
	for _, end := range []func(){func() { f.runner.Stop(t) }, func() { f.runner.Kill() }} {
		at := expiry()
		muster.Until(t, muster.Patience, func() error { // so that what is stored is a renewed one, and the newest
			works()
			if !expiry().After(at) {
				return errors.New("it was not renewed yet")
			}
			return nil
		})
		end()
		f.again(t, f.runner)
		works()
	}
	f.restart(t)
	works()
	if !signedIn() {
		t.Error("after all of this nobody is signed in")
	}

	// The host takes it back.
	alice.Revoke(t)
	muster.Until(t, muster.Patience, func() error {
		if got := ask(); got.status == http.StatusOK {
			return errors.New("it still works")
		}
		return nil
	})
	if f := ask().failed(t, "failed_precondition", "sign-in-required"); f.signIn.GetAuthenticationRequiredUrl() == "" {
		t.Error("nobody says where to sign in again")
	}
	muster.Until(t, muster.Patience, func() error {
		if signedIn() {
			return errors.New("somebody counts as signed in")
		}
		return nil
	})
	grace.muster(t, "scm", "orgs", f.host).fails(t, "reason sign-in-required", "^Sign in: muster host login ")
	signIn()
	works()
}
