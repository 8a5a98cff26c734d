package storetest

import (
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/hosttoken"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/identity"
	"github.com/musterhq/muster/internal/resource"
)

func hostTokenTests() map[string]func(*testing.T, *world) {
	return map[string]func(*testing.T, *world){
		"A credential comes back as it was stored": func(t *testing.T, w *world) {
			r := w.runner(1)
			w.addRunners(t, r)
			full, bare := hostToken(r, "GitHub.com", 1), hostToken(r, "gitlab.com", 0)
			bare.RefreshToken, bare.Integration, bare.Scopes, bare.ExpiresAt = nil, "", nil, time.Time{}
			w.addHostTokens(t, full, bare)
			for _, want := range []hosttoken.Token{full, bare} {
				got, ok, err := w.store.HostTokens().HostToken(t.Context(), want.ID)
				if diff := cmp.Diff(want, found(t, got, ok, err)); diff != "" {
					t.Error(diff)
				}
			}
			got, ok, err := w.store.HostTokens().HostToken(t.Context(), id.New())
			missing(t, got, ok, err)
		},
		"A credential is found by its runner, host and subject": func(t *testing.T, w *world) {
			r, other := w.runner(1), w.runner(2)
			w.addRunners(t, r, other)
			want := hostToken(r, "GitHub.com", 1)
			w.addHostTokens(t, want)
			w.writeHostTokens(t, func(tx hosttoken.Tx) error {
				got, ok, err := tx.HostTokenOf(t.Context(), r.ID, "gitHUB.com", want.Subject)
				if diff := cmp.Diff(want, found(t, got, ok, err)); diff != "" {
					t.Error(diff)
				}
				got, ok, err = tx.HostTokenOf(t.Context(), other.ID, "github.com", want.Subject)
				missing(t, got, ok, err)
				got, ok, err = tx.HostTokenOf(t.Context(), r.ID, "github.com", access.Subject{Principal: want.Subject.Principal, ID: id.New()})
				missing(t, got, ok, err)
				return nil
			})
		},
		"Credentials are counted by runner and subject": func(t *testing.T, w *world) {
			r, other := w.runner(1), w.runner(2)
			w.addRunners(t, r, other)
			one, two, elsewhere, another := hostToken(r, "a.example", 1), hostToken(r, "b.example", 2), hostToken(other, "a.example", 3), hostToken(r, "a.example", 4)
			two.Subject, elsewhere.Subject = one.Subject, one.Subject
			another.Subject.ID = id.New()
			w.addHostTokens(t, one, two, elsewhere, another)
			w.writeHostTokens(t, func(tx hosttoken.Tx) error {
				for name, tt := range map[string]struct {
					of   hosttoken.Token
					want int64
				}{"two": {one, 2}, "elsewhere": {elsewhere, 1}, "another": {another, 1}} {
					if n, err := tx.CountHostTokens(t.Context(), tt.of.Runner, tt.of.Subject); n != tt.want || err != nil {
						t.Errorf("%s: %d, %v", name, n, err)
					}
				}
				return nil
			})
		},
		"A change needs the revision that it was made from, and leaves what never changes": func(t *testing.T, w *world) {
			r, other := w.runner(1), w.runner(2)
			w.addRunners(t, r, other)
			token := hostToken(r, "github.com", 1)
			w.addHostTokens(t, token)
			changed := token
			changed.Value, changed.RefreshToken, changed.Scopes, changed.ExpiresAt, changed.UpdatedAt = []byte{1, 8}, nil, []string{"new"}, time.Time{}, at(9)
			changed.Source, changed.Integration = 2, id.New()
			stored := changed
			stored.Revision = 2
			changed.Runner, changed.Host, changed.Subject.ID = other.ID, "gitlab.com", id.New()
			for n, want := range []bool{true, false} {
				w.writeHostTokens(t, func(tx hosttoken.Tx) error {
					if ok, err := tx.UpdateHostToken(t.Context(), changed); ok != want || err != nil {
						t.Errorf("change %d: %v, %v", n, ok, err)
					}
					return nil
				})
			}
			got, ok, err := w.store.HostTokens().HostToken(t.Context(), token.ID)
			if diff := cmp.Diff(stored, found(t, got, ok, err)); diff != "" {
				t.Error(diff)
			}
		},
		"A credential is deleted once, and goes with its runner": func(t *testing.T, w *world) {
			r := w.runner(1)
			w.addRunners(t, r)
			a, b := hostToken(r, "a", 1), hostToken(r, "b", 1)
			w.addHostTokens(t, a, b)
			for n, want := range []bool{true, false} {
				w.writeHostTokens(t, func(tx hosttoken.Tx) error {
					if ok, err := tx.DeleteHostToken(t.Context(), a.ID); ok != want || err != nil {
						t.Errorf("deletion %d: %v, %v", n, ok, err)
					}
					return nil
				})
			}
			w.writeFleet(t, func(tx fleet.Tx) error {
				_, err := tx.DeleteRunner(t.Context(), r.ID)
				return err
			})
			got, ok, err := w.store.HostTokens().HostToken(t.Context(), b.ID)
			missing(t, got, ok, err)
		},
		"Of many that add a credential for the same host at once, one does": func(t *testing.T, w *world) {
			r := w.runner(1)
			w.addRunners(t, r)
			subject := access.Subject{Principal: access.PrincipalUser, ID: id.New()}
			var won atomic.Int32
			atOnce(20, func(n int) {
				token := hostToken(r, []string{"github.com", "GitHub.com"}[n%2], 1)
				token.Subject = subject
				err := w.store.HostTokens().Write(t.Context(), func(tx hosttoken.Tx) error { return tx.InsertHostToken(t.Context(), token) })
				switch {
				case err == nil:
					won.Add(1)
				case !fault.HasReason(err, fault.Conflict):
					t.Error(err)
				}
			})
			if n := won.Load(); n != 1 {
				t.Errorf("%d added it", n)
			}
		},
		"An integration has its host on its own runner only": func(t *testing.T, w *world) {
			r, other := w.runner(1), w.runner(2)
			w.addRunners(t, r, other)
			i := scmIntegration(r, "GitHub.com", 1)
			w.addSCM(t, i)
			w.writeHostTokens(t, func(tx hosttoken.Tx) error {
				host, ok, err := tx.IntegrationHost(t.Context(), r.ID, i.ID)
				if found(t, host, ok, err) != "GitHub.com" {
					t.Errorf("host %q", host)
				}
				_, ok, err = tx.IntegrationHost(t.Context(), other.ID, i.ID)
				missing(t, host, ok, err)
				return nil
			})
		},
		"A subject that left is gone, and so is one that never was": func(t *testing.T, w *world) {
			here, left := w.user(1), w.user(2)
			left.Status = identity.StatusLeft
			w.addUsers(t, here, left)
			for name, c := range map[string]struct {
				subject access.Subject
				want    bool
			}{
				"a user":                 {userSubject(here), true},
				"a user who left":        {userSubject(left), false},
				"nobody":                 {access.Subject{Principal: access.PrincipalUser, ID: id.New()}, false},
				"a service account":      {access.Subject{Principal: access.PrincipalServiceAccount, ID: id.New()}, false},
				"a user as a runner":     {access.Subject{Principal: access.PrincipalRunner, ID: string(here.ID)}, false},
				"a user as a program":    {access.Subject{Principal: access.PrincipalServiceAccount, ID: string(here.ID)}, false},
				"nobody in particular":   {access.Subject{}, false},
				"a user without an id":   {access.Subject{Principal: access.PrincipalUser}, false},
				"a program without a id": {access.Subject{Principal: access.PrincipalServiceAccount}, false},
			} {
				w.writeHostTokens(t, func(tx hosttoken.Tx) error {
					if there, err := tx.LockSubject(t.Context(), w.org, c.subject); there != c.want || err != nil {
						t.Errorf("%s: %v, %v", name, there, err)
					}
					return nil
				})
			}
		},
		"Pages of any list are the credentials that a plain filter finds": func(t *testing.T, w *world) {
			rapid.Check(t, func(rt *rapid.T) { checkHostTokenPages(t, rt, w) })
		},
	}
}

