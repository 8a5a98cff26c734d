package seal

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
)

// proofText is what a challenge is sealed for, and what a proof begins with.
const proofText = "muster runner key proof 1"

// nonceSize is the length of the nonce of a challenge, in bytes.
const nonceSize = 32

// Challenge makes a nonce, and the same sealed to a public key: whoever answers
// holds the private key.
func Challenge(publicKey []byte) (nonce []byte, sealed Secret, err error) {
	nonce = make([]byte, nonceSize)
	_, _ = rand.Read(nonce) // never fails
	sealed, err = To(publicKey, proofText, nonce)
	return nonce, sealed, err
}

// OpenChallenge opens what Challenge sealed.
func OpenChallenge(sealed Secret, publicKey, privateKey *[KeySize]byte) (nonce []byte, err error) {
	return Open(sealed, publicKey, privateKey, proofText)
}

// Prove answers a challenge. The answer is good for this signing key only, so
// that nobody in between can put another one in its place.
func Prove(nonce, publicKey, signingKey []byte) []byte {
	mac := hmac.New(sha256.New, nonce)
	// The keys have a fixed length and come last, so no two texts read the same.
	_, _ = mac.Write([]byte(proofText + "\x00")) // a hash never fails
	_, _ = mac.Write(publicKey)
	_, _ = mac.Write(signingKey)
	return mac.Sum(nil)
}

// Proven tells whether a proof answers a challenge. Both keys must have their
// length.
func Proven(nonce, publicKey, signingKey, proof []byte) bool {
	return hmac.Equal(Prove(nonce, publicKey, signingKey), proof)
}
