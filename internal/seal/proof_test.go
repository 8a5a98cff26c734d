package seal_test

import (
	"errors"
	"testing"

	"github.com/musterhq/muster/internal/seal"
)

func TestAProofIsOfOnePairAndOneNonce(t *testing.T) {
	public, private, err := seal.NewKeyPair()
	if err != nil {
		t.Fatal(err)
	}
	strange, foreign, err := seal.NewKeyPair()
	if err != nil {
		t.Fatal(err)
	}
	nonce, sealed, err := seal.Challenge(public[:])
	if err != nil {
		t.Fatal(err)
	}
	opened, err := seal.OpenChallenge(sealed, public, private)
	if err != nil {
		t.Fatal(err)
	}
	signing, other := make([]byte, 32), append(make([]byte, 31), 1)
	proof := seal.Prove(opened, public[:], signing)
	if !seal.Proven(nonce, public[:], signing, proof) {
		t.Fatal("a good proof is refused")
	}
	again, _, err := seal.Challenge(public[:])
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]bool{
		"another nonce":       seal.Proven(again, public[:], signing, proof),
		"another public key":  seal.Proven(nonce, strange[:], signing, proof),
		"another signing key": seal.Proven(nonce, public[:], other, proof),
		"no proof":            seal.Proven(nonce, public[:], signing, nil),
		"a cut proof":         seal.Proven(nonce, public[:], signing, proof[:31]),
	} {
		if bad {
			t.Errorf("%s: the proof is accepted", name)
		}
	}
	if _, err := seal.OpenChallenge(sealed, strange, foreign); !errors.Is(err, seal.ErrOpen) {
		t.Errorf("another key opens the challenge: %v", err)
	}
	secret, err := seal.To(public[:], "another purpose", nonce)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := seal.OpenChallenge(secret, public, private); !errors.Is(err, seal.ErrOpen) {
		t.Errorf("a secret is taken for a challenge: %v", err)
	}
	// Keys without a private half are no reason to panic.
	for _, weak := range [][]byte{make([]byte, 32), other} {
		if _, _, err := seal.Challenge(weak); err != nil {
			t.Logf("%x: %v", weak, err)
		}
	}
	if _, _, err := seal.Challenge(public[:31]); err == nil {
		t.Error("a short key is challenged")
	}
}
