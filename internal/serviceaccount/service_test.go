package serviceaccount_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/identity"
	"github.com/musterhq/muster/internal/page"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/serviceaccount"
	"github.com/musterhq/muster/internal/store/sqlstore"
	"github.com/musterhq/muster/internal/token"
)

// world is a control plane's domain with one organization.
type world struct {
	*serviceaccount.Service
	identity *identity.Service
	admin    access.Caller
	events   []event.Event
}

// SecretsChanged implements departure.Links.
func (*world) SecretsChanged(id.Runner, ...string) {}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{}
	store, err := sqlstore.Open(t.Context(), sqlstore.Options{
		DataDir: t.TempDir(), Logger: slog.New(slog.DiscardHandler), Publish: func(es []event.Event) { w.events = append(w.events, es...) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	w.identity = identity.New(store.Identity(), w, slog.New(slog.DiscardHandler))
	w.Service = serviceaccount.New(store.ServiceAccounts(), w, w.identity)
	secret, err := w.identity.Bootstrap(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	w.admin = w.authenticate(t, secret)
	return w
}

func (w *world) authenticate(t *testing.T, secret string) access.Caller {
	t.Helper()
	c, err := w.identity.Authenticate(t.Context(), secret)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (w *world) refused(t *testing.T, secret string, want fault.Reason) {
	t.Helper()
	if c, err := w.identity.Authenticate(t.Context(), secret); !fault.HasReason(err, want) || !c.Anonymous() {
		t.Errorf("Authenticate = %+v, %v; want %s", c, err, want)
	}
}

func (w *world) create(t *testing.T, name string, validFor time.Duration) serviceaccount.Account {
	t.Helper()
	a, err := w.Create(t.Context(), w.admin, serviceaccount.NewAccount{Name: name, Description: "of a test", ValidUntil: time.Now().Add(validFor)})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// as returns the caller that an access token of the account makes.
func (w *world) as(t *testing.T, a serviceaccount.Account) (access.Caller, string) {
	t.Helper()
	secret, err := w.CreateAccessToken(t.Context(), w.admin, a.ID)
	if err != nil {
		t.Fatal(err)
	}
	return w.authenticate(t, secret), secret
}

// happened returns the events since the last call, and forgets them.
func (w *world) happened() (out []string) {
	for _, e := range w.events {
		out = append(out, fmt.Sprintf("%d %s", e.Operation, e.Object.Type))
	}
	w.events = nil
	return out
}

func (w *world) member(t *testing.T) access.Caller {
	t.Helper()
	_, secret, err := w.identity.AddMember(t.Context(), w.admin, "Ann", "ann@example.com", resource.RoleOrgMember)
	if err != nil {
		t.Fatal(err)
	}
	return w.authenticate(t, secret)
}

func TestAccounts(t *testing.T) {
	w := newWorld(t)
	w.happened()
	a := w.create(t, "ci", time.Hour)
	if a.Creator != w.admin.Subject || a.Organization != w.admin.Organization || a.CreatedAt.IsZero() || a.Suspended() {
		t.Errorf("made %+v", a)
	}
	ann := w.member(t)
	w.happened()
	got, err := w.Get(t.Context(), ann, a.ID)
	if err != nil || !got.ValidUntil.Equal(a.ValidUntil) || !got.CreatedAt.Equal(a.CreatedAt) || got.Name != "ci" {
		t.Errorf("a member reads %+v, %v", got, err)
	}
	name, none := "builder", ""
	for _, refused := range []error{
		func() error {
			_, err := w.Create(t.Context(), ann, serviceaccount.NewAccount{Name: "x", ValidUntil: a.ValidUntil})
			return err
		}(),
		func() error { _, err := w.Update(t.Context(), ann, a.ID, &name, nil); return err }(),
		w.Delete(t.Context(), ann, a.ID),
		func() error { _, err := w.CreateAccessToken(t.Context(), ann, a.ID); return err }(),
	} {
		if !fault.Is(refused, fault.PermissionDenied) {
			t.Errorf("a member: %v", refused)
		}
	}
	changed, err := w.Update(t.Context(), w.admin, a.ID, &name, nil)
	if err != nil || changed.Name != "builder" || changed.Description != "of a test" || !changed.ValidUntil.Equal(a.ValidUntil) {
		t.Errorf("changed %+v, %v", changed, err)
	}
	changed, err = w.Update(t.Context(), w.admin, a.ID, nil, &none)
	if err != nil || changed.Name != "builder" || changed.Description != "" {
		t.Errorf("changed %+v, %v", changed, err)
	}
	if got := fmt.Sprint(w.happened()); got != "[2 service_account 2 service_account]" {
		t.Errorf("events: %s", got)
	}
	for _, until := range []time.Time{{}, time.Now().Add(-time.Second)} {
		if _, err := w.Create(t.Context(), w.admin, serviceaccount.NewAccount{Name: "x", ValidUntil: until}); !fault.Is(err, fault.InvalidArgument) {
			t.Errorf("valid until %v: %v", until, err)
		}
	}
	if _, err := w.Get(t.Context(), w.admin, id.ServiceAccount(id.New())); !fault.Is(err, fault.NotFound) {
		t.Errorf("an unknown one: %v", err)
	}
}

func TestADeletedAccountStaysReadable(t *testing.T) {
	w := newWorld(t)
	a := w.create(t, "ci", time.Hour)
	self, short := w.as(t, a)
	long, _, err := w.CreateToken(t.Context(), self, serviceaccount.NewToken{})
	if err != nil {
		t.Fatal(err)
	}
	held, release := w.identity.Hold(t.Context(), w.authenticate(t, long))
	defer release()
	w.happened()
	if err := w.Delete(t.Context(), w.admin, a.ID); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(w.happened()); got != "[3 service_account_token 3 service_account]" {
		t.Errorf("events: %s", got)
	}
	w.refused(t, short, fault.UnknownToken)
	w.refused(t, long, fault.UnknownToken)
	if context.Cause(held) == nil {
		t.Error("its stream goes on")
	}
	got, err := w.Get(t.Context(), w.admin, a.ID)
	if err != nil || !got.Suspended() {
		t.Errorf("afterwards: %+v, %v", got, err)
	}
	if err := w.Delete(t.Context(), w.admin, a.ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("deleted again: %v", err)
	}
	name := "x"
	if _, err := w.Update(t.Context(), w.admin, a.ID, &name, nil); !fault.Is(err, fault.FailedPrecondition) {
		t.Errorf("changed: %v", err)
	}
	if _, err := w.CreateAccessToken(t.Context(), w.admin, a.ID); !fault.Is(err, fault.FailedPrecondition) {
		t.Errorf("an access token: %v", err)
	}
	if rows, _, err := w.List(t.Context(), w.admin, serviceaccount.Query{}, page.Request{}); err != nil || len(rows) != 0 {
		t.Errorf("listed: %v, %v", rows, err)
	}
	if rows, _, err := w.List(t.Context(), w.admin, serviceaccount.Query{IncludeSuspended: true}, page.Request{}); err != nil || len(rows) != 1 {
		t.Errorf("listed with the deleted: %v, %v", rows, err)
	}
}

func TestAPageTokenBelongsToItsFilter(t *testing.T) {
	w := newWorld(t)
	for i := range 3 {
		w.create(t, fmt.Sprint("account ", i), time.Hour)
	}
	rows, next, err := w.List(t.Context(), w.admin, serviceaccount.Query{Search: "account"}, page.Request{Size: 2})
	if err != nil || len(rows) != 2 || next == "" {
		t.Fatalf("the first page: %v, %q, %v", rows, next, err)
	}
	if rows, next, err = w.List(t.Context(), w.admin, serviceaccount.Query{Search: "account"}, page.Request{Size: 5, Token: next}); err != nil || len(rows) != 1 || next != "" {
		t.Errorf("the second page: %v, %q, %v", rows, next, err)
	}
	_, next, _ = w.List(t.Context(), w.admin, serviceaccount.Query{}, page.Request{Size: 1})
	if _, _, err := w.List(t.Context(), w.admin, serviceaccount.Query{IncludeSuspended: true}, page.Request{Token: next}); !fault.HasReason(err, fault.InvalidPageToken) {
		t.Errorf("with another filter: %v", err)
	}
}

func TestTokens(t *testing.T) {
	w := newWorld(t)
	a, b := w.create(t, "a", time.Hour), w.create(t, "b", time.Hour)
	asA, _ := w.as(t, a)
	asB, _ := w.as(t, b)
	if asA.Subject != a.Subject() || asA.Organization != w.admin.Organization || !asA.Has(resource.RoleOrgMember) {
		t.Errorf("it acts as %+v", asA)
	}
	ann := w.member(t)
	for _, c := range []access.Caller{w.admin, ann} {
		if _, _, err := w.CreateToken(t.Context(), c, serviceaccount.NewToken{}); !fault.Is(err, fault.PermissionDenied) {
			t.Errorf("a person makes one: %v", err)
		}
	}
	w.happened()
	secret, ofA, err := w.CreateToken(t.Context(), asA, serviceaccount.NewToken{Description: "deploys"})
	if err != nil || ofA.Subject != a.Subject() || ofA.Creator != a.Subject() || !ofA.ExpiresAt.Equal(a.ValidUntil) {
		t.Fatalf("made %+v, %v", ofA, err)
	}
	if got := fmt.Sprint(w.happened()); got != "[1 service_account_token]" {
		t.Errorf("events: %s", got)
	}
	_, ofB, err := w.CreateToken(t.Context(), asB, serviceaccount.NewToken{ValidFor: time.Minute})
	if err != nil || !ofB.ExpiresAt.Equal(ofB.CreatedAt.Add(time.Minute)) {
		t.Errorf("for a minute: %+v, %v", ofB, err)
	}
	// It goes on from the long-lived token.
	if _, _, err := w.CreateToken(t.Context(), w.authenticate(t, secret), serviceaccount.NewToken{}); err != nil {
		t.Error(err)
	}
	for _, bad := range []time.Duration{-1, serviceaccount.MaxValidFor + 1} {
		if _, _, err := w.CreateToken(t.Context(), asA, serviceaccount.NewToken{ValidFor: bad}); !fault.Is(err, fault.InvalidArgument) {
			t.Errorf("for %v: %v", bad, err)
		}
	}
	for _, tt := range []struct {
		c    access.Caller
		want int
	}{{w.admin, 3}, {asA, 2}, {asB, 1}, {ann, 0}} {
		if rows, _, err := w.Tokens(t.Context(), tt.c, page.Request{}); err != nil || len(rows) != tt.want {
			t.Errorf("%s %s lists %d, %v; want %d", tt.c.Principal, tt.c.ID, len(rows), err, tt.want)
		}
	}
	if got, err := w.Token(t.Context(), w.admin, ofA.ID); err != nil || got.Description != "deploys" {
		t.Errorf("an admin reads %+v, %v", got, err)
	}
	if got, err := w.Token(t.Context(), asA, ofA.ID); err != nil || got.ID != ofA.ID {
		t.Errorf("its own: %+v, %v", got, err)
	}
	for _, c := range []access.Caller{asB, ann} {
		if _, err := w.Token(t.Context(), c, ofA.ID); !fault.Is(err, fault.NotFound) {
			t.Errorf("somebody else reads it: %v", err)
		}
		if err := w.DeleteToken(t.Context(), c, ofA.ID); !fault.Is(err, fault.NotFound) {
			t.Errorf("somebody else deletes it: %v", err)
		}
	}
	if _, err := w.Token(t.Context(), w.admin, asA.Token); !fault.Is(err, fault.NotFound) {
		t.Errorf("an access token is no resource: %v", err)
	}
	w.happened()
	if err := w.DeleteToken(t.Context(), asA, ofA.ID); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(w.happened()); got != "[3 service_account_token]" {
		t.Errorf("events: %s", got)
	}
	w.refused(t, secret, fault.UnknownToken)
	if err := w.DeleteToken(t.Context(), asA, ofA.ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("deleting it again: %v", err)
	}
	if err := w.DeleteToken(t.Context(), w.admin, ofB.ID); err != nil {
		t.Errorf("an admin deletes one: %v", err)
	}
}

func TestTokensEndInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { w.identity.Run(ctx); close(done) }()
		a := w.create(t, "ci", 2*time.Hour)
		self, short := w.as(t, a)
		if want := token.ServiceAccountAccessLifetime; time.Until(self.Expires).Round(time.Second) != want {
			t.Errorf("an access token lives until %v", self.Expires)
		}
		long, rec, err := w.CreateToken(t.Context(), self, serviceaccount.NewToken{})
		if err != nil {
			t.Fatal(err)
		}
		held, release := w.identity.Hold(t.Context(), w.authenticate(t, long))
		defer release()
		synctest.Wait()
		if got, err := w.Token(t.Context(), w.admin, rec.ID); err != nil || got.LastUsedAt.IsZero() {
			t.Errorf("its use is not stored: %+v, %v", got, err)
		}
		time.Sleep(token.ServiceAccountAccessLifetime)
		w.refused(t, short, fault.ExpiredToken)
		time.Sleep(90*time.Minute - 10*time.Second)
		// Near the end of the account no token outlives it.
		late, _ := w.as(t, a)
		if !late.Expires.Equal(a.ValidUntil) {
			t.Errorf("an access token of the last seconds lives until %v, the account until %v", late.Expires, a.ValidUntil)
		}
		if _, rec, err := w.CreateToken(t.Context(), late, serviceaccount.NewToken{ValidFor: time.Hour}); err != nil || !rec.ExpiresAt.Equal(a.ValidUntil) {
			t.Errorf("a token of the last seconds: %+v, %v", rec, err)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		w.refused(t, long, fault.ExpiredToken)
		if !fault.HasReason(context.Cause(held), fault.ExpiredToken) {
			t.Errorf("its stream ended with %v", context.Cause(held))
		}
		if _, err := w.CreateAccessToken(t.Context(), w.admin, a.ID); !fault.Is(err, fault.FailedPrecondition) {
			t.Errorf("an access token after the end: %v", err)
		}
		if err := w.Delete(t.Context(), w.admin, a.ID); err != nil {
			t.Errorf("an expired account: %v", err)
		}
		cancel()
		<-done
	})
}

// Whatever the order of a deletion and the making of tokens, none is left.
func TestNoTokenOutlivesItsAccount(t *testing.T) {
	w := newWorld(t)
	a := w.create(t, "ci", time.Hour)
	self, _ := w.as(t, a)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, _, err := w.CreateToken(t.Context(), self, serviceaccount.NewToken{}); err != nil && !fault.Is(err, fault.FailedPrecondition) {
				t.Error(err)
			}
		})
	}
	if err := w.Delete(t.Context(), w.admin, a.ID); err != nil {
		t.Error(err)
	}
	wg.Wait()
	if rows, _, err := w.Tokens(t.Context(), w.admin, page.Request{}); err != nil || len(rows) != 0 {
		t.Errorf("%d tokens are left, %v", len(rows), err)
	}
}

