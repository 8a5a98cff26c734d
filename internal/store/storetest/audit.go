package storetest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/audit"
	"github.com/musterhq/muster/internal/audit/chain"
	"github.com/musterhq/muster/internal/auditlog"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/resource"
)

func auditTests() map[string]func(*testing.T, *world) {
	return map[string]func(*testing.T, *world){
		"A list has the entries asked for, in order": func(t *testing.T, w *world) {
			rapid.Check(t, func(rt *rapid.T) { checkAuditPages(t, rt, w) })
		},
		"An entry is found in its organization": func(t *testing.T, w *world) {
			e := w.auditEntry(1)
			w.addAuditEntries(t, e)
			got, ok, err := w.store.AuditLog().AuditEntry(t.Context(), w.org, e.ID)
			if diff := gocmp.Diff(e, found(t, got, ok, err)); diff != "" {
				t.Error(diff)
			}
			got, ok, err = w.store.AuditLog().AuditEntry(t.Context(), w.organization(t), e.ID)
			missing(t, got, ok, err)
		},
		"Several writers make one chain": func(t *testing.T, w *world) {
			const writers, each = 4, 300
			var wg sync.WaitGroup
			for n := range writers {
				wg.Go(func() {
					for i := range each / 50 {
						for j := range 50 {
							w.addAuditEntries(t, w.auditEntry(n*each+i*50+j))
						}
						w.export(t, w.auditLog())
					}
				})
			}
			wg.Wait()
			if r := w.verified(t, w.auditLog()); r.Entries != writers*each {
				t.Errorf("the chain has %d entries, want %d", r.Entries, writers*each)
			}
		},
		"An entry that comes late is chained late": func(t *testing.T, w *world) {
			log := w.auditLog()
			young, old := w.auditEntry(5), w.auditEntry(1)
			w.addAuditEntries(t, young)
			w.verified(t, log)
			w.addAuditEntries(t, old)
			w.verified(t, log)
			got, err := w.store.AuditLog().ChainedEntries(t.Context(), w.org, 0, 10)
			must(t, err)
			if len(got) != 2 || got[0].ID != young.ID || got[1].ID != old.ID {
				t.Errorf("the chain is %v", got)
			}
		},
		"Organizations have chains of their own": func(t *testing.T, w *world) {
			other := w.auditEntry(2)
			other.Organization = w.organization(t)
			w.addAuditEntries(t, w.auditEntry(1), other, w.auditEntry(3))
			first, ok, err := w.store.AuditLog().UnchainedOrganization(t.Context(), "")
			found(t, first, ok, err)
			second, ok, err := w.store.AuditLog().UnchainedOrganization(t.Context(), first)
			found(t, second, ok, err)
			if want := []id.Organization{min(w.org, other.Organization), max(w.org, other.Organization)}; !slices.Equal([]id.Organization{first, second}, want) {
				t.Errorf("unchained are %s and %s, want %v", first, second, want)
			}
			none, ok, err := w.store.AuditLog().UnchainedOrganization(t.Context(), second)
			missing(t, none, ok, err)
			if r := w.verified(t, w.auditLog()); r.Entries != 2 {
				t.Errorf("the chain has %d entries", r.Entries)
			}
		},
		"A chain without a signature is found": func(t *testing.T, w *world) {
			w.addAuditEntries(t, w.auditEntry(1))
			e := w.export(t, w.auditLog())
			unsigned, err := w.store.AuditLog().UnsignedChains(t.Context())
			if err != nil || len(unsigned) != 0 {
				t.Errorf("unsigned: %v, %v", unsigned, err)
			}
			w.addAuditEntries(t, w.auditEntry(2))
			_, err = auditlog.New(w.store.AuditLog(), brokenSigner{}, right, slog.New(slog.DiscardHandler)).Export(t.Context(), w.auditor(), 0, 0)
			if err == nil {
				t.Fatal("an export without a signature")
			}
			unsigned, err = w.store.AuditLog().UnsignedChains(t.Context())
			if err != nil || len(unsigned) != 1 || unsigned[0].Sequence != 2 || unsigned[0].Hash == e.Entries[0].Hash || unsigned[0].Organization != w.org {
				t.Errorf("unsigned: %+v, %v", unsigned, err)
			}
		},
		"Old entries are removed from the old end": checkTruncate,
		"A whole log can be too old": func(t *testing.T, w *world) {
			log := w.auditLog()
			w.addAuditEntries(t, w.auditEntry(1), w.auditEntry(2))
			w.export(t, log)
			if n, err := log.Truncate(t.Context(), w.org, at(100)); err != nil || n != 2 {
				t.Fatalf("removed %d, %v", n, err)
			}
			if r := w.verified(t, log); r.Floor != 2 || r.First != 3 || r.Last != 3 {
				t.Errorf("what is left: %+v", r)
			}
		},
		"A broken log is not made shorter": func(t *testing.T, w *world) {
			log := w.auditLog()
			w.addAuditEntries(t, w.auditEntry(1), w.auditEntry(2), w.auditEntry(3))
			w.export(t, log)
			w.db.Exec(t, "UPDATE audit_entries SET action = 'runner.read' WHERE sequence = 2")
			if n, err := log.Truncate(t.Context(), w.org, at(100)); !fault.HasReason(err, fault.AuditBroken) || n != 0 {
				t.Errorf("removed %d, %v", n, err)
			}
			if n := len(w.export(t, log).Entries); n != 3 {
				t.Errorf("%d entries are left", n)
			}
		},
	}
}

