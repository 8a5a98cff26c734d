package storetest

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/group"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/identity"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/serviceaccount"
	"github.com/musterhq/muster/internal/token"
)

// raceTests are calls of the domain that meet in the database.
func raceTests() map[string]func(*testing.T, *world) {
	return map[string]func(*testing.T, *world){
		"A share succeeds while others are taken back": testSharesAtOnce,
		"Groups that get roles on each other do not wait for each other": func(t *testing.T, w *world) {
			for n := range 10 {
				a, b := w.ordinaryGroup(n), w.ordinaryGroup(n)
				w.addGroups(t, a, b)
				w.countAttempts(t, 2, func(i int, s group.Store) error {
					to, on := a.ID, b.ID
					if i == 1 {
						to, on = on, to
					}
					_, err := w.groups(s).Assign(t.Context(), w.admin(), group.Assignment{Group: to, Type: resource.Group, Resource: string(on), Role: resource.RoleGroupViewer})
					return err
				})
			}
		},
		"Who leaves and who shares with them do not wait for each other": func(t *testing.T, w *world) {
			for n := range 10 {
				u, g := w.user(n), w.group(n)
				g.Direct = userSubject(u)
				w.addUsers(t, u)
				w.addGroups(t, g)
				held := make(chan struct{})
				hold := sync.OnceFunc(func() { close(held) })
				w.countAttempts(t, 2, func(i int, s group.Store) error {
					if i == 0 {
						<-held
						var tries int
						err := w.store.Identity().Write(t.Context(), func(tx identity.Tx) error {
							tries++
							return tx.LockLeaving(t.Context(), w.org, userSubject(u))
						})
						if tries != 1 {
							t.Errorf("who leaves tried %d times", tries)
						}
						return err
					}
					return s.Write(t.Context(), func(tx group.Tx) error {
						if _, err := tx.LockGroup(t.Context(), w.org, g.ID); err != nil {
							return err
						}
						hold()
						for range 30 { // so long that the other gets to its locks, if it can
							if _, _, err := tx.Group(t.Context(), w.org, g.ID); err != nil {
								return err
							}
						}
						_, err := tx.LockPrincipal(t.Context(), w.org, userSubject(u))
						return err
					})
				})
			}
		},
		"Of many that delete a token, one does": func(t *testing.T, w *world) {
			u := w.user(1)
			w.addUsers(t, u)
			account := serviceaccount.Account{
				ID: id.ServiceAccount(id.New()), Organization: w.org, Name: "Robot", CreatedAt: at(1), UpdatedAt: at(1), ValidUntil: at(1).Add(time.Hour), Revision: 1,
			}
			must(t, w.store.ServiceAccounts().Write(t.Context(), func(tx serviceaccount.Tx) error { return tx.InsertServiceAccount(t.Context(), account) }))
			identities := w.identities()
			accounts := serviceaccount.New(w.store.ServiceAccounts(), nil, identities)
			for n := range 5 {
				for k, deleteOne := range map[token.Kind]func(id.Token) error{
					token.Personal:       func(rec id.Token) error { return identities.DeletePersonalToken(t.Context(), w.admin(), rec) },
					token.ServiceAccount: func(rec id.Token) error { return accounts.DeleteToken(t.Context(), w.admin(), rec) },
				} {
					subject := userSubject(u)
					if k == token.ServiceAccount {
						subject = account.Subject()
					}
					rec := w.token(k, subject, n)
					w.addTokens(t, rec)
					var done atomic.Int32
					atOnce(8, func(int) {
						switch err := deleteOne(rec.ID); {
						case err == nil:
							done.Add(1)
						case !fault.Is(err, fault.NotFound):
							t.Error(err)
						}
					})
					if done.Load() != 1 {
						t.Errorf("%d deleted the same token (%s)", done.Load(), k)
					}
				}
			}
		},
	}
}

// testSharesAtOnce shares with one subject and takes back, on two runners, so
// that the group for that comes and goes.
func testSharesAtOnce(t *testing.T, w *world) {
	u, r, s := w.user(1), w.runner(1), w.runner(2)
	w.addUsers(t, u)
	w.addRunners(t, r, s)
	groups := w.groups(w.store.Groups())
	for range 15 {
		atOnce(8, func(i int) {
			on := []string{string(r.ID), string(s.ID)}[i%2]
			if i < 4 {
				err := groups.Unshare(t.Context(), w.admin(), userSubject(u), resource.Runner, on)
				if err != nil && !(fault.Is(err, fault.NotFound) && fault.HasReason(err, fault.ReasonNotFound)) {
					t.Errorf("unshare: %v", err)
				}
				return
			}
			a := group.Assignment{Type: resource.Runner, Resource: on, Role: resource.RoleRunnerUser}
			if err := groups.Share(t.Context(), w.admin(), userSubject(u), a); err != nil {
				t.Errorf("share: %v", err)
			}
		})
	}
}

func (w *world) admin() access.Caller {
	return access.Caller{
		Subject: access.Subject{Principal: access.PrincipalUser, ID: id.New()}, Organization: w.org, Standing: access.OfRole(resource.RoleOrgAdmin),
	}
}

func (w *world) identities() *identity.Service {
	return identity.New(w.store.Identity(), nil, slog.New(slog.DiscardHandler))
}

func (w *world) groups(s group.Store) *group.Service { return group.New(s, w.identities()) }

// ordinaryGroup is one that shares nothing.
func (w *world) ordinaryGroup(n int) group.Group {
	g := w.group(n)
	g.Direct = access.Subject{}
	return g
}

// attempts is the store, which counts how often transactions were tried.
type attempts struct {
	group.Store
	n atomic.Int32
}

func (s *attempts) Write(ctx context.Context, fn func(group.Tx) error) error {
	return s.Store.Write(ctx, func(tx group.Tx) error {
		s.n.Add(1)
		return fn(tx)
	})
}

// countAttempts makes calls at the same time and fails when one was tried again,
// as a deadlock makes it.
func (w *world) countAttempts(t *testing.T, n int, call func(i int, s group.Store) error) {
	t.Helper()
	stores, errs := make([]*attempts, n), make([]error, n)
	for i := range stores {
		stores[i] = &attempts{Store: w.store.Groups()}
	}
	atOnce(n, func(i int) { errs[i] = call(i, stores[i]) })
	for i, s := range stores {
		if s.n.Load() > 1 {
			t.Errorf("call %d was tried %d times", i, s.n.Load())
		}
	}
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
}
