package link

import (
	"crypto/ed25519"

	"github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/seal"
)

// prove asks a runner that shows a signing key to prove that it holds the
// private key of its public key, and returns the signing key. A public key is no
// secret: without proof, the thief of a token could show that of the runner next
// to a signing key of its own. An older runner shows none, and proves nothing.
func (c *conn) prove(hello *linkv1.Hello) (signingKey []byte, err error) {
	public, signing := hello.GetPublicKey(), hello.GetSigningKey()
	switch {
	case len(signing) == 0:
		return nil, nil
	case len(public) != seal.KeySize:
		return nil, fault.New(fault.FailedPrecondition, fault.MalformedFrame, "Hello.public_key must have %d bytes, has %d.", seal.KeySize, len(public))
	case len(signing) != ed25519.PublicKeySize:
		return nil, fault.New(fault.FailedPrecondition, fault.MalformedFrame, "Hello.signing_key must have %d bytes, has %d.", ed25519.PublicKeySize, len(signing))
	}
	nonce, sealed, err := seal.Challenge(public)
	if err != nil {
		return nil, fault.New(fault.FailedPrecondition, fault.MalformedFrame, "Nothing can be sealed to Hello.public_key.").WithCause(err)
	}
	if err := c.send(&planeFrame{Frame: &linkv1.PlaneFrame_KeyChallenge{KeyChallenge: &linkv1.KeyChallenge{SealedNonce: sealed}}}); err != nil {
		return nil, err
	}
	answer, err := c.stream.Receive()
	if err != nil {
		return nil, err
	}
	if !seal.Proven(nonce, public, signing, answer.GetKeyProof().GetProof()) {
		return nil, fault.New(fault.FailedPrecondition, fault.KeyMismatch, "The runner did not prove that it holds the private key of Hello.public_key.")
	}
	return signing, nil
}