// checkTruncate removes entries in several batches, with one in between that is
// young.
func checkTruncate(t *testing.T, w *world) {
	log := w.auditLog()
	const old = 1200
	for n := range old {
		w.addAuditEntries(t, w.auditEntry(n))
	}
	w.verified(t, log)
	w.addAuditEntries(t, w.auditEntry(5000))
	w.verified(t, log)
	w.addAuditEntries(t, w.auditEntry(3)) // is old, and stays behind the young one
	before := w.verified(t, log)
	if n, err := log.Truncate(t.Context(), w.org, at(1100)); err != nil || n != 1100 {
		t.Fatalf("removed %d, %v", n, err)
	}
	if n, err := log.Truncate(t.Context(), w.org, at(1100)); err != nil || n != 0 {
		t.Fatalf("the second time: removed %d, %v", n, err)
	}
	if n, err := log.Truncate(t.Context(), w.org, at(4000)); err != nil || n != 100 {
		t.Fatalf("up to the young one: removed %d, %v", n, err)
	}
	after := w.verified(t, log)
	if after.Floor != old || after.First != old+1 || after.Last != before.Last+2 {
		t.Errorf("what is left: %+v", after)
	}
	var runs int
	for _, e := range w.db.AuditEntries(t, w.org) {
		if e.Action == "audit_log.truncate" {
			runs++
			if e.Actor != access.System || e.SubjectID != string(w.org) || e.SubjectType != resource.Organization {
				t.Errorf("the entry of a run: %+v", e)
			}
		}
	}
	if runs != 2 {
		t.Errorf("%d entries of runs, want 2", runs)
	}
	// The export can be read in parts, from anywhere.
	first, err := log.Export(t.Context(), w.auditor(), 7, 1)
	must(t, err)
	if len(first.Entries) != 1 || first.Entries[0].Sequence != old+1 || !first.More || len(first.Checkpoints) != 2 || !first.Checkpoints[0].Floor {
		t.Errorf("the first part: %+v", first)
	}
	second, err := log.Export(t.Context(), w.auditor(), old+1, 2)
	must(t, err)
	if len(second.Entries) != 2 || second.Entries[0].Sequence != old+2 || !second.More || len(second.Checkpoints) > 2 {
		t.Errorf("the second part: %+v", second)
	}
}

