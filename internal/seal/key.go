package seal

import (
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/crypto/chacha20poly1305"
)

// Key is the control plane's secret key, as the secret-key file has it: one key
// that wraps, and, while the file is rotated, older ones that only open. All
// replicas of one control plane share it. It may be used by many at once, also
// during a rotation.
type Key struct {
	file string
	// keys starts with the one in use. A key that has left the file stays here,
	// for those who read a secret just before it was wrapped anew.
	keys atomic.Pointer[[]fileKey]
	// storing is held, shared, from the wrapping of a secret until it is stored.
	storing sync.RWMutex

	mu     sync.Mutex
	inFile int // how many of the keys the file has: always the first ones
}

// fileKey is one line of the secret-key file.
type fileKey struct {
	secret []byte
	id     [keyIDSize]byte
	aead   cipher.AEAD
}

func newFileKey(secret []byte) (fileKey, error) {
	aead, err := chacha20poly1305.NewX(secret)
	if err != nil {
		return fileKey{}, err
	}
	k := fileKey{secret: secret, aead: aead}
	sum := sha256.Sum256(append([]byte("muster secret key id"), secret...))
	copy(k.id[:], sum[:])
	return k, nil
}

// Hold is called before Wrap by whoever stores what Wrap returns; release is
// called once that is stored, or will not be. A rotation waits in between, so
// that nothing is stored under a key that has left the file.
func (k *Key) Hold() (release func()) {
	k.storing.RLock()
	return k.storing.RUnlock
}

// Wrap encrypts plaintext under the key in use; the purpose must be given again
// to open it.
func (k *Key) Wrap(purpose string, plaintext []byte) Secret {
	used := &(*k.keys.Load())[0]
	out := make([]byte, 0, 1+keyIDSize+chacha20poly1305.NonceSizeX+len(plaintext)+chacha20poly1305.Overhead)
	out = append(out, formWrapped)
	out = append(out, used.id[:]...)
	var nonce [chacha20poly1305.NonceSizeX]byte
	_, _ = rand.Read(nonce[:]) // never fails
	out = append(out, nonce[:]...)
	return used.aead.Seal(out, nonce[:], plaintext, []byte(purpose))
}

// Unwrap opens what Wrap made, also under an older key of the file.
func (k *Key) Unwrap(s Secret, purpose string) ([]byte, error) {
	const head = 1 + keyIDSize + chacha20poly1305.NonceSizeX
	if len(s) < head || s[0] != formWrapped {
		return nil, ErrOpen
	}
	keys := *k.keys.Load()
	i := slices.IndexFunc(keys, func(one fileKey) bool { return s.wrappedUnder(one) })
	if i < 0 {
		return nil, fmt.Errorf("%w: it is wrapped under another secret-key file", ErrOpen)
	}
	plain, err := keys[i].aead.Open(nil, s[1+keyIDSize:head], s[head:], []byte(purpose))
	if err != nil {
		return nil, ErrOpen
	}
	return plain, nil
}

// Rewrap returns a wrapped secret under the key in use: s itself when it is
// under it already.
func (k *Key) Rewrap(s Secret, purpose string) (Secret, error) {
	if s.wrappedUnder((*k.keys.Load())[0]) {
		return s, nil
	}
	plain, err := k.Unwrap(s, purpose)
	if err != nil {
		return nil, err
	}
	return k.Wrap(purpose, plain), nil
}

func (s Secret) wrappedUnder(k fileKey) bool {
	return len(s) > 1+keyIDSize && s[0] == formWrapped && string(s[1:1+keyIDSize]) == string(k.id[:])
}
