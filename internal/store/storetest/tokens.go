package storetest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/identity"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/token"
)

func tokenTests() map[string]func(*testing.T, *world) {
	return map[string]func(*testing.T, *world){
		"A credential has the token and the state of its user": func(t *testing.T, w *world) {
			u := w.user(1)
			u.Role, u.Status = resource.RoleOrgAdmin, identity.StatusSuspended
			w.addUsers(t, u)
			for n, r := range []token.Record{w.token(token.Personal, userSubject(u), 0), w.token(token.Personal, userSubject(u), 1)} {
				w.addTokens(t, r)
				got, ok, err := w.store.Identity().Credential(t.Context(), r.Hash)
				want := identity.Credential{Record: r, Role: u.Role, Status: u.Status}
				if diff := cmp.Diff(want, found(t, got, ok, err)); diff != "" {
					t.Errorf("token %d: %s", n, diff)
				}
			}
			got, ok, err := w.store.Identity().Credential(t.Context(), token.Hash("another"))
			missing(t, got, ok, err)
		},
		"A runner's credential has no role": func(t *testing.T, w *world) {
			r := w.runner(1)
			w.addRunners(t, r)
			rec := w.token(token.Runner, runnerSubject(r), 1)
			rec.ExpiresAt = time.Time{}
			w.addTokens(t, rec)
			got, ok, err := w.store.Identity().Credential(t.Context(), rec.Hash)
			if diff := cmp.Diff(identity.Credential{Record: rec}, found(t, got, ok, err)); diff != "" {
				t.Error(diff)
			}
		},
		"A personal token is found by its id, in its organization": func(t *testing.T, w *world) {
			u, r := w.user(1), w.runner(1)
			w.addUsers(t, u)
			w.addRunners(t, r)
			pat, other := w.token(token.Personal, userSubject(u), 1), w.token(token.Runner, runnerSubject(r), 1)
			w.addTokens(t, pat, other)
			got, ok, err := w.store.Identity().PersonalToken(t.Context(), w.org, pat.ID)
			if diff := cmp.Diff(pat, found(t, got, ok, err)); diff != "" {
				t.Error(diff)
			}
			got, ok, err = w.store.Identity().PersonalToken(t.Context(), w.organization(t), pat.ID)
			missing(t, got, ok, err)
			got, ok, err = w.store.Identity().PersonalToken(t.Context(), w.org, other.ID)
			missing(t, got, ok, err)
			w.writeIdentity(t, func(tx identity.Tx) error {
				got, ok, err := tx.PersonalToken(t.Context(), w.org, pat.ID)
				found(t, got, ok, err)
				return nil
			})
		},
		"A hash is stored once": func(t *testing.T, w *world) {
			u := w.user(1)
			w.addUsers(t, u)
			first, second := w.token(token.Personal, userSubject(u), 1), w.token(token.Personal, userSubject(u), 2)
			second.Hash = first.Hash
			w.addTokens(t, first)
			err := w.store.Identity().Write(t.Context(), func(tx identity.Tx) error { return tx.InsertToken(t.Context(), second) })
			if !fault.Is(err, fault.Aborted) {
				t.Errorf("got %v, want a conflict", err)
			}
		},
		"A token needs a subject that exists": func(t *testing.T, w *world) {
			for _, s := range []access.Subject{
				{Principal: access.PrincipalUser, ID: id.New()},
				{Principal: access.PrincipalRunner, ID: id.New()},
				{Principal: access.PrincipalServiceAccount, ID: id.New()},
				access.System,
			} {
				err := w.store.Identity().Write(t.Context(), func(tx identity.Tx) error { return tx.InsertToken(t.Context(), w.token(token.Personal, s, 1)) })
				if err == nil {
					t.Errorf("a token of a %s that does not exist was stored", s.Principal)
				}
			}
		},
		"The last use moves forward only": func(t *testing.T, w *world) {
			u := w.user(1)
			w.addUsers(t, u)
			rec := w.token(token.Personal, userSubject(u), 1)
			w.addTokens(t, rec)
			for _, use := range []struct{ at, want int }{{5, 5}, {3, 5}, {7, 7}} {
				w.writeIdentity(t, func(tx identity.Tx) error { return tx.TouchToken(t.Context(), rec.ID, at(use.at)) })
				got, ok, err := w.store.Identity().Credential(t.Context(), rec.Hash)
				if !found(t, got, ok, err).LastUsedAt.Equal(at(use.want)) {
					t.Errorf("used at %d: stored %v", use.at, got.LastUsedAt)
				}
			}
		},
		"DeleteToken deletes one": func(t *testing.T, w *world) {
			u := w.user(1)
			w.addUsers(t, u)
			one, two := w.token(token.Personal, userSubject(u), 1), w.token(token.Personal, userSubject(u), 2)
			w.addTokens(t, one, two)
			for _, want := range []bool{true, false} {
				w.writeIdentity(t, func(tx identity.Tx) error {
					gone, err := tx.DeleteToken(t.Context(), one.ID)
					if gone != want {
						t.Errorf("deleted: %v, want %v", gone, want)
					}
					return err
				})
			}
			w.wantTokens(t, map[*token.Record]bool{&one: false, &two: true})
		},
		"DeleteTokensOf deletes those of one subject": func(t *testing.T, w *world) {
			u, r := w.user(1), w.runner(1)
			w.addUsers(t, u)
			w.addRunners(t, r)
			pat := w.token(token.Personal, userSubject(u), 1)
			exchange, own := w.token(token.Exchange, runnerSubject(r), 2), w.token(token.Runner, runnerSubject(r), 3)
			w.addTokens(t, pat, exchange, own)
			w.deleteTokensOf(t, runnerSubject(r), 2)
			w.wantTokens(t, map[*token.Record]bool{&pat: true, &exchange: false, &own: false})
			w.deleteTokensOf(t, userSubject(u), 1)
			w.wantTokens(t, map[*token.Record]bool{&pat: false})
		},
		"DeleteTokensMadeBy deletes what one subject made for members": func(t *testing.T, w *world) {
			maker, owner, other := w.user(1), w.user(2), w.user(3)
			w.addUsers(t, maker, owner, other)
			made := func(by identity.User, n int) token.Record {
				rec := w.token(token.Personal, userSubject(owner), n)
				rec.Creator, rec.Description = userSubject(by), token.ForMember
				return rec
			}
			one, two, others := made(maker, 1), made(maker, 2), made(other, 3)
			first := made(maker, 4)
			first.Description = "first"
			w.addTokens(t, one, two, others, first)
			maker.Status = identity.StatusSuspended
			w.writeIdentity(t, func(tx identity.Tx) error {
				_, err := tx.UpdateUser(t.Context(), maker)
				return err
			})
			c, found, err := w.store.Identity().Credential(t.Context(), one.Hash)
			if err != nil || !found || c.CreatorStatus != identity.StatusSuspended || c.Status != identity.StatusActive {
				t.Errorf("the credential: %+v, %v", c, err)
			}
			for _, want := range []int{1, 1, 0} {
				w.writeIdentity(t, func(tx identity.Tx) error {
					gone, err := tx.DeleteTokensMadeBy(t.Context(), maker.Organization, userSubject(maker), 1)
					if len(gone) != want {
						t.Errorf("deleted %v, want %d", gone, want)
					}
					return err
				})
			}
			w.wantTokens(t, map[*token.Record]bool{&one: false, &two: false, &others: true, &first: true})
		},
		"An exchange token is redeemed once": func(t *testing.T, w *world) {
			r := w.runner(1)
			w.addRunners(t, r)
			rec := w.token(token.Exchange, runnerSubject(r), 1)
			w.addTokens(t, rec)
			for i, want := range []bool{true, false} {
				w.writeFleet(t, func(tx fleet.Tx) error {
					got, ok, err := tx.UseExchangeToken(t.Context(), rec.Hash, at(5+i))
					if err != nil || ok != want {
						t.Fatalf("use %d: %v, %v; want %v", i, ok, err, want)
					}
					if ok {
						used := rec
						used.UsedAt = at(5)
						if diff := cmp.Diff(used, got); diff != "" {
							t.Error(diff)
						}
					}
					return nil
				})
			}
			got, ok, err := w.store.Fleet().ExchangeToken(t.Context(), rec.Hash)
			if !found(t, got, ok, err).UsedAt.Equal(at(5)) {
				t.Errorf("used at %v, want %v", got.UsedAt, at(5))
			}
		},
		"Only an exchange token that has not expired is redeemed": func(t *testing.T, w *world) {
			r := w.runner(1)
			w.addRunners(t, r)
			expired, runner, forever := w.token(token.Exchange, runnerSubject(r), 1), w.token(token.Runner, runnerSubject(r), 2), w.token(token.Exchange, runnerSubject(r), 3)
			forever.ExpiresAt = time.Time{}
			w.addTokens(t, expired, runner, forever)
			w.writeFleet(t, func(tx fleet.Tx) error {
				for _, c := range []struct {
					hash []byte
					at   time.Time
					want bool
				}{
					{expired.Hash, expired.ExpiresAt, false},
					{runner.Hash, at(3), false},
					{token.Hash("unknown"), at(3), false},
					{forever.Hash, at(3).AddDate(10, 0, 0), true},
				} {
					if _, ok, err := tx.UseExchangeToken(t.Context(), c.hash, c.at); err != nil || ok != c.want {
						t.Errorf("got %v, %v; want %v", ok, err, c.want)
					}
				}
				return nil
			})
			got, ok, err := w.store.Fleet().ExchangeToken(t.Context(), expired.Hash)
			found(t, got, ok, err)
			got, ok, err = w.store.Fleet().ExchangeToken(t.Context(), runner.Hash)
			missing(t, got, ok, err)
		},
	}
}

// wantTokens checks which tokens are there.
func (w *world) wantTokens(t *testing.T, want map[*token.Record]bool) {
	t.Helper()
	for rec, there := range want {
		_, ok, err := w.store.Identity().Credential(t.Context(), rec.Hash)
		if err != nil || ok != there {
			t.Errorf("%s: there is %v, %v; want %v", rec.Description, ok, err, there)
		}
	}
}

func (w *world) deleteTokensOf(t *testing.T, s access.Subject, want int) {
	t.Helper()
	w.writeIdentity(t, func(tx identity.Tx) error {
		gone, err := tx.DeleteTokensOf(t.Context(), s, 10)
		if len(gone) != want {
			t.Errorf("%d tokens were deleted, want %d", len(gone), want)
		}
		return err
	})
}
