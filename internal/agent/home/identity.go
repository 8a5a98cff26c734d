package home

import (
	"crypto/ed25519"
	"fmt"
	"log/slog"

	"github.com/musterhq/muster/internal/seal"
)

// Identity is what makes a process a particular runner.
type Identity struct {
	// RunnerID and OrganizationID are empty until the control plane has told
	// them, with its first Welcome.
	RunnerID       string `json:"runnerId,omitempty"`
	OrganizationID string `json:"organizationId,omitempty"`
	// InstallationID is the installation of the control plane that it joined; empty
	// when that is not known.
	InstallationID string `json:"installationId,omitempty"`
	// Server is the address of the control plane.
	Server string `json:"server"`
	// AccessToken is what the exchange token was redeemed for; empty before.
	AccessToken string `json:"accessToken,omitempty"`
	// PreviousToken is the access token before a rotation, until the control plane
	// has welcomed this runner with either of the two; empty at any other time.
	PreviousToken string `json:"previousToken,omitempty"`
	// KeyPair is the pair in use.
	KeyPair
	// Next is the pair that is to take its place; nil when none is. The one in use
	// is kept until the control plane has taken the next one.
	Next *KeyPair `json:"next,omitempty"`
}

// KeyPair is an X25519 pair.
type KeyPair struct {
	PublicKey  []byte `json:"publicKey"`
	PrivateKey []byte `json:"privateKey"`
}

func newKeyPair() (KeyPair, error) {
	public, private, err := seal.NewKeyPair()
	if err != nil {
		return KeyPair{}, err
	}
	return KeyPair{PublicKey: public[:], PrivateKey: private[:]}, nil
}

func (k KeyPair) sound() bool {
	return len(k.PublicKey) == seal.KeySize && len(k.PrivateKey) == seal.KeySize
}

// String keeps the private key out of messages.
func (k KeyPair) String() string { return "key " + seal.Fingerprint(k.PublicKey) }

// GoString does the same for %#v.
func (k KeyPair) GoString() string { return k.String() }

// LogValue does the same for logs.
func (k KeyPair) LogValue() slog.Value { return slog.StringValue(k.String()) }

// Presented is what a runner shows of its keys when it connects.
type Presented struct {
	PublicKey, SigningKey []byte
	// Endorsement is the signature of the pair in use over the next one; empty
	// when no pair is to take its place.
	Endorsement []byte
	pair        KeyPair
}

// Prove answers a challenge: it shows that the private key of PublicKey is here.
func (p Presented) Prove(sealedNonce seal.Secret) ([]byte, error) {
	if !p.pair.sound() {
		return nil, seal.ErrOpen
	}
	nonce, err := seal.OpenChallenge(sealedNonce, (*[seal.KeySize]byte)(p.pair.PublicKey), (*[seal.KeySize]byte)(p.pair.PrivateKey))
	if err != nil {
		return nil, fmt.Errorf("home: %w", err)
	}
	return seal.Prove(nonce, p.PublicKey, p.SigningKey), nil
}

// Present returns the keys to connect with: the next ones, if there are such.
func (id Identity) Present() (Presented, error) {
	if id.Next == nil {
		signing, err := seal.SigningKey(id.PrivateKey)
		if err != nil {
			return Presented{}, fmt.Errorf("home: %w", err)
		}
		return Presented{PublicKey: id.PublicKey, SigningKey: public(signing), pair: id.KeyPair}, nil
	}
	inUse, err := seal.SigningKey(id.PrivateKey)
	if err != nil {
		return Presented{}, fmt.Errorf("home: %w", err)
	}
	next, err := seal.SigningKey(id.Next.PrivateKey)
	if err != nil {
		return Presented{}, fmt.Errorf("home: %w", err)
	}
	p := Presented{PublicKey: id.Next.PublicKey, SigningKey: public(next), pair: *id.Next}
	p.Endorsement = seal.Endorse(inUse, id.RunnerID, p.PublicKey, p.SigningKey)
	return p, nil
}

func public(k ed25519.PrivateKey) []byte { return k.Public().(ed25519.PublicKey) }

// WithNext returns the identity with a fresh pair that is to take the place of
// the one in use. A pair that is to do so already stays.
func (id Identity) WithNext() (Identity, error) {
	if id.Next != nil {
		return id, nil
	}
	next, err := newKeyPair()
	id.Next = &next
	return id, err
}

// Promoted returns the identity with the next pair in use. The older private
// key is gone from it.
func (id Identity) Promoted() Identity {
	id.KeyPair, id.Next = *id.Next, nil
	return id
}

// New makes an identity with a fresh key pair that has not joined yet.
func New(server string) (Identity, error) {
	keys, err := newKeyPair()
	return Identity{Server: server, KeyPair: keys}, err
}

// Rotated returns the identity with a new access token, and the one before to go
// back to.
func (id Identity) Rotated(token string) Identity {
	id.AccessToken, id.PreviousToken = token, id.AccessToken
	return id
}

// Swapped returns the identity with the other one of its two access tokens.
func (id Identity) Swapped() Identity { return id.Rotated(id.PreviousToken) }

// Joined tells whether the identity has an access token.
func (id Identity) Joined() bool { return id.AccessToken != "" }

// Made tells whether there is a key pair.
func (id Identity) Made() bool { return len(id.PrivateKey) != 0 }

// Open opens a secret that was sealed to the public key.
func (k KeyPair) Open(s seal.Secret, purpose string) ([]byte, error) {
	return seal.Open(s, (*[seal.KeySize]byte)(k.PublicKey), (*[seal.KeySize]byte)(k.PrivateKey), purpose)
}

// Seal seals what Open opens.
func (k KeyPair) Seal(purpose string, plain []byte) (seal.Secret, error) {
	return seal.To(k.PublicKey, purpose, plain)
}

func (id Identity) sound() bool {
	return id.Server != "" && id.KeyPair.sound() && (id.Next == nil || id.Next.sound())
}

// String keeps the secrets out of messages.
func (id Identity) String() string { return "runner " + id.RunnerID }

// GoString does the same for %#v.
func (id Identity) GoString() string { return id.String() }

// LogValue does the same for logs.
func (id Identity) LogValue() slog.Value { return slog.StringValue(id.RunnerID) }
