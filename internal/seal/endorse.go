package seal

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
)

// SigningKey is the Ed25519 key that goes with an X25519 private key: whoever
// has the one has the other. A runner signs its next public key with it.
func SigningKey(privateKey []byte) (ed25519.PrivateKey, error) {
	if len(privateKey) != KeySize {
		return nil, fmt.Errorf("seal: a private key has %d bytes, this one %d", KeySize, len(privateKey))
	}
	seed, err := hkdf.Key(sha256.New, privateKey, nil, "muster runner signing key 1", ed25519.SeedSize)
	if err != nil {
		return nil, fmt.Errorf("seal: deriving the signing key: %w", err)
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// Endorse signs the next keys of a runner with the signing key of those in use.
func Endorse(inUse ed25519.PrivateKey, runner string, publicKey, signingKey []byte) []byte {
	return ed25519.Sign(inUse, endorsement(runner, publicKey, signingKey))
}

// Endorsed tells whether a signature is that of the signing key in use over the
// next keys of a runner. Keys and signatures of a wrong length are none.
func Endorsed(inUse []byte, runner string, publicKey, signingKey, signature []byte) bool {
	return len(inUse) == ed25519.PublicKeySize && len(publicKey) == KeySize && len(signingKey) == ed25519.PublicKeySize &&
		ed25519.Verify(inUse, endorsement(runner, publicKey, signingKey), signature)
}

// The keys have a fixed length and come last, so no two endorsements read the
// same.
func endorsement(runner string, publicKey, signingKey []byte) []byte {
	text := []byte("muster runner key 1\x00" + runner + "\x00")
	return append(append(text, publicKey...), signingKey...)
}
