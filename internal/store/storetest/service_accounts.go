package storetest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/identity"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/serviceaccount"
	"github.com/musterhq/muster/internal/token"
)

// account is one with a value in every field, except that it is in use.
func (w *world) account(n int) serviceaccount.Account {
	return serviceaccount.Account{
		ID: id.ServiceAccount(id.New()), Organization: w.org, Name: fmt.Sprintf("Account %03d", n), Description: "zoë's \"robot\"",
		Creator: access.Subject{Principal: access.PrincipalUser, ID: id.New()}, ValidUntil: at(n).Add(time.Hour),
		CreatedAt: at(n), UpdatedAt: at(n + 1), Revision: 1,
	}
}

func (w *world) addAccounts(t *testing.T, accounts ...serviceaccount.Account) {
	t.Helper()
	w.writeAccounts(t, func(tx serviceaccount.Tx) error {
		for _, a := range accounts {
			if err := tx.InsertServiceAccount(t.Context(), a); err != nil {
				return err
			}
		}
		return nil
	})
}

func (w *world) writeAccounts(t *testing.T, fn func(serviceaccount.Tx) error) {
	t.Helper()
	must(t, w.store.ServiceAccounts().Write(t.Context(), fn))
}

// pageAfter is the page after a row of a list that is ordered by time.
func pageAfter(t *testing.T, size int32, created time.Time, rowID string) pageQuery {
	q := page(t, size)
	q.After = &cursor{Key: timeKey(created), ID: rowID}
	return q
}