func checkHostTokenPages(t *testing.T, rt *rapid.T, w *world) {
	s, subjects := w.drawShared(t, rt), []string{id.New(), id.New(), id.New()}
	all := make([]hosttoken.Token, rapid.IntRange(0, 12).Draw(rt, "credentials"))
	for n := range all {
		all[n] = hostToken(rapid.SampledFrom(s.runners).Draw(rt, "runner"), id.New(), 1)
		all[n].Subject.ID = rapid.SampledFrom(subjects).Draw(rt, "subject")
		all[n].CreatedAt = at(rapid.IntRange(0, 3).Draw(rt, "created"))
	}
	w.addHostTokens(t, shuffled(all)...)
	q := hosttoken.Query{
		Organization: s.org, Runner: rapid.SampledFrom(append(s.ids(), "", "", "")).Draw(rt, "on runner"),
		Subject: rapid.SampledFrom(append(subjects, "", "", id.New())).Draw(rt, "of subject"),
	}
	switch rapid.IntRange(0, 4).Draw(rt, "visibility") {
	case 0:
		q.Organization = id.Organization(id.New())
		q.Reach.All = true
	case 1:
		q.Reach.All = true
	default:
		q.Reach.Self = rapid.SampledFrom(append(subjects, "")).Draw(rt, "self")
		q.Reach.Groups = rapid.SliceOfNDistinct(rapid.SampledFrom(s.groups), 0, 2, rapid.ID).Draw(rt, "in groups")
		q.Reach.Roles = rapid.SliceOfNDistinct(rapid.SampledFrom([]resource.Role{14, 15, 18}), 0, 2, rapid.ID).Draw(rt, "with roles")
	}
	var want []hosttoken.Token
	for _, token := range all {
		if token.Organization == q.Organization && s.shows(q.Reach, token) &&
			(q.Runner == "" || q.Runner == token.Runner) && (q.Subject == "" || q.Subject == token.Subject.ID) {
			want = append(want, token)
		}
	}
	position := func(t hosttoken.Token) cursor { return cursor{Key: timeKey(t.CreatedAt), ID: t.ID} }
	slices.SortFunc(want, func(a, b hosttoken.Token) int { return compareCursors(position(a), position(b)) })
	got := pages(t, rt, func(p pageQuery) ([]hosttoken.Token, error) {
		q.Page = p
		return w.store.HostTokens().HostTokens(t.Context(), q)
	}, position)
	if diff := cmp.Diff(want, got); diff != "" {
		rt.Fatalf("query %+v: %s", q, diff)
	}
}

