package home

import (
	"log/slog"

	"github.com/musterhq/muster/internal/seal"
)

// Identity is what makes a process a particular runner.
type Identity struct {
	// RunnerID and OrganizationID are empty until the control plane has told
	// them, with its first Welcome.
	RunnerID       string `json:"runnerId,omitempty"`
	OrganizationID string `json:"organizationId,omitempty"`
	// Server is the address of the control plane.
	Server string `json:"server"`
	// AccessToken is what the exchange token was redeemed for; empty before.
	AccessToken string `json:"accessToken,omitempty"`
	// PublicKey and PrivateKey are an X25519 pair.
	PublicKey  []byte `json:"publicKey"`
	PrivateKey []byte `json:"privateKey"`
}

// New makes an identity with a fresh key pair that has not joined yet.
func New(server string) (Identity, error) {
	public, private, err := seal.NewKeyPair()
	if err != nil {
		return Identity{}, err
	}
	return Identity{Server: server, PublicKey: public[:], PrivateKey: private[:]}, nil
}

// Joined tells whether the identity has an access token.
func (id Identity) Joined() bool { return id.AccessToken != "" }

// Made tells whether there is a key pair.
func (id Identity) Made() bool { return len(id.PrivateKey) != 0 }

// Open opens a secret that was sealed to the public key.
func (id Identity) Open(s seal.Secret, purpose string) ([]byte, error) {
	return seal.Open(s, (*[seal.KeySize]byte)(id.PublicKey), (*[seal.KeySize]byte)(id.PrivateKey), purpose)
}

func (id Identity) sound() bool {
	return id.Server != "" && len(id.PublicKey) == seal.KeySize && len(id.PrivateKey) == seal.KeySize
}

// String keeps the secrets out of messages.
func (id Identity) String() string { return "runner " + id.RunnerID }

// GoString does the same for %#v.
func (id Identity) GoString() string { return id.String() }

// LogValue does the same for logs.
func (id Identity) LogValue() slog.Value { return slog.StringValue(id.RunnerID) }