// serviceAccountTests are about service accounts and their tokens.
func serviceAccountTests() map[string]func(*testing.T, *world) {
	return map[string]func(*testing.T, *world){
		"A row is returned as it was stored": func(t *testing.T, w *world) {
			a, gone := w.account(1), w.account(2)
			gone.SuspendedAt = at(7)
			w.addAccounts(t, a, gone)
			for _, want := range []serviceaccount.Account{a, gone} {
				got, ok, err := w.store.ServiceAccounts().ServiceAccount(t.Context(), w.org, want.ID)
				if diff := cmp.Diff(want, found(t, got, ok, err)); diff != "" {
					t.Error(diff)
				}
			}
			got, ok, err := w.store.ServiceAccounts().ServiceAccount(t.Context(), w.organization(t), a.ID)
			missing(t, got, ok, err)
		},
		"UpdateServiceAccount stores what can change, and loses against a newer revision": func(t *testing.T, w *world) {
			a := w.account(1)
			w.addAccounts(t, a)
			changed := a
			changed.Name, changed.Description, changed.SuspendedAt, changed.UpdatedAt = "Renamed", "", at(8), at(9)
			for i, want := range []bool{true, false} {
				w.writeAccounts(t, func(tx serviceaccount.Tx) error {
					if ok, err := tx.UpdateServiceAccount(t.Context(), changed); err != nil || ok != want {
						t.Errorf("update %d: %v, %v; want %v", i, ok, err, want)
					}
					return nil
				})
			}
			changed.Revision = 2
			got, ok, err := w.store.ServiceAccounts().ServiceAccount(t.Context(), w.org, a.ID)
			if diff := cmp.Diff(changed, found(t, got, ok, err)); diff != "" {
				t.Error(diff)
			}
			rows, err := w.store.ServiceAccounts().ListServiceAccounts(t.Context(), serviceaccount.Query{Organization: w.org, Search: "RENAM", IncludeSuspended: true, Page: page(t, 5)})
			if err != nil || len(rows) != 1 {
				t.Errorf("a search for the new name found %d, %v", len(rows), err)
			}
		},
		"Lists filter and go on where the page before ended": func(t *testing.T, w *world) {
			one, two, gone, four := w.account(1), w.account(2), w.account(3), w.account(4)
			gone.SuspendedAt, four.Name = at(9), "100%"
			foreign := w.account(5)
			foreign.Organization = w.organization(t)
			w.addAccounts(t, shuffled([]serviceaccount.Account{one, two, gone, four, foreign})...)
			names := func(q serviceaccount.Query) string {
				t.Helper()
				q.Organization = w.org
				var out []string
				for q.Page = page(t, 1); ; {
					rows, err := w.store.ServiceAccounts().ListServiceAccounts(t.Context(), q)
					must(t, err)
					if len(rows) == 0 {
						return fmt.Sprint(out)
					}
					out = append(out, rows[0].Name)
					q.Page = pageAfter(t, 1, rows[0].CreatedAt, string(rows[0].ID))
				}
			}
			for _, c := range []struct {
				q    serviceaccount.Query
				want string
			}{
				{serviceaccount.Query{}, "[Account 001 Account 002 100%]"},
				{serviceaccount.Query{IncludeSuspended: true}, "[Account 001 Account 002 Account 003 100%]"},
				{serviceaccount.Query{Search: "account"}, "[Account 001 Account 002]"},
				{serviceaccount.Query{Search: "%"}, "[100%]"},
				{serviceaccount.Query{IDs: []string{string(gone.ID), string(two.ID), string(foreign.ID), id.New()}}, "[Account 002]"},
				{serviceaccount.Query{IDs: []string{string(gone.ID), string(two.ID)}, IncludeSuspended: true}, "[Account 002 Account 003]"},
				{serviceaccount.Query{IDs: []string{string(one.ID), string(four.ID)}, Search: "100"}, "[100%]"},
			} {
				if got := names(c.q); got != c.want {
					t.Errorf("%+v: %s, want %s", c.q, got, c.want)
				}
			}
		},
		"A credential has the state of its account": func(t *testing.T, w *world) {
			a := w.account(1)
			a.SuspendedAt = at(5)
			w.addAccounts(t, a)
			rec := w.token(token.ServiceAccount, a.Subject(), 2)
			w.addTokens(t, rec)
			got, ok, err := w.store.Identity().Credential(t.Context(), rec.Hash)
			want := identity.Credential{Record: rec, Suspended: true, ValidUntil: a.ValidUntil}
			if diff := cmp.Diff(want, found(t, got, ok, err)); diff != "" {
				t.Error(diff)
			}
		},
		"Only long-lived tokens are listed": func(t *testing.T, w *world) {
			a, b := w.account(1), w.account(2)
			u := w.user(1)
			w.addAccounts(t, a, b)
			w.addUsers(t, u)
			one, two, three := w.token(token.ServiceAccount, a.Subject(), 1), w.token(token.ServiceAccount, b.Subject(), 2), w.token(token.ServiceAccount, a.Subject(), 3)
			short, pat := w.token(token.ServiceAccountAccess, a.Subject(), 4), w.token(token.Personal, userSubject(u), 5)
			w.addTokens(t, shuffled([]token.Record{one, two, three, short, pat})...)
			s := w.store.ServiceAccounts()
			for _, c := range []struct {
				q    serviceaccount.TokenQuery
				want []token.Record
			}{
				{serviceaccount.TokenQuery{Organization: w.org, Page: page(t, 5)}, []token.Record{one, two, three}},
				{serviceaccount.TokenQuery{Organization: w.org, Account: a.ID, Page: page(t, 5)}, []token.Record{one, three}},
				{serviceaccount.TokenQuery{Organization: w.org, Page: pageAfter(t, 5, one.CreatedAt, string(one.ID))}, []token.Record{two, three}},
				{serviceaccount.TokenQuery{Organization: w.org, Account: a.ID, Page: pageAfter(t, 5, one.CreatedAt, string(one.ID))}, []token.Record{three}},
				{serviceaccount.TokenQuery{Organization: w.organization(t), Page: page(t, 5)}, []token.Record{}},
			} {
				got, err := s.ListServiceAccountTokens(t.Context(), c.q)
				must(t, err)
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("%+v: %s", c.q, diff)
				}
			}
			got, ok, err := s.ServiceAccountToken(t.Context(), w.org, one.ID)
			if diff := cmp.Diff(one, found(t, got, ok, err)); diff != "" {
				t.Error(diff)
			}
			got, ok, err = s.ServiceAccountToken(t.Context(), w.org, short.ID)
			missing(t, got, ok, err)
			got, ok, err = s.ServiceAccountToken(t.Context(), w.organization(t), one.ID)
			missing(t, got, ok, err)
			w.deleteTokensOf(t, a.Subject(), 3)
			w.wantTokens(t, map[*token.Record]bool{&one: false, &two: true, &three: false, &short: false, &pat: true})
		},
		"A lock makes others wait": func(t *testing.T, w *world) {
			a := w.account(1)
			w.addAccounts(t, a)
			// Each adds a token only while there are fewer than two.
			var wg sync.WaitGroup
			for n := range 8 {
				wg.Go(func() {
					err := w.store.ServiceAccounts().Write(t.Context(), func(tx serviceaccount.Tx) error {
						if err := tx.LockServiceAccount(t.Context(), a.ID); err != nil {
							return err
						}
						got, _, err := tx.ServiceAccount(t.Context(), w.org, a.ID)
						if err != nil || got.Revision > 2 {
							return err
						}
						if ok, err := tx.UpdateServiceAccount(t.Context(), got); err != nil || !ok {
							t.Errorf("an update under the lock: %v, %v", ok, err)
						}
						return tx.InsertToken(t.Context(), w.token(token.ServiceAccount, a.Subject(), n))
					})
					if err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			w.deleteTokensOf(t, a.Subject(), 2)
		},
		"A token needs its account": func(t *testing.T, w *world) {
			a := w.account(1)
			rec := w.token(token.ServiceAccount, a.Subject(), 1)
			err := w.store.ServiceAccounts().Write(t.Context(), func(tx serviceaccount.Tx) error { return tx.InsertToken(t.Context(), rec) })
			if !fault.Is(err, fault.Aborted) {
				t.Errorf("got %v, want a conflict", err)
			}
		},
		"What belongs to a subject goes with it": func(t *testing.T, w *world) {
			a, r := w.account(1), w.runner(1)
			w.addAccounts(t, a)
			w.addRunners(t, r)
			mine, other := id.Group(id.New()), id.Group(id.New())
			hostToken := id.New()
			w.db.Exec(t, `INSERT INTO groups (id, organization_id, name, description, direct_principal, direct_id, created_at, updated_at, revision, name_lower)
				VALUES ($1, $3, 'mine', '', 0, '', 1, 1, 1, 'mine'), ($2, $3, 'other', '', 0, '', 1, 1, 1, 'other')`, string(mine), string(other), string(w.org))
			w.db.Exec(t, `INSERT INTO memberships (id, organization_id, group_id, subject_principal, subject_id, created_at)
				VALUES ('m1', $1, $2, 5, $4, 1), ('m2', $1, $3, 5, 'somebody else', 1)`, string(w.org), string(mine), string(other), string(a.ID))
			w.db.Exec(t, `INSERT INTO host_tokens (id, organization_id, runner_id, host, subject_principal, subject_id, source, token, refresh_token, integration_id, scopes,
				expires_at, created_at, updated_at, revision, host_lower)
				VALUES ($1, $2, $3, 'h', 5, $4, 1, '', '', '', '[]', 0, 1, 1, 1, 'h'), ('t2', $2, $3, 'h', 5, 'somebody else', 1, '', '', '', '[]', 0, 1, 1, 1, 'h')`,
				hostToken, string(w.org), string(r.ID), string(a.ID))
			for i, want := range []struct {
				groups []id.Group
				tokens int
			}{{[]id.Group{mine}, 1}, {[]id.Group{}, 0}} {
				w.writeAccounts(t, func(tx serviceaccount.Tx) error {
					groups, err := tx.DeleteMembershipsOf(t.Context(), w.org, a.Subject(), 10)
					must(t, err)
					if diff := cmp.Diff(want.groups, groups); diff != "" {
						t.Errorf("time %d: %s", i, diff)
					}
					tokens, err := tx.DeleteHostTokensOf(t.Context(), w.org, a.Subject(), 10)
					must(t, err)
					if len(tokens) != want.tokens {
						t.Fatalf("time %d: %d credentials for hosts", i, len(tokens))
					}
					for _, o := range tokens {
						if o.ID != hostToken || o.Type != resource.HostAuthenticationToken || o.Runner != r.ID || o.Organization != w.org || o.Owner != a.Subject() || o.Creator != r.Creator {
							t.Errorf("the credential was %+v", o)
						}
					}
					return nil
				})
			}
		},
	}
}
