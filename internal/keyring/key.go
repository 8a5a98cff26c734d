package keyring

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"

	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/seal"
)

// rsaBits is what every verifier of RS256 accepts.
const rsaBits = 2048

// generate makes a key for a purpose. The secret key must be held until it is
// stored.
func generate(p Purpose, under *seal.Key) (Record, error) {
	k := Record{ID: id.New(), Purpose: p}
	var private []byte
	if p == IDToken {
		key, err := rsa.GenerateKey(rand.Reader, rsaBits)
		if err != nil {
			return k, fmt.Errorf("keyring: making an RSA key: %w", err)
		}
		if private, err = x509.MarshalPKCS8PrivateKey(key); err != nil {
			return k, fmt.Errorf("keyring: storing an RSA key: %w", err)
		}
		if k.Public, err = x509.MarshalPKIXPublicKey(key.Public()); err != nil {
			return k, fmt.Errorf("keyring: storing an RSA key: %w", err)
		}
	} else {
		public, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return k, fmt.Errorf("keyring: making an Ed25519 key: %w", err)
		}
		private, k.Public = key, public
	}
	k.Wrapped = under.Wrap(SecretName(k.ID), private)
	return k, nil
}

func publicKey(k Record) (crypto.PublicKey, error) {
	if k.Purpose != IDToken {
		if len(k.Public) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("keyring: the public key %s is damaged", k.ID)
		}
		return ed25519.PublicKey(k.Public), nil
	}
	key, err := x509.ParsePKIXPublicKey(k.Public)
	if err != nil {
		return nil, fmt.Errorf("keyring: the public key %s is damaged: %w", k.ID, err)
	}
	return key, nil
}

func privateKey(k Record, under *seal.Key) (crypto.Signer, error) {
	private, err := under.Unwrap(k.Wrapped, SecretName(k.ID))
	if err != nil {
		return nil, fault.New(fault.FailedPrecondition, fault.KeyMismatch,
			"The secret-key file is not the one that this database was made with. Restore it from a backup, or point --secret-key-file at it.").WithCause(err)
	}
	if k.Purpose != IDToken {
		if len(private) != ed25519.PrivateKeySize {
			return nil, fmt.Errorf("keyring: the private key %s is damaged", k.ID)
		}
		return ed25519.PrivateKey(private), nil
	}
	key, err := x509.ParsePKCS8PrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("keyring: the private key %s is damaged: %w", k.ID, err)
	}
	signer, ok := key.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("keyring: the private key %s is no RSA key", k.ID)
	}
	return signer, nil
}

// inUse returns the key that is in use; nil when none is.
func inUse(rows []Record) *Record {
	for i := range rows {
		if rows[i].RetiredAt.IsZero() {
			return &rows[i]
		}
	}
	return nil
}