// shows tells whether a credential is in a caller's reach, as plainly as it can
// be said.
func (s *shared) shows(v hosttoken.Reach, token hosttoken.Token) bool {
	return v.All || v.Self == token.Subject.ID || slices.ContainsFunc(v.Groups, func(g id.Group) bool {
		return slices.ContainsFunc(s.roles[token.Runner][g], func(r resource.Role) bool { return slices.Contains(v.Roles, r) })
	})
}

// hostToken is one with a value in every field, of somebody of its own.
func hostToken(r fleet.Runner, host string, source hosttoken.Source) hosttoken.Token {
	return hosttoken.Token{
		ID: id.New(), Organization: r.Organization, Runner: r.ID, Host: host, Source: source,
		Subject: access.Subject{Principal: access.PrincipalServiceAccount, ID: id.New()},
		Value:   []byte{1, 0, 255}, RefreshToken: []byte{1, 0, 254}, Integration: id.New(), Scopes: []string{"b", "a", "é \"", "b", "\x00"},
		ExpiresAt: at(100), CreatedAt: at(1), UpdatedAt: at(2), Revision: 1,
	}
}

func (w *world) addHostTokens(t *testing.T, tokens ...hosttoken.Token) {
	t.Helper()
	w.writeHostTokens(t, func(tx hosttoken.Tx) error {
		for _, token := range tokens {
			if err := tx.InsertHostToken(t.Context(), token); err != nil {
				return err
			}
		}
		return nil
	})
}

func (w *world) writeHostTokens(t *testing.T, fn func(hosttoken.Tx) error) {
	t.Helper()
	must(t, w.store.HostTokens().Write(t.Context(), fn))
}
