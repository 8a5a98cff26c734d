package fleet_test

import (
	"crypto/ed25519"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/seal"
)

// pair is the keys of a runner.
type pair struct {
	public  []byte
	secret  *[32]byte
	private ed25519.PrivateKey
}

func newPair(t *testing.T) pair {
	t.Helper()
	public, private := newKey(t)
	signing, err := seal.SigningKey(private[:])
	if err != nil {
		t.Fatal(err)
	}
	return pair{public, private, signing}
}

func (p pair) signing() []byte { return p.private.Public().(ed25519.PublicKey) }

// opening is a Hello with these keys, of a runner that has proven that it holds
// them. An older runner, and whoever only knows the public key, proves nothing.
func (p pair) opening() fleet.Opening {
	o := opening(bootOne, p.public)
	o.SigningKey = p.signing()
	return o
}

func (p pair) old() fleet.Opening { return opening(bootOne, p.public) }

// endorsed is a Hello with these keys, signed by others.
func (p pair) endorsed(r fleet.Runner, by pair) fleet.Opening {
	o := p.opening()
	o.Endorsement = seal.Endorse(by.private, string(r.ID), o.PublicKey, o.SigningKey)
	return o
}

// wantLog compares the key log with "operation:key" of each line.
func (f *fixture) wantLog(r fleet.Runner, keys map[string]pair, want string) {
	f.t.Helper()
	_, log, err := f.Keys(f.t.Context(), f.admin, r.ID)
	if err != nil {
		f.t.Fatal(err)
	}
	var got []string
	for _, e := range log {
		name := "?"
		for n, k := range keys {
			if string(k.public) == string(e.PublicKey) {
				name = n
			}
		}
		if e.CreatedAt.IsZero() || (e.Operation == fleet.KeyApproved) != (e.Actor == f.admin.Subject) {
			f.t.Errorf("line %+v", e)
		}
		got = append(got, fmt.Sprintf("%d:%s", e.Operation, name))
	}
	if s := strings.Join(got, " "); s != want {
		f.t.Errorf("log %s, want %s", s, want)
	}
}

func (f *fixture) inUse(r fleet.Runner, use, pending pair) {
	f.t.Helper()
	got := f.get(r.ID)
	if string(got.PublicKey) != string(use.public) || string(got.PendingKey) != string(pending.public) {
		f.t.Errorf("in use is %x, pending %x; want %x and %x", got.PublicKey, got.PendingKey, use.public, pending.public)
	}
}

func TestAnEndorsedKeyIsTakenAtOnce(t *testing.T) {
	f := setup(t)
	r, _ := f.create(nil)
	a, b, c, none := newPair(t), newPair(t), newPair(t), pair{}
	f.open(r, a.opening())
	f.takeEvents()
	f.open(r, b.endorsed(r, a))
	f.expect("an endorsed key", r, fleet.PhaseActive, "", event.StatusUpdated)
	f.inUse(r, b, none)

	// The Welcome was lost: the runner comes again with the same.
	f.open(r, b.endorsed(r, a))
	f.expect("the same again", r, fleet.PhaseActive, "")

	// An endorsement also ends the wait of another key.
	f.open(r, a.opening())
	f.inUse(r, b, a)
	f.open(r, c.endorsed(r, b))
	f.inUse(r, c, none)
	f.wantLog(r, map[string]pair{"a": a, "b": b, "c": c}, "1:a 2:b 3:a 2:c")
}

func TestAnEndorsementIsGoodForOneRunnerAndOneNewKey(t *testing.T) {
	f := setup(t)
	r, _ := f.create(nil)
	a, b, thief, none := newPair(t), newPair(t), newPair(t), pair{}
	f.open(r, a.opening())
	back := b.endorsed(r, a)
	other, _ := f.create(nil)
	for name, o := range map[string]fleet.Opening{
		"signed by itself":          thief.endorsed(r, thief),
		"signed for another runner": b.endorsed(other, a),
	} {
		f.open(r, o)
		if got := f.get(r.ID); string(got.PublicKey) != string(a.public) || len(got.PendingKey) == 0 {
			t.Errorf("%s: the key was taken", name)
		}
		f.open(r, a.opening())
		f.inUse(r, a, none)
	}

	// An old endorsement does not bring back a key that was given up.
	f.open(r, back)
	f.inUse(r, b, none)
	f.open(r, a.opening())
	if err := f.ApproveKey(t.Context(), f.admin, r.ID, seal.Fingerprint(a.public)); err != nil {
		t.Fatal(err)
	}
	f.open(r, back)
	f.inUse(r, a, b)
}

func TestKeysOfRunnersWithoutSigningKeys(t *testing.T) {
	f := setup(t)
	r, _ := f.create(nil)
	a, b, c, none := newPair(t), newPair(t), newPair(t), pair{}
	f.open(r, a.old())
	f.open(r, a.opening())
	f.open(r, b.endorsed(r, a)) // a was logged without a signing key, and stays so
	f.inUse(r, a, b)
	f.open(r, a.opening())
	f.inUse(r, a, none)
	f.open(r, b.opening())
	if err := f.ApproveKey(t.Context(), f.admin, r.ID, seal.Fingerprint(b.public)); err != nil {
		t.Fatal(err)
	}
	f.open(r, c.endorsed(r, b)) // b came with proof
	f.inUse(r, c, none)
	f.wantLog(r, map[string]pair{"a": a, "b": b, "c": c}, "1:a 3:b 5:b 3:b 4:b 2:c")
}

