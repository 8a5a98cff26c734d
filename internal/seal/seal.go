// Package seal keeps secrets unreadable.
//
// There are two forms. A sealed secret is a NaCl anonymous sealed box
// (X25519, XSalsa20-Poly1305) to a runner's public key: only that runner opens
// it. A wrapped secret waits under the control plane's secret key until its
// runner has a key (XChaCha20-Poly1305). Both are bound to what they are for,
// so that one cannot be put in the place of another.
package seal

import "crypto/sha256"

// Secret is an encrypted secret in its stored form; its first byte tells the
// form. The zero Secret is none. It prints as "[sealed]".
type Secret []byte

// Name is what a secret of a runner is called, and the purpose that it is sealed
// for: "scm_integration/ID/client_secret". The kinds are "runner",
// "scm_integration", "host_authentication_token" and "llm_integration".
func Name(kind, id, part string) string { return kind + "/" + id + "/" + part }

// Digest tells one stored secret from another without either; zero for none.
// Sealing the same text again makes another secret.
type Digest [sha256.Size]byte

// Digest returns the SHA-256 of s.
func (s Secret) Digest() Digest {
	if len(s) == 0 {
		return Digest{}
	}
	return sha256.Sum256(s)
}

// DigestOf reads what Bytes returned; anything else is none.
func DigestOf(b []byte) Digest {
	if len(b) != sha256.Size {
		return Digest{}
	}
	return Digest(b)
}

// Bytes returns the bytes of d, which are empty for none.
func (d Digest) Bytes() []byte {
	if d == (Digest{}) {
		return nil
	}
	return d[:]
}

// String keeps the bytes out of logs, although they are encrypted.
func (s Secret) String() string {
	if len(s) == 0 {
		return ""
	}
	return "[sealed]"
}
