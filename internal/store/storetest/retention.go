package storetest

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/audit"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/identity"
	"github.com/musterhq/muster/internal/retention"
	"github.com/musterhq/muster/internal/token"
)

func retentionTests() map[string]func(*testing.T, *world) {
	return map[string]func(*testing.T, *world){
		"A policy keeps everything until it is set": func(t *testing.T, w *world) {
			s := w.store.Retention()
			other := w.organization(t)
			got, ok, err := s.Policy(t.Context(), w.org)
			if p := found(t, got, ok, err); p != (retention.Policy{}) {
				t.Errorf("the default is %+v", p)
			}
			want := retention.Policy{NeverConnectedDays: 1, OfflineDays: 2, AuditDays: 3}
			w.setPolicy(t, w.org, want, true)
			got, ok, err = s.Policy(t.Context(), w.org)
			if p := found(t, got, ok, err); p != want {
				t.Errorf("got %+v, want %+v", p, want)
			}
			all, err := s.Policies(t.Context())
			if diff := cmp.Diff(map[id.Organization]retention.Policy{w.org: want}, all); diff != "" || err != nil {
				t.Errorf("%v: %s", err, diff)
			}
			w.setPolicy(t, other, retention.Policy{AuditDays: 9}, true)
			w.setPolicy(t, w.org, retention.Policy{}, true)
			all, err = s.Policies(t.Context())
			if diff := cmp.Diff(map[id.Organization]retention.Policy{other: {AuditDays: 9}}, all); diff != "" || err != nil {
				t.Errorf("%v: %s", err, diff)
			}
			nowhere := id.Organization(id.New())
			w.setPolicy(t, nowhere, want, false)
			got, ok, err = s.Policy(t.Context(), nowhere)
			missing(t, got, ok, err)
		},
		"Pages of stale runners are those that the phase and the limits say": func(t *testing.T, w *world) {
			rapid.Check(t, func(rt *rapid.T) {
				org := w.organization(t)
				all := make([]fleet.Runner, rapid.IntRange(0, 10).Draw(rt, "runners"))
				for n := range all {
					all[n] = w.retiree(t, rt, org)
				}
				q := retention.Query{Organization: org, Limits: drawLimits(rt)}
				if rapid.IntRange(0, 9).Draw(rt, "another organization") == 0 {
					q.Organization = id.Organization(id.New())
				}
				got := pages(t, rt, func(p pageQuery) ([]retention.StaleRunner, error) {
					q.Page = p
					return w.store.Retention().StaleRunners(t.Context(), q)
				}, func(r retention.StaleRunner) cursor { return cursor{Key: timeKey(r.CreatedAt), ID: string(r.ID)} })
				if diff := cmp.Diff(selectStale(q, all), got); diff != "" {
					rt.Fatalf("limits %+v: %s", q.Limits, diff)
				}
			})
		},
		"Audit entries are counted in their organization up to a time": func(t *testing.T, w *world) {
			other := w.organization(t)
			w.writeIdentity(t, func(tx identity.Tx) error {
				for n := range 4 {
					e := audit.Entry{ID: id.New(), Organization: w.org, Action: "a.b", Kind: audit.KindChange, CreatedAt: at(n)}
					must(t, tx.InsertAuditEntry(t.Context(), e))
					e.ID, e.Organization = id.New(), other
					must(t, tx.InsertAuditEntry(t.Context(), e))
				}
				return nil
			})
			for n, want := range map[int]int64{0: 0, 1: 1, 3: 3, 9: 4} {
				if got, err := w.store.Retention().AuditEntriesBefore(t.Context(), w.org, at(n)); got != want || err != nil {
					t.Errorf("before %d there are %d, %v; want %d", n, got, err, want)
				}
			}
		},
		"Expired tokens go when their grace is over": expiredTokens,
	}
}

func (w *world) setPolicy(t *testing.T, o id.Organization, p retention.Policy, want bool) {
	t.Helper()
	must(t, w.store.Retention().Write(t.Context(), func(tx retention.Tx) error {
		if ok, err := tx.SetPolicy(t.Context(), o, p); ok != want || err != nil {
			t.Errorf("SetPolicy = %v, %v; want %v", ok, err, want)
		}
		return nil
	}))
}

// retiree is a runner in any phase and of any age, which is stored.
func (w *world) retiree(t *testing.T, rt *rapid.T, org id.Organization) fleet.Runner {
	t.Helper()
	n := rapid.IntRange(0, 5).Draw(rt, "created")
	r := w.runner(n)
	r.Organization, r.Kind = org, rapid.SampledFrom([]fleet.Kind{1, 2, 3}).Draw(rt, "kind")
	if rapid.IntRange(0, 4).Draw(rt, "deleting") == 0 {
		r.DeletingAt = at(9)
	}
	w.addRunners(t, r)
	connected := rapid.IntRange(0, 2).Draw(rt, "connected")
	if connected == 0 {
		return r
	}
	s := fleet.Session{Runner: r.ID, Replica: "replica", OpenedAt: r.CreatedAt}
	if connected == 2 {
		s.EndedAt = at(n + rapid.IntRange(0, 4).Draw(rt, "stayed"))
	}
	w.writeFleet(t, func(tx fleet.Tx) error {
		epoch, _, err := tx.OpenSession(t.Context(), s)
		s.Epoch = epoch
		return err
	})
	r.Session = &s
	return r
}