// The public key of a runner is no secret. Its signing key is logged with a
// proof, or never.
func TestASigningKeyWithoutProofEndorsesNothing(t *testing.T) {
	f := setup(t)
	r, _ := f.create(nil)
	a, b, thief, none := newPair(t), newPair(t), newPair(t), pair{}
	// A key from before there was a log.
	err := f.store.Fleet().Write(t.Context(), func(tx fleet.Tx) error {
		old, _, err := tx.Runner(t.Context(), r.ID)
		if err != nil {
			return err
		}
		old.PublicKey = a.public
		_, err = tx.UpdateRunner(t.Context(), old)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	f.open(r, a.old())
	f.wantLog(r, nil, "")
	f.open(r, thief.endorsed(r, thief))
	f.inUse(r, a, thief)
	// The runner comes back, with proof, and is locked out by nothing.
	f.open(r, a.opening())
	f.open(r, b.endorsed(r, a))
	f.inUse(r, b, none)

	// What an older runner presents, and a person approves, has no signing key.
	c := newPair(t)
	f.open(r, c.old())
	if err := f.ApproveKey(t.Context(), f.admin, r.ID, seal.Fingerprint(c.public)); err != nil {
		t.Fatal(err)
	}
	f.open(r, thief.endorsed(r, c))
	f.inUse(r, c, thief)
	f.wantLog(r, map[string]pair{"a": a, "b": b, "c": c, "t": thief}, "3:t 5:t 1:a 2:b 3:c 4:c 3:t")
}

func TestAKeyThatWaitsIsTakenBackWithProofOnly(t *testing.T) {
	f := setup(t)
	r, _ := f.create(nil)
	a, b, none := newPair(t), newPair(t), pair{}
	f.open(r, a.opening())
	f.open(r, b.opening())
	for range 30 {
		f.open(r, a.old()) // somebody who knows the public key
		f.open(r, b.old())
	}
	f.inUse(r, a, b)
	f.wantLog(r, map[string]pair{"a": a, "b": b}, "1:a 3:b")
	f.open(r, a.opening())
	f.inUse(r, a, none)
	f.wantLog(r, map[string]pair{"a": a, "b": b}, "1:a 3:b 5:b")
}

// A runner that derives its signing key in another way some day is not locked
// out: its next key waits for approval.
func TestAnotherSigningKeyLocksNobodyOut(t *testing.T) {
	f := setup(t)
	r, _ := f.create(nil)
	a := newPair(t)
	f.open(r, a.opening())
	another := a.opening()
	another.SigningKey = newPair(t).signing()
	f.open(r, another)
	f.open(r, a.opening())
	f.inUse(r, a, pair{})
}

func TestWithdrawnAndApprovedKeysAreLogged(t *testing.T) {
	f := setup(t)
	r, _ := f.create(nil)
	a, b, c := newPair(t), newPair(t), newPair(t)
	f.open(r, a.opening())
	f.open(r, b.opening())
	f.open(r, b.opening())
	f.open(r, a.opening())
	f.open(r, b.opening())
	if err := f.ApproveKey(t.Context(), f.admin, r.ID, seal.Fingerprint(b.public)); err != nil {
		t.Fatal(err)
	}
	// The approved key can endorse.
	f.open(r, c.endorsed(r, b))
	f.wantLog(r, map[string]pair{"a": a, "b": b, "c": c}, "1:a 3:b 5:b 3:b 4:b 2:c")
	if _, _, err := f.Keys(t.Context(), f.member, r.ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("somebody who does not see the runner: %v", err)
	}
}

func TestNewKeysAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setup(t)
		r, _ := f.create(nil)
		a := newPair(t)
		f.open(r, a.opening())
		for range 20 {
			f.open(r, newPair(t).opening())
		}
		if _, err := f.OpenSession(t.Context(), asRunner(r), newPair(t).opening()); !fault.Is(err, fault.FailedPrecondition) || !strings.Contains(err.Error(), "20 other keys") {
			t.Errorf("the 21st key: %v", err)
		}
		f.open(r, a.opening()) // the one in use always works
		// Who can only present keys stops nobody who can sign. Those count apart.
		for range 20 {
			next := newPair(t)
			f.open(r, next.endorsed(r, a))
			a = next
		}
		f.inUse(r, a, pair{})
		if _, err := f.OpenSession(t.Context(), asRunner(r), newPair(t).endorsed(r, a)); !fault.Is(err, fault.FailedPrecondition) {
			t.Errorf("the 21st endorsed key: %v", err)
		}
		f.open(r, a.opening())
		time.Sleep(time.Hour + time.Second)
		f.open(r, newPair(t).endorsed(r, a))
	})
}

func TestBadKeysAreRefused(t *testing.T) {
	f := setup(t)
	r, _ := f.create(nil)
	o := newPair(t).opening()
	o.SigningKey = o.SigningKey[:31]
	if _, err := f.OpenSession(t.Context(), asRunner(r), o); !fault.HasReason(err, fault.MalformedFrame) {
		t.Errorf("a short signing key: %v", err)
	}
}
