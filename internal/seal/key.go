package seal

import (
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"
)

// Key is the control plane's secret key. All replicas of one control plane
// share it.
type Key struct {
	id   [keyIDSize]byte
	aead cipher.AEAD
}

const keyFileHeader = "muster-secret-key-1:"

// LoadKey reads the secret-key file, or makes it with mode 0600 when there is
// none. A file that others can read is refused.
func LoadKey(path string) (*Key, error) {
	raw, err := os.ReadFile(path) //nolint:gosec // the operator names the file
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeKeyFile(path); err != nil {
			return nil, err
		}
		// Read what is there now: another replica may have been faster.
		raw, err = os.ReadFile(path) //nolint:gosec // the operator names the file
	}
	if err != nil {
		return nil, fmt.Errorf("the secret-key file cannot be read: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("the secret-key file cannot be read: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("the secret-key file %s can be read by others (mode %04o); run: chmod 600 %s", path, info.Mode().Perm(), path)
	}
	secret, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(strings.TrimSpace(string(raw)), keyFileHeader))
	if err != nil || len(secret) != chacha20poly1305.KeySize {
		return nil, fmt.Errorf("the secret-key file %s is damaged: it must hold %q and %d bytes in base64; restore it from a backup, since what is encrypted under it cannot be read with another key", path, keyFileHeader, chacha20poly1305.KeySize)
	}
	return newKey(secret)
}

func newKey(secret []byte) (*Key, error) {
	aead, err := chacha20poly1305.NewX(secret)
	if err != nil {
		return nil, err
	}
	k := &Key{aead: aead}
	sum := sha256.Sum256(append([]byte("muster secret key id"), secret...))
	copy(k.id[:], sum[:])
	return k, nil
}

// makeKeyFile writes a fresh key. The link of a finished temporary file makes
// that atomic: nobody ever reads half a key, and of two processes one wins.
func makeKeyFile(path string) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("the folder of the secret-key file cannot be made: %w", err)
	}
	f, err := os.CreateTemp(dir, ".secret-key-*") // mode 0600
	if err != nil {
		return fmt.Errorf("the secret-key file cannot be made: %w", err)
	}
	defer func() { _ = os.Remove(f.Name()) }()
	var secret [chacha20poly1305.KeySize]byte
	_, _ = rand.Read(secret[:]) // never fails
	_, err = f.WriteString(keyFileHeader + base64.StdEncoding.EncodeToString(secret[:]) + "\n")
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return fmt.Errorf("the secret-key file cannot be written: %w", err)
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("the secret-key file cannot be made: %w", err)
	}
	d, err := os.Open(dir) //nolint:gosec // the operator names the folder
	if err != nil {
		return fmt.Errorf("the folder of the secret-key file cannot be opened: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}

// Wrap encrypts plaintext under the key; the purpose must be given again to
// open it.
func (k *Key) Wrap(purpose string, plaintext []byte) Secret {
	out := make([]byte, 0, 1+keyIDSize+chacha20poly1305.NonceSizeX+len(plaintext)+chacha20poly1305.Overhead)
	out = append(out, formWrapped)
	out = append(out, k.id[:]...)
	var nonce [chacha20poly1305.NonceSizeX]byte
	_, _ = rand.Read(nonce[:]) // never fails
	out = append(out, nonce[:]...)
	return k.aead.Seal(out, nonce[:], plaintext, []byte(purpose))
}

// Unwrap opens what Wrap made.
func (k *Key) Unwrap(s Secret, purpose string) ([]byte, error) {
	const head = 1 + keyIDSize + chacha20poly1305.NonceSizeX
	if len(s) < head || s[0] != formWrapped {
		return nil, ErrOpen
	}
	if string(s[1:1+keyIDSize]) != string(k.id[:]) {
		return nil, fmt.Errorf("%w: it is wrapped under another secret-key file", ErrOpen)
	}
	plain, err := k.aead.Open(nil, s[1+keyIDSize:head], s[head:], []byte(purpose))
	if err != nil {
		return nil, ErrOpen
	}
	return plain, nil
}
