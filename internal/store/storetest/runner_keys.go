package storetest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/token"
)

func runnerKeyTests() map[string]func(*testing.T, *world) {
	return map[string]func(*testing.T, *world){
		"The log of keys keeps its order, and the newest lines of it are read": func(t *testing.T, w *world) {
			r, other := w.runner(1), w.runner(2)
			w.addRunners(t, r, other)
			want := []fleet.KeyEvent{keyEvent(r, 1, 5), keyEvent(r, 3, 4), keyEvent(r, 5, 4), keyEvent(r, 4, 6)}
			w.appendKeys(t, append(want, keyEvent(other, 1, 9))...)
			for limit, lines := range map[int][]fleet.KeyEvent{10: want, 2: want[2:]} {
				got, err := w.store.Fleet().KeyLog(t.Context(), r.ID, limit)
				must(t, err)
				if diff := cmp.Diff(lines, got); diff != "" {
					t.Errorf("limit %d: %s", limit, diff)
				}
			}
			w.writeFleet(t, func(tx fleet.Tx) error {
				_, err := tx.DeleteRunner(t.Context(), r.ID)
				return err
			})
			if got, err := w.store.Fleet().KeyLog(t.Context(), r.ID, 10); err != nil || len(got) != 0 {
				t.Errorf("the log outlives the runner: %v, %v", got, err)
			}
		},
		"The signing key of a public key is the one that was logged last": func(t *testing.T, w *world) {
			r := w.runner(1)
			w.addRunners(t, r)
			bare, full := keyEvent(r, 1, 1), keyEvent(r, 3, 2)
			bare.SigningKey = nil
			again, emptied := full, full
			again.SigningKey, emptied.SigningKey = []byte{7, 0, 7}, nil
			w.appendKeys(t, bare, full, again, emptied)
			w.writeFleet(t, func(tx fleet.Tx) error {
				for public, want := range map[string][]byte{string(bare.PublicKey): nil, string(full.PublicKey): again.SigningKey} {
					got, ok, err := tx.LoggedKey(t.Context(), r.ID, []byte(public))
					if string(found(t, got, ok, err)) != string(want) {
						t.Errorf("signing key %x, want %x", got, want)
					}
				}
				got, ok, err := tx.LoggedKey(t.Context(), r.ID, []byte("unknown"))
				missing(t, got, ok, err)
				got, ok, err = tx.LoggedKey(t.Context(), id.Runner(id.New()), full.PublicKey)
				missing(t, got, ok, err)
				return nil
			})
		},
		"New keys and uses of a key are counted": func(t *testing.T, w *world) {
			r := w.runner(1)
			w.addRunners(t, r)
			w.appendKeys(t, keyEvent(r, fleet.KeyFirst, 1), keyEvent(r, fleet.KeyPresented, 2), keyEvent(r, fleet.KeyWithdrawn, 2),
				keyEvent(r, fleet.KeyEndorsed, 3), keyEvent(r, fleet.KeyPresented, 4), keyEvent(r, fleet.KeyApproved, 2))
			w.writeFleet(t, func(tx fleet.Tx) error {
				for limit, want := range map[int][]time.Time{5: {at(4), at(2)}, 1: {at(4)}} {
					times, err := tx.KeyTimes(t.Context(), r.ID, fleet.KeyPresented, limit)
					must(t, err)
					if diff := cmp.Diff(want, times); diff != "" {
						t.Error(diff)
					}
				}
				for n, want := range map[int]int64{1: 1, 2: 1, 3: 1, 4: 0} {
					if uses, err := tx.CountKeyUses(t.Context(), r.ID, keyEvent(r, 1, n).PublicKey); err != nil || uses != want {
						t.Errorf("key %d was in use %d times, %v; want %d", n, uses, err, want)
					}
				}
				return nil
			})
		},
		"The tokens of a runner are its own, and those that were not redeemed": func(t *testing.T, w *world) {
			r, other := w.runner(1), w.runner(2)
			w.addRunners(t, r, other)
			own, exchange, used, foreign := w.token(token.Runner, runnerSubject(r), 1), w.token(token.Exchange, runnerSubject(r), 2), w.token(token.Exchange, runnerSubject(r), 3), w.token(token.Runner, runnerSubject(other), 4)
			used.UsedAt = at(5)
			w.addTokens(t, own, exchange, used, foreign)
			got, err := w.store.Fleet().TokensOf(t.Context(), r.ID)
			must(t, err)
			if diff := cmp.Diff([]token.Record{exchange, own}, got); diff != "" {
				t.Error(diff)
			}
			w.writeFleet(t, func(tx fleet.Tx) error {
				got, ok, err := tx.TokenOf(t.Context(), r.ID, own.ID)
				if diff := cmp.Diff(own, found(t, got, ok, err)); diff != "" {
					t.Error(diff)
				}
				for _, not := range []token.Record{used, foreign} {
					got, ok, err := tx.TokenOf(t.Context(), r.ID, not.ID)
					missing(t, got, ok, err)
				}
				for _, end := range []struct {
					at, want int
					done     bool
				}{{9, 9, true}, {7, 7, true}, {7, 7, true}, {8, 7, false}} {
					if ok, err := tx.ExpireToken(t.Context(), own.ID, at(end.at)); err != nil || ok != end.done {
						t.Errorf("ended at %d: %v, %v", end.at, ok, err)
					}
					if got, _, _ := tx.TokenOf(t.Context(), r.ID, own.ID); !got.ExpiresAt.Equal(at(end.want)) {
						t.Errorf("ended at %d: stored %v", end.at, got.ExpiresAt)
					}
				}
				if ok, err := tx.ExpireToken(t.Context(), id.Token(id.New()), at(9)); err != nil || ok {
					t.Errorf("a token that is gone: %v, %v", ok, err)
				}
				_, err = tx.DeleteToken(t.Context(), own.ID)
				return err
			})
			w.wantTokens(t, map[*token.Record]bool{&own: false, &exchange: true})
		},
		"A rotated token ends the older access tokens, and no other does": func(t *testing.T, w *world) {
			r, other := w.runner(1), w.runner(2)
			w.addRunners(t, r, other)
			older, rotated, newer := w.token(token.Runner, runnerSubject(r), 1), w.token(token.Runner, runnerSubject(r), 2), w.token(token.Runner, runnerSubject(r), 3)
			exchange, foreign := w.token(token.Exchange, runnerSubject(r), 0), w.token(token.Runner, runnerSubject(other), 0)
			rotated.Description = "Rotation"
			w.addTokens(t, older, rotated, newer, exchange, foreign)
			w.writeFleet(t, func(tx fleet.Tx) error {
				for name, with := range map[string]struct {
					runner fleet.Runner
					token  id.Token
				}{"not of a rotation": {r, newer.ID}, "of another runner": {other, rotated.ID}, "unknown": {r, ""}} {
					if ended, err := tx.DeleteRotated(t.Context(), with.runner.ID, with.token, "Rotation", 10); err != nil || len(ended) != 0 {
						t.Errorf("%s: %v, %v", name, ended, err)
					}
				}
				ended, err := tx.DeleteRotated(t.Context(), r.ID, rotated.ID, "Rotation", 10)
				must(t, err)
				if diff := cmp.Diff([]token.Record{older}, ended); diff != "" {
					t.Error(diff)
				}
				return nil
			})
			w.wantTokens(t, map[*token.Record]bool{&older: false, &rotated: true, &newer: true, &exchange: true, &foreign: true})
		},
	}
}

// keyEvent is what became of key n.
func keyEvent(r fleet.Runner, op fleet.KeyOperation, n int) fleet.KeyEvent {
	return fleet.KeyEvent{
		Runner: r.ID, Operation: op, PublicKey: []byte{1, 0, byte(n)}, SigningKey: []byte{2, 0, byte(n)}, Actor: runnerSubject(r), CreatedAt: at(n),
	}
}

func (w *world) appendKeys(t *testing.T, events ...fleet.KeyEvent) {
	t.Helper()
	w.writeFleet(t, func(tx fleet.Tx) error {
		for _, e := range events {
			if err := tx.AppendKey(t.Context(), e); err != nil {
				return err
			}
		}
		return nil
	})
}
