package storetest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musterhq/muster/internal/confirmed"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/keyring"
	"github.com/musterhq/muster/internal/token"
)

func confirmedTests() map[string]func(*testing.T, *world) {
	write := func(t *testing.T, w *world, fn func(confirmed.Tx) error) {
		t.Helper()
		must(t, w.store.Confirmed().Write(t.Context(), fn))
	}
	return map[string]func(*testing.T, *world){
		"The time is begun once and changed by whoever has read it": func(t *testing.T, w *world) {
			s, ok, err := w.store.Confirmed().ConfirmedTime(t.Context())
			missing(t, s, ok, err)
			write(t, w, func(tx confirmed.Tx) error { return tx.InsertConfirmedTime(t.Context(), confirmed.State{At: at(7)}) })
			write(t, w, func(tx confirmed.Tx) error { return tx.InsertConfirmedTime(t.Context(), confirmed.State{At: at(8)}) })
			want := confirmed.State{At: at(9), Ahead: -time.Hour, Watched: 3 * time.Second, Doubted: true, Alarmed: true, Revision: 1}
			write(t, w, func(tx confirmed.Tx) error {
				ok, err := tx.UpdateConfirmedTime(t.Context(), want)
				found(t, want, ok, err)
				ok, err = tx.UpdateConfirmedTime(t.Context(), want)
				missing(t, want, ok, err)
				return nil
			})
			want.Revision = 2
			w.reopen(t)
			s, ok, err = w.store.Confirmed().ConfirmedTime(t.Context())
			if diff := cmp.Diff(want, found(t, s, ok, err)); diff != "" {
				t.Error(diff)
			}
		},
		"The newest audit entry counts, of whatever organization": func(t *testing.T, w *world) {
			if newest, err := w.store.Confirmed().NewestAuditTime(t.Context()); err != nil || !newest.IsZero() {
				t.Errorf("%v, %v", newest, err)
			}
			for n, o := range []string{"a", "b", "c"} {
				e := w.auditEntry(n)
				e.CreatedAt = at(10 - n)
				w.writeFleet(t, func(tx fleet.Tx) error { return tx.InsertAuditEntry(t.Context(), e) })
				w.db.Exec(t, "UPDATE audit_entries SET organization_id = $1 WHERE id = $2", o, e.ID)
			}
			if newest, err := w.store.Confirmed().NewestAuditTime(t.Context()); err != nil || !newest.Equal(at(10)) {
				t.Errorf("%v, %v", newest, err)
			}
		},
		"Credentials with doubted times are found": func(t *testing.T, w *world) {
			u := w.user(1)
			w.addUsers(t, u)
			tokens := []token.Record{w.token(token.Personal, u.Subject(), 1), w.token(token.Personal, u.Subject(), 2), w.token(token.Personal, u.Subject(), 3)}
			for n := range tokens {
				tokens[n].CreatedAt = at(100 * n)
			}
			w.addTokens(t, tokens...)
			must(t, w.store.Keyring().Write(t.Context(), func(tx keyring.Tx) error {
				_, err := tx.InsertSigningKey(t.Context(), keyring.Record{ID: "k", Purpose: keyring.Logs, Public: []byte{1}, CreatedAt: at(1)})
				if err == nil {
					_, err = tx.RetireSigningKey(t.Context(), keyring.Logs, at(101))
				}
				return err
			}))
			ids := func(limit int) (ids []string) {
				write(t, w, func(tx confirmed.Tx) error {
					made, err := tx.MadeInDoubt(t.Context(), limit)
					ids = nil
					for _, c := range made {
						ids = append(ids, c.ID)
					}
					return err
				})
				return ids
			}
			if got := ids(9); got != nil {
				t.Errorf("without doubt there are %v", got)
			}
			write(t, w, func(tx confirmed.Tx) error {
				must(t, tx.PutDoubtedTime(t.Context(), at(100), at(100)))
				must(t, tx.PutDoubtedTime(t.Context(), at(100), at(102)))
				return tx.PutDoubtedTime(t.Context(), at(199), at(201))
			})
			if diff := cmp.Diff([]string{string(tokens[1].ID), string(tokens[2].ID), "k"}, ids(9)); diff != "" {
				t.Error(diff)
			}
			if got := ids(1); len(got) != 1 {
				t.Errorf("of one there are %v", got)
			}
			write(t, w, func(tx confirmed.Tx) error { return tx.DeleteDoubtedTimes(t.Context()) })
			if got := ids(9); got != nil {
				t.Errorf("after the doubt there are %v", got)
			}
		},
	}
}
