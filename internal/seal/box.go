package seal

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"golang.org/x/crypto/nacl/box"
)

// KeySize is the length of public and private X25519 keys, in bytes.
const KeySize = 32

// The first byte of a Secret tells its form.
const (
	formSealed  = 1 // form | SHA-256(public key)[:8] | anonymous box
	formWrapped = 2 // form | key id[:8] | nonce | ciphertext
)

const keyIDSize = 8

// ErrOpen is returned when a secret cannot be opened: it was made for another
// key or another purpose, or was changed.
var ErrOpen = errors.New("seal: the secret was not made for this key and this purpose, or was changed")

// NewKeyPair makes an X25519 key pair.
func NewKeyPair() (public, private *[KeySize]byte, err error) {
	return box.GenerateKey(rand.Reader)
}

// To seals plaintext to a public key. The purpose names what the secret is for,
// such as "runner/<id>/metrics.password"; it is not secret and must be given
// again to open it.
func To(publicKey []byte, purpose string, plaintext []byte) (Secret, error) {
	if len(publicKey) != KeySize {
		return nil, fmt.Errorf("seal: a public key has %d bytes, this one %d", KeySize, len(publicKey))
	}
	sum := sha256.Sum256(publicKey)
	out := append([]byte{formSealed}, sum[:keyIDSize]...)
	return box.SealAnonymous(out, bind(purpose, plaintext), (*[KeySize]byte)(publicKey), rand.Reader)
}

// Open opens what To made.
func Open(s Secret, publicKey, privateKey *[KeySize]byte, purpose string) ([]byte, error) {
	if len(s) < 1+keyIDSize || s[0] != formSealed {
		return nil, ErrOpen
	}
	bound, ok := box.OpenAnonymous(nil, s[1+keyIDSize:], publicKey, privateKey)
	if !ok {
		return nil, ErrOpen
	}
	return unbind(purpose, bound)
}

// SealedTo tells whether s is sealed to that public key.
func (s Secret) SealedTo(publicKey []byte) bool {
	sum := sha256.Sum256(publicKey)
	return len(s) > 1+keyIDSize && s[0] == formSealed && string(s[1:1+keyIDSize]) == string(sum[:keyIDSize])
}

// Wrapped tells whether s waits under the control plane's secret key.
func (s Secret) Wrapped() bool { return len(s) > 0 && s[0] == formWrapped }

// Fingerprint is the short name of a public key that people compare: the first
// 16 bytes of its SHA-256 in hexadecimal.
func Fingerprint(publicKey []byte) string {
	sum := sha256.Sum256(publicKey)
	return hex.EncodeToString(sum[:16])
}

// An anonymous box authenticates no additional data, so the purpose travels
// inside, as its hash.
func bind(purpose string, plaintext []byte) []byte {
	sum := sha256.Sum256([]byte(purpose))
	return append(sum[:], plaintext...)
}

func unbind(purpose string, bound []byte) ([]byte, error) {
	sum := sha256.Sum256([]byte(purpose))
	if len(bound) < len(sum) || string(bound[:len(sum)]) != string(sum[:]) {
		return nil, ErrOpen
	}
	return bound[len(sum):], nil
}