func TestNothingIsVisibleInAnotherOrganization(t *testing.T) {
	w := newWorld(t)
	_, _, secret, err := w.identity.CreateOrganization(t.Context(), w.admin, "Other", "Olga", "olga@example.com")
	if err != nil {
		t.Fatal(err)
	}
	olga := w.authenticate(t, secret)
	a := w.create(t, "ci", time.Hour)
	self, _ := w.as(t, a)
	_, rec, err := w.CreateToken(t.Context(), self, serviceaccount.NewToken{})
	if err != nil {
		t.Fatal(err)
	}
	name := "mine now"
	for what, err := range map[string]error{
		"Get":               func() error { _, err := w.Get(t.Context(), olga, a.ID); return err }(),
		"Update":            func() error { _, err := w.Update(t.Context(), olga, a.ID, &name, nil); return err }(),
		"Delete":            w.Delete(t.Context(), olga, a.ID),
		"CreateAccessToken": func() error { _, err := w.CreateAccessToken(t.Context(), olga, a.ID); return err }(),
		"Token":             func() error { _, err := w.Token(t.Context(), olga, rec.ID); return err }(),
		"DeleteToken":       w.DeleteToken(t.Context(), olga, rec.ID),
	} {
		if !fault.Is(err, fault.NotFound) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if rows, _, err := w.List(t.Context(), olga, serviceaccount.Query{IDs: []string{string(a.ID)}, IncludeSuspended: true}, page.Request{}); err != nil || len(rows) != 0 {
		t.Errorf("List: %v, %v", rows, err)
	}
	if rows, _, err := w.Tokens(t.Context(), olga, page.Request{}); err != nil || len(rows) != 0 {
		t.Errorf("Tokens: %v, %v", rows, err)
	}
}
