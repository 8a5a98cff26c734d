package chain

import (
	"crypto/ed25519"
	"fmt"
)

// Checkpoint is a signed state of the chain: whoever has one can tell whether
// the entries up to it were changed since.
type Checkpoint struct {
	// Sequence is that of the entry that the checkpoint is about, and Hash that
	// entry's.
	Sequence int64 `json:"sequence"`
	Hash     Hash  `json:"hash"`
	// Floor says that the control plane removed this entry and all before it by
	// age: a log may begin behind such a checkpoint, and behind no other.
	Floor bool `json:"floor"`
	// SignedAt is in microseconds since 1970.
	SignedAt int64 `json:"signed_at_micros"`
	// KeyID names the key that signed.
	KeyID string `json:"key_id"`
	// Signature is an Ed25519 signature of Message, 64 bytes.
	Signature Hex `json:"signature"`
}

// Key verifies checkpoints.
type Key struct {
	ID string `json:"id"`
	// PublicKey is an Ed25519 public key, 32 bytes.
	PublicKey Hex `json:"public_key"`
}

// Message is what is signed.
func (c *Checkpoint) Message(organization string) []byte {
	var floor int64
	if c.Floor {
		floor = 1
	}
	return message(nil).text(checkpointDomain).text(organization).number(c.Sequence).bytes(c.Hash[:]).number(floor).number(c.SignedAt)
}

// Verify tells whether the checkpoint was signed with a key.
func (c *Checkpoint) Verify(organization string, k Key) bool {
	return len(k.PublicKey) == ed25519.PublicKeySize && ed25519.Verify(ed25519.PublicKey(k.PublicKey), c.Message(organization), c.Signature)
}

// keyring finds keys by their ids.
type keyring map[string]Key

func (r keyring) add(k Key) error {
	if len(k.PublicKey) != ed25519.PublicKeySize {
		return fmt.Errorf("the key %q has %d bytes instead of %d", k.ID, len(k.PublicKey), ed25519.PublicKeySize)
	}
	if had, ok := r[k.ID]; ok && string(had.PublicKey) != string(k.PublicKey) {
		return fmt.Errorf("there are two different keys under the id %q", k.ID)
	}
	r[k.ID] = k
	return nil
}