func drawLimits(rt *rapid.T) retention.Limits {
	limit := func(name string) time.Time {
		if rapid.IntRange(0, 3).Draw(rt, name+" is off") == 0 {
			return time.Time{}
		}
		return at(rapid.IntRange(0, 9).Draw(rt, name))
	}
	return retention.Limits{NeverConnectedBefore: limit("never connected"), OfflineBefore: limit("offline")}
}

// selectStale is the list, as plainly as it can be said.
func selectStale(q retention.Query, all []fleet.Runner) []retention.StaleRunner {
	slices.SortFunc(all, func(a, b fleet.Runner) int { return compareCursors(runnerPosition(a), runnerPosition(b)) })
	var out []retention.StaleRunner
	for _, r := range all {
		since, limit := r.CreatedAt, q.NeverConnectedBefore
		if r.Phase() == fleet.PhaseInactive {
			since, limit = r.Session.EndedAt, q.OfflineBefore
		}
		phase := r.Phase() == fleet.PhaseCreated || r.Phase() == fleet.PhaseInactive
		if phase && r.Organization == q.Organization && r.Kind != fleet.KindLocalConfiguration && since.Before(limit) {
			out = append(out, retention.StaleRunner{ID: r.ID, Name: r.Name, Phase: r.Phase(), Since: since, CreatedAt: r.CreatedAt})
		}
	}
	return out
}

func expiredTokens(t *testing.T, w *world) {
	u, r := w.user(1), w.runner(1)
	w.addUsers(t, u)
	w.addRunners(t, r)
	now := epoch.Add(365 * 24 * time.Hour)
	short, long := now.Add(-24*time.Hour), now.Add(-30*24*time.Hour)
	var kept, gone []token.Record
	add := func(stays bool, k token.Kind, s access.Subject, expires, used time.Time) {
		rec := w.token(k, s, 1)
		rec.ExpiresAt, rec.UsedAt = expires, used
		w.addTokens(t, rec)
		if stays {
			kept = append(kept, rec)
		} else {
			gone = append(gone, rec)
		}
	}
	const tick = time.Microsecond
	person, runner := userSubject(u), runnerSubject(r)
	add(true, token.Personal, person, time.Time{}, time.Time{})
	add(true, token.Personal, person, long, time.Time{})
	add(false, token.Personal, person, long.Add(-tick), time.Time{})
	add(true, token.Runner, runner, time.Time{}, time.Time{})
	add(true, token.Runner, runner, short.Add(-tick), time.Time{})
	add(false, token.Runner, runner, long.Add(-time.Hour), time.Time{})
	add(true, token.Exchange, runner, short, time.Time{})
	add(false, token.Exchange, runner, short.Add(-tick), time.Time{})
	add(true, token.Exchange, runner, short.Add(time.Hour), short)
	add(false, token.Exchange, runner, short.Add(time.Hour), short.Add(-tick))
	add(true, token.Exchange, runner, now.Add(time.Hour), time.Time{})
	var returned []token.Record
	for round, want := range []int{3, len(gone) - 3, 0} {
		must(t, w.store.Retention().Write(t.Context(), func(tx retention.Tx) error {
			removed, err := tx.DeleteExpiredTokens(t.Context(), short, long, 3)
			if len(removed) != want {
				t.Errorf("round %d removed %d, want %d", round, len(removed), want)
			}
			returned = append(returned, removed...)
			return err
		}))
	}
	byID := func(a, b token.Record) int { return strings.Compare(string(a.ID), string(b.ID)) }
	slices.SortFunc(returned, byID)
	if diff := cmp.Diff(slices.SortedFunc(slices.Values(gone), byID), returned); diff != "" {
		t.Errorf("what came back of those that were removed: %s", diff)
	}
	exists := func(rec token.Record) bool {
		_, ok, err := w.store.Identity().Credential(t.Context(), rec.Hash)
		must(t, err)
		return ok
	}
	for n, rec := range kept {
		if !exists(rec) {
			t.Errorf("token %d of those to keep, %s until %v, is gone", n, rec.Kind, rec.ExpiresAt)
		}
	}
	for n, rec := range gone {
		if exists(rec) {
			t.Errorf("token %d of those to remove, %s until %v, is still there", n, rec.Kind, rec.ExpiresAt)
		}
	}
}
