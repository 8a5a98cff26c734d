package link_test

import (
	"testing"

	"connectrpc.com/connect"

	"github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/seal"
)

func (f *fakeFleet) lastOpening() (o fleet.Opening, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n = len(f.openings); n > 0 {
		o = f.openings[n-1]
	}
	return o, n
}

// A public key is no secret: a signing key comes with a proof, or the link does
// not open.
func TestASigningKeyTakesProof(t *testing.T) {
	public, private, err := seal.NewKeyPair()
	if err != nil {
		t.Fatal(err)
	}
	strange, foreign, err := seal.NewKeyPair()
	if err != nil {
		t.Fatal(err)
	}
	signing, other := make([]byte, 32), append(make([]byte, 31), 1)
	// answer opens a challenge with a pair and proves it for keys.
	answer := func(c *linkv1.KeyChallenge, public, private *[32]byte, forPublic, forSigning []byte) *linkv1.RunnerFrame {
		nonce, err := seal.OpenChallenge(c.GetSealedNonce(), public, private)
		if err != nil {
			nonce = make([]byte, 32)
		}
		return &linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_KeyProof{KeyProof: &linkv1.KeyProof{Proof: seal.Prove(nonce, forPublic, forSigning)}}}
	}
	for name, c := range map[string]struct {
		answer func(*linkv1.KeyChallenge) *linkv1.RunnerFrame
		good   bool
	}{
		"proof": {func(c *linkv1.KeyChallenge) *linkv1.RunnerFrame {
			return answer(c, public, private, public[:], signing)
		}, true},
		"another private key": {func(c *linkv1.KeyChallenge) *linkv1.RunnerFrame {
			return answer(c, strange, foreign, public[:], signing)
		}, false},
		"for another public key": {func(c *linkv1.KeyChallenge) *linkv1.RunnerFrame {
			return answer(c, public, private, strange[:], signing)
		}, false},
		"for another signing": {func(c *linkv1.KeyChallenge) *linkv1.RunnerFrame { return answer(c, public, private, public[:], other) }, false},
		"an empty proof": {func(*linkv1.KeyChallenge) *linkv1.RunnerFrame {
			return &linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_KeyProof{}}
		}, false},
		"something else": {func(*linkv1.KeyChallenge) *linkv1.RunnerFrame {
			return &linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_Renewal{Renewal: &linkv1.Renewal{Sequence: 1}}}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			test(t, func(t *testing.T, p *plane) {
				h := hello(bootOne)
				h.PublicKey, h.SigningKey = public[:], signing
				r := p.dial(t, runnerA)
				r.send(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_Hello{Hello: h}})
				challenge := r.receive().GetKeyChallenge()
				if challenge == nil {
					t.Fatal("no challenge came")
				}
				if _, n := p.fleet.lastOpening(); n != 0 {
					t.Fatal("the session was opened before there was a proof")
				}
				r.send(c.answer(challenge))
				if !c.good {
					if code, text := r.refused(); code != connect.CodeFailedPrecondition {
						t.Errorf("refused with %v %s", code, text)
					}
					if _, n := p.fleet.lastOpening(); n != 0 {
						t.Error("the session was opened")
					}
					return
				}
				if r.receive().GetWelcome() == nil {
					t.Fatal("no Welcome came")
				}
				if o, _ := p.fleet.lastOpening(); string(o.SigningKey) != string(signing) || string(o.PublicKey) != string(public[:]) {
					t.Errorf("opened with %+v", o)
				}
			})
		})
	}
}

func TestARunnerWithoutASigningKeyProvesNothing(t *testing.T) {
	test(t, func(t *testing.T, p *plane) {
		p.join(t, runnerA, hello(bootOne))
		if o, n := p.fleet.lastOpening(); n != 1 || len(o.SigningKey) != 0 {
			t.Errorf("opened with %+v", o)
		}
	})
}

func TestAProofIsWaitedForAsLongAsAHello(t *testing.T) {
	test(t, func(t *testing.T, p *plane) {
		h := hello(bootOne)
		h.SigningKey = make([]byte, 32)
		r := p.dial(t, runnerA)
		r.send(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_Hello{Hello: h}})
		r.receive()
		if code, _ := r.refused(); code != connect.CodeDeadlineExceeded {
			t.Errorf("refused with %v", code)
		}
	})
}
