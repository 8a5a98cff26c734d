package identity_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/identity"
	"github.com/musterhq/muster/internal/page"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/store/sqlstore"
	"github.com/musterhq/muster/internal/token"
)

// setup boots an organization as the first start does, and returns its admin.
func setup(t *testing.T) (*identity.Service, access.Caller) {
	t.Helper()
	s := open(t, t.TempDir())
	secret, err := s.Bootstrap(t.Context(), "")
	if err != nil || secret == "" {
		t.Fatalf("Bootstrap = %q, %v", secret, err)
	}
	admin, err := s.Authenticate(t.Context(), secret)
	if err != nil {
		t.Fatal(err)
	}
	return s, admin
}

// forgotten notes what runners were told to forget.
type forgotten []string

func (f *forgotten) SecretsChanged(_ id.Runner, names ...string) { *f = append(*f, names...) }

func open(t *testing.T, dir string) *identity.Service {
	t.Helper()
	return service(openStore(t, dir))
}

func openStore(t *testing.T, dir string) *sqlstore.Store {
	t.Helper()
	store, err := sqlstore.Open(t.Context(), sqlstore.Options{DataDir: dir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

func service(store *sqlstore.Store) *identity.Service {
	return identity.New(store.Identity(), &forgotten{}, slog.New(slog.DiscardHandler))
}

func add(t *testing.T, s *identity.Service, admin access.Caller, name string, role resource.Role) (identity.User, access.Caller, string) {
	t.Helper()
	u, secret, err := s.AddMember(t.Context(), admin, name, name+"@example.com", role)
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.Authenticate(t.Context(), secret)
	if err != nil {
		t.Fatal(err)
	}
	return u, c, secret
}

func refused(t *testing.T, s *identity.Service, secret string, want fault.Reason) {
	t.Helper()
	if c, err := s.Authenticate(t.Context(), secret); !fault.HasReason(err, want) || !fault.Is(err, fault.Unauthenticated) || !c.Anonymous() {
		t.Errorf("Authenticate = %+v, %v; want %s", c, err, want)
	}
}

func TestBootstrap(t *testing.T) {
	const chosen = "an operator's own token, in any form"
	s := open(t, t.TempDir())
	if _, err := s.Bootstrap(t.Context(), "too short"); !fault.Is(err, fault.InvalidArgument) {
		t.Errorf("a short token: %v", err)
	}
	if fresh, err := s.Bootstrap(t.Context(), chosen); fresh != "" || err != nil {
		t.Fatalf("Bootstrap = %q, %v", fresh, err)
	}
	c, err := s.Authenticate(t.Context(), chosen)
	if err != nil || !c.Has(resource.RoleOrgAdmin) || c.Organization == "" || !c.Expires.IsZero() {
		t.Errorf("the operator's token: %+v, %v", c, err)
	}
	// Later starts change nothing.
	if fresh, err := s.Bootstrap(t.Context(), chosen+" another"); fresh != "" || err != nil {
		t.Errorf("second Bootstrap = %q, %v", fresh, err)
	}
	refused(t, s, chosen+" another", fault.UnknownToken)
}

func TestAuthenticateSaysWhatIsWrong(t *testing.T) {
	s, admin := setup(t)
	_, _, secret := add(t, s, admin, "ann", resource.RoleOrgMember)
	never, _ := token.New(token.Personal)
	exchange, _ := token.New(token.Exchange)
	refused(t, s, secret[:len(secret)-1]+"_", fault.MalformedToken)
	refused(t, s, never, fault.UnknownToken)
	refused(t, s, exchange, fault.MalformedToken)
	refused(t, s, "something", fault.UnknownToken)
	refused(t, s, "", fault.UnknownToken)
}

func TestARevokedTokenIsRefusedAtOnceAndItsStreamsAreCut(t *testing.T) {
	s, admin := setup(t)
	_, ann, secret := add(t, s, admin, "ann", resource.RoleOrgMember)
	second, _, err := s.CreatePersonalToken(t.Context(), ann, identity.NewPersonalToken{User: id.User(ann.ID)})
	if err != nil {
		t.Fatal(err)
	}
	other, err := s.Authenticate(t.Context(), second)
	if err != nil {
		t.Fatal(err)
	}
	held, release := s.Hold(t.Context(), ann)
	defer release()
	stays, releaseOther := s.Hold(t.Context(), other)
	defer releaseOther()
	if err := s.DeletePersonalToken(t.Context(), ann, ann.Token); err != nil {
		t.Fatal(err)
	}
	refused(t, s, secret, fault.UnknownToken)
	if !fault.HasReason(context.Cause(held), fault.UnknownToken) {
		t.Errorf("its stream ended with %v", context.Cause(held))
	}
	if stays.Err() != nil {
		t.Error("the stream of another token was cut")
	}
	if _, err := s.Authenticate(t.Context(), second); err != nil {
		t.Errorf("another token of the same person: %v", err)
	}
	if err := s.DeletePersonalToken(t.Context(), admin, ann.Token); !fault.Is(err, fault.NotFound) {
		t.Errorf("deleting it again: %v", err)
	}
}

// A check that was under way while its token was revoked must not bring it back
// into the cache.
func TestRevocationRacesWithChecks(t *testing.T) {
	s, admin := setup(t)
	_, ann, _ := add(t, s, admin, "ann", resource.RoleOrgMember)
	for range 20 {
		secret, _, err := s.CreatePersonalToken(t.Context(), ann, identity.NewPersonalToken{User: id.User(ann.ID)})
		if err != nil {
			t.Fatal(err)
		}
		c, err := s.Authenticate(t.Context(), secret)
		if err != nil {
			t.Fatal(err)
		}
		var stop atomic.Bool
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for !stop.Load() {
					_, _ = s.Authenticate(t.Context(), secret)
				}
			})
		}
		err = s.DeletePersonalToken(t.Context(), ann, c.Token)
		refused(t, s, secret, fault.UnknownToken)
		stop.Store(true)
		wg.Wait()
		refused(t, s, secret, fault.UnknownToken)
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestTokensExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, admin := setup(t)
		secret, _, err := s.CreatePersonalToken(t.Context(), admin, identity.NewPersonalToken{User: id.User(admin.ID), ValidFor: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		c, err := s.Authenticate(t.Context(), secret)
		if err != nil {
			t.Fatal(err)
		}
		held, release := s.Hold(t.Context(), c)
		defer release()
		time.Sleep(time.Hour - time.Second)
		if _, err := s.Authenticate(t.Context(), secret); err != nil || held.Err() != nil {
			t.Errorf("before its end: %v, %v", err, held.Err())
		}
		time.Sleep(time.Second)
		synctest.Wait()
		refused(t, s, secret, fault.ExpiredToken) // although the check is cached
		if !fault.HasReason(context.Cause(held), fault.ExpiredToken) {
			t.Errorf("its stream ended with %v", context.Cause(held))
		}
		for _, valid := range []time.Duration{-time.Second, token.MaxPersonal + time.Second} {
			if _, _, err := s.CreatePersonalToken(t.Context(), admin, identity.NewPersonalToken{User: id.User(admin.ID), ValidFor: valid}); !fault.Is(err, fault.InvalidArgument) {
				t.Errorf("valid for %v: %v", valid, err)
			}
		}
		if _, _, err := s.CreatePersonalToken(t.Context(), admin, identity.NewPersonalToken{User: id.User(admin.ID)}); err != nil {
			t.Fatal(err)
		}
		rows, _, err := s.PersonalTokens(t.Context(), admin, nil, page.Request{})
		if err != nil || rows[0].ExpiresAt.Sub(rows[0].CreatedAt) != token.MaxPersonal {
			t.Errorf("by default a token lives until %v, %v", rows[0].ExpiresAt, err)
		}
	})
}

func TestTokensOfOthers(t *testing.T) {
	s, admin := setup(t)
	annUser, ann, _ := add(t, s, admin, "ann", resource.RoleOrgMember)
	_, bob, _ := add(t, s, admin, "bob", resource.RoleOrgMember)
	if _, _, err := s.CreatePersonalToken(t.Context(), admin, identity.NewPersonalToken{User: annUser.ID}); !fault.Is(err, fault.PermissionDenied) {
		t.Errorf("a token for somebody else: %v", err)
	}
	if _, _, err := s.CreatePersonalToken(t.Context(), admin, identity.NewPersonalToken{User: id.User(id.New())}); !fault.Is(err, fault.NotFound) {
		t.Errorf("a token for nobody: %v", err)
	}
	if _, err := s.PersonalToken(t.Context(), bob, ann.Token); !fault.Is(err, fault.NotFound) {
		t.Errorf("bob reads ann's token: %v", err)
	}
	if err := s.DeletePersonalToken(t.Context(), bob, ann.Token); !fault.Is(err, fault.NotFound) {
		t.Errorf("bob deletes ann's token: %v", err)
	}
	if rows, _, err := s.PersonalTokens(t.Context(), bob, []string{ann.ID}, page.Request{}); err != nil || len(rows) != 0 {
		t.Errorf("bob lists ann's tokens: %v, %v", rows, err)
	}
	if rows, _, err := s.PersonalTokens(t.Context(), admin, []string{ann.ID, bob.ID}, page.Request{}); err != nil || len(rows) != 2 {
		t.Errorf("an admin lists them: %v, %v", rows, err)
	}
	if rec, err := s.PersonalToken(t.Context(), admin, ann.Token); err != nil || rec.Subject.ID != ann.ID || rec.Creator.ID != admin.ID {
		t.Errorf("an admin reads it: %+v, %v", rec, err)
	}
}

func TestMembers(t *testing.T) {
	s, admin := setup(t)
	for _, name := range []string{"Carol", "bob", "Ann"} {
		add(t, s, admin, name, resource.RoleOrgMember)
	}
	if _, _, err := s.AddMember(t.Context(), admin, "x", "ANN@example.com", resource.RoleOrgMember); !fault.Is(err, fault.AlreadyExists) {
		t.Errorf("the same address again: %v", err)
	}
	names := func(q identity.UserQuery) (out []string) {
		q.Organization = admin.Organization
		token := ""
		for {
			users, next, count, err := s.Members(t.Context(), admin, q, page.Request{Size: 2, Token: token}, true)
			if err != nil {
				t.Fatal(err)
			}
			for _, u := range users {
				out = append(out, u.Name)
			}
			if next == "" {
				if int(count) != len(out) {
					t.Errorf("count %d of %d", count, len(out))
				}
				return out
			}
			token = next
		}
	}
	for _, tt := range []struct {
		q    identity.UserQuery
		want string
	}{
		{identity.UserQuery{}, "[Administrator Carol bob Ann]"},
		{identity.UserQuery{Sort: identity.ByJoinedDescending}, "[Ann bob Carol Administrator]"},
		{identity.UserQuery{Sort: identity.ByName}, "[Administrator Ann bob Carol]"},
		{identity.UserQuery{Sort: identity.ByNameDescending}, "[Carol bob Ann Administrator]"},
		{identity.UserQuery{Search: "AN"}, "[Ann]"},
		{identity.UserQuery{Search: "%"}, "[]"},
		{identity.UserQuery{Roles: []resource.Role{resource.RoleOrgAdmin}}, "[Administrator]"},
		{identity.UserQuery{Statuses: []identity.Status{identity.StatusSuspended}}, "[]"},
	} {
		if got := fmt.Sprint(names(tt.q)); got != tt.want {
			t.Errorf("%+v: %s, want %s", tt.q, got, tt.want)
		}
	}
	if _, _, _, err := s.Members(t.Context(), admin, identity.UserQuery{Organization: "other"}, page.Request{}, false); !fault.Is(err, fault.NotFound) {
		t.Errorf("another organization: %v", err)
	}
}

func TestSuspendResumeRemove(t *testing.T) {
	s, admin := setup(t)
	u, ann, secret := add(t, s, admin, "ann", resource.RoleOrgMember)
	held, release := s.Hold(t.Context(), ann)
	defer release()
	if err := s.SuspendMember(t.Context(), admin, u.ID); err != nil {
		t.Fatal(err)
	}
	refused(t, s, secret, fault.SuspendedPrincipal)
	if !fault.HasReason(context.Cause(held), fault.SuspendedPrincipal) {
		t.Errorf("the stream of a suspended member ended with %v", context.Cause(held))
	}
	if err := s.ResumeMember(t.Context(), admin, u.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Authenticate(t.Context(), secret); err != nil {
		t.Errorf("after the suspension: %v", err)
	}
	if err := s.RemoveMember(t.Context(), admin, u.ID); err != nil {
		t.Fatal(err)
	}
	refused(t, s, secret, fault.UnknownToken)
	if got, err := s.User(t.Context(), admin, u.ID); err != nil || got.Status != identity.StatusLeft {
		t.Errorf("after leaving: %+v, %v", got, err)
	}
	if err := s.ResumeMember(t.Context(), admin, u.ID); !fault.Is(err, fault.FailedPrecondition) {
		t.Errorf("resuming who has left: %v", err)
	}
	if err := s.SuspendMember(t.Context(), admin, id.User(id.New())); !fault.Is(err, fault.NotFound) {
		t.Errorf("suspending nobody: %v", err)
	}
	add(t, s, admin, "ann", resource.RoleOrgMember) // the address is free again
}

func TestTheLastAdminStays(t *testing.T) {
	s, admin := setup(t)
	admins := []id.User{id.User(admin.ID)}
	for i := range 7 {
		u, _, _ := add(t, s, admin, fmt.Sprint("admin", i), resource.RoleOrgAdmin)
		admins = append(admins, u.ID)
	}
	// All are removed at once: one must be left.
	var kept atomic.Int32
	var wg sync.WaitGroup
	for i, u := range admins {
		wg.Go(func() {
			change := s.RemoveMember
			if i%2 == 0 {
				change = s.SuspendMember
			}
			if err := change(t.Context(), admin, u); err != nil {
				if !fault.HasReason(err, fault.LastAdmin) {
					t.Error(err)
				}
				kept.Add(1)
			}
		})
	}
	wg.Wait()
	if kept.Load() != 1 {
		t.Errorf("%d admins were kept", kept.Load())
	}
}

// A stream that is opened while its token is revoked does not escape.
func TestAStreamThatOpensDuringARevocationEnds(t *testing.T) {
	s, admin := setup(t)
	u, ann, _ := add(t, s, admin, "ann", resource.RoleOrgMember)
	if err := s.SuspendMember(t.Context(), admin, u.ID); err != nil {
		t.Fatal(err)
	}
	held, release := s.Hold(t.Context(), ann) // checked before, held after
	defer release()
	if !fault.Is(context.Cause(held), fault.Unavailable) {
		t.Errorf("the stream goes on: %v", context.Cause(held))
	}
}

// A first token that would never authenticate is refused while it can be changed.
func TestBootstrapRefusesTokensThatCannotWork(t *testing.T) {
	never, _ := token.New(token.Runner)
	for _, chosen := range []string{"muster_pat_" + strings.Repeat("x", 49), never, " " + strings.Repeat("x", 40), strings.Repeat("x", 40) + "\n"} {
		if _, err := open(t, t.TempDir()).Bootstrap(t.Context(), chosen); !fault.Is(err, fault.InvalidArgument) {
			t.Errorf("%q: %v", chosen, err)
		}
	}
}

func TestTheLastUseIsStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, admin := setup(t)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { s.Run(ctx); close(done) }()
		_, ann, secret := add(t, s, admin, "ann", resource.RoleOrgMember)
		lastUse := func() time.Time {
			t.Helper()
			synctest.Wait()
			rec, err := s.PersonalToken(t.Context(), admin, ann.Token)
			if err != nil {
				t.Fatal(err)
			}
			return rec.LastUsedAt
		}
		first := lastUse()
		if first.IsZero() {
			t.Error("the first use is not stored")
		}
		use := func(after time.Duration) {
			t.Helper()
			time.Sleep(after)
			if _, err := s.Authenticate(t.Context(), secret); err != nil {
				t.Fatal(err)
			}
		}
		use(10 * time.Second)
		if got := lastUse(); !got.Equal(first) {
			t.Error("a use was stored within a minute of another")
		}
		use(time.Minute)
		if got := lastUse(); !got.After(first) {
			t.Error("a later use is not stored")
		}
		cancel()
		<-done
	})
}

func TestACanceledCheckIsNoRefusal(t *testing.T) {
	s, admin := setup(t)
	secret, _, err := s.CreatePersonalToken(t.Context(), admin, identity.NewPersonalToken{User: id.User(admin.ID)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Authenticate(ctx, secret); !errors.Is(err, context.Canceled) {
		t.Errorf("Authenticate = %v", err)
	}
}