func checkAuditPages(t *testing.T, rt *rapid.T, w *world) {
	ids := []string{id.New(), id.New(), id.New()}
	org := w.organization(t)
	entries := make([]audit.Entry, rapid.IntRange(0, 15).Draw(rt, "entries"))
	for i := range entries {
		e := w.auditEntry(rapid.IntRange(0, 4).Draw(rt, "created"))
		e.Organization = org
		e.Actor = rapid.SampledFrom([]access.Subject{
			access.System, {Principal: access.PrincipalUser, ID: ids[0]}, {Principal: access.PrincipalRunner, ID: ids[1]},
		}).Draw(rt, "actor")
		e.SubjectID = rapid.SampledFrom(ids).Draw(rt, "subject")
		e.SubjectType = rapid.SampledFrom([]resource.Type{resource.Runner, resource.RoleAssignment, resource.SecurityPolicy}).Draw(rt, "type")
		entries[i] = e
	}
	w.addAuditEntries(t, entries...)
	q := auditlog.Query{
		Organization: org,
		Actors:       rapid.SliceOfN(rapid.SampledFrom(ids), 0, 2).Draw(rt, "actors"),
		Principals:   rapid.SliceOfN(rapid.SampledFrom([]access.Principal{access.PrincipalNone, access.PrincipalUser, access.PrincipalRunner}), 0, 2).Draw(rt, "principals"),
		Subjects:     rapid.SliceOfN(rapid.SampledFrom(ids), 0, 2).Draw(rt, "subjects"),
		SubjectTypes: rapid.SliceOfN(rapid.SampledFrom([]resource.Type{resource.Runner, resource.SecurityPolicy}), 0, 2).Draw(rt, "types"),
		OldestFirst:  rapid.Bool().Draw(rt, "oldest first"),
	}
	if rapid.Bool().Draw(rt, "has from") {
		q.From = at(rapid.IntRange(0, 4).Draw(rt, "from"))
	}
	if rapid.Bool().Draw(rt, "has to") {
		q.To = at(rapid.IntRange(0, 4).Draw(rt, "to"))
	}
	want := slices.DeleteFunc(slices.Clone(entries), func(e audit.Entry) bool {
		return len(q.Actors) > 0 && !slices.Contains(q.Actors, e.Actor.ID) ||
			len(q.Principals) > 0 && !slices.Contains(q.Principals, e.Actor.Principal) ||
			len(q.Subjects) > 0 && !slices.Contains(q.Subjects, e.SubjectID) ||
			len(q.SubjectTypes) > 0 && !slices.Contains(q.SubjectTypes, e.SubjectType) ||
			!q.From.IsZero() && e.CreatedAt.Before(q.From) || !q.To.IsZero() && e.CreatedAt.After(q.To)
	})
	slices.SortFunc(want, func(a, b audit.Entry) int {
		c := cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
		if !q.OldestFirst {
			c = -c
		}
		return c
	})
	got := pages(t, rt, func(p pageQuery) ([]audit.Entry, error) {
		q.Page = p
		return w.store.AuditLog().AuditEntries(t.Context(), q)
	}, func(e audit.Entry) cursor { return cursor{Key: timeKey(e.CreatedAt), ID: e.ID} })
	if len(got) != len(want) || len(want) > 0 && gocmp.Diff(want, got) != "" {
		rt.Fatalf("%+v: %s", q, gocmp.Diff(want, got))
	}
}

func (w *world) addAuditEntries(t *testing.T, entries ...audit.Entry) {
	t.Helper()
	err := w.store.AuditLog().Write(t.Context(), func(tx auditlog.Tx) error {
		for _, e := range entries {
			if err := tx.InsertAuditEntry(t.Context(), e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// signer signs with a key of its own.
type signer struct{ key ed25519.PrivateKey }

func (s signer) Sign(_ context.Context, message []byte) (string, []byte, error) {
	return "key", ed25519.Sign(s.key, message), nil
}

func (s signer) PublicKeys(context.Context) ([]chain.Key, error) {
	return []chain.Key{{ID: "key", PublicKey: chain.Hex(s.key.Public().(ed25519.PublicKey))}}, nil
}

// brokenSigner cannot sign.
type brokenSigner struct{ signer }

func (brokenSigner) Sign(context.Context, []byte) (string, []byte, error) {
	return "", nil, fault.New(fault.Unavailable, fault.StorageUnavailable, "There is no key.")
}

// auditLog is the audit log as one replica has it.
func (w *world) auditLog() *auditlog.Service {
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	return auditlog.New(w.store.AuditLog(), signer{key}, right, slog.New(slog.DiscardHandler))
}

// auditor may read the audit log.
func (w *world) auditor() access.Caller {
	return access.Caller{
		Subject: access.Subject{Principal: access.PrincipalUser, ID: id.New()}, Organization: w.org,
		Standing: access.OfRole(resource.RoleOrgAuditLogReader),
	}
}

func (w *world) export(t *testing.T, log *auditlog.Service) auditlog.Export {
	t.Helper()
	e, err := log.Export(t.Context(), w.auditor(), 0, 0)
	if err != nil {
		t.Error(err)
	}
	return e
}

// verified exports the log as a client does, and verifies the export.
func (w *world) verified(t *testing.T, log *auditlog.Service) chain.Report {
	t.Helper()
	var b bytes.Buffer
	to, err := chain.NewWriter(&b, string(w.org))
	must(t, err)
	for after, more, first := int64(0), true, true; more; first = false {
		e, err := log.Export(t.Context(), w.auditor(), after, 700)
		must(t, err)
		for _, k := range e.Keys {
			if first {
				must(t, to.Key(k))
			}
		}
		for _, c := range e.Checkpoints {
			if c.Floor && first {
				must(t, to.Checkpoint(c))
			}
		}
		for _, entry := range e.Entries {
			must(t, to.Entry(entry))
			for _, c := range e.Checkpoints {
				if c.Sequence == entry.Sequence {
					must(t, to.Checkpoint(c))
				}
			}
			after = entry.Sequence
		}
		more = e.More
	}
	must(t, to.Close())
	r, err := chain.Verify(&b, chain.Options{})
	must(t, err)
	return r
}

// right is a clock that nobody doubts.
func right() (time.Time, bool) { return time.Now(), true }
