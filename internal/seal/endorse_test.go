package seal_test

import (
	"crypto/ed25519"
	"testing"

	"github.com/musterhq/muster/internal/seal"
)

func signingKey(t *testing.T, private []byte) ed25519.PrivateKey {
	t.Helper()
	k, err := seal.SigningKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestTheSigningKeyFollowsFromThePrivateKey(t *testing.T) {
	_, one, err := seal.NewKeyPair()
	if err != nil {
		t.Fatal(err)
	}
	_, two, err := seal.NewKeyPair()
	if err != nil {
		t.Fatal(err)
	}
	if !signingKey(t, one[:]).Equal(signingKey(t, one[:])) || signingKey(t, one[:]).Equal(signingKey(t, two[:])) {
		t.Error("a signing key is not that of its private key")
	}
	if _, err := seal.SigningKey(one[:31]); err == nil {
		t.Error("a short private key has a signing key")
	}
}

func TestEndorsements(t *testing.T) {
	inUse := signingKey(t, make([]byte, 32))
	other := signingKey(t, append(make([]byte, 31), 1))
	public, signing := make([]byte, 32), other.Public().(ed25519.PublicKey)
	const runner = "0192aaaa-0000-7000-8000-00000000000a"
	signature := seal.Endorse(inUse, runner, public, signing)
	verify := inUse.Public().(ed25519.PublicKey)
	if !seal.Endorsed(verify, runner, public, signing, signature) {
		t.Fatal("a good endorsement is refused")
	}
	for name, bad := range map[string]bool{
		"another signer":  seal.Endorsed(other.Public().(ed25519.PublicKey), runner, public, signing, signature),
		"another runner":  seal.Endorsed(verify, "r", public, signing, signature),
		"another key":     seal.Endorsed(verify, runner, append(make([]byte, 31), 1), signing, signature),
		"another signing": seal.Endorsed(verify, runner, public, verify, signature),
		"no signer":       seal.Endorsed(nil, runner, public, signing, signature),
		"a short key":     seal.Endorsed(verify, runner, public[:31], signing, signature),
		"no signing key":  seal.Endorsed(verify, runner, public, nil, signature),
		"no signature":    seal.Endorsed(verify, runner, public, signing, nil),
		"a cut signature": seal.Endorsed(verify, runner, public, signing, signature[:63]),
	} {
		if bad {
			t.Errorf("%s: the endorsement is accepted", name)
		}
	}
}
