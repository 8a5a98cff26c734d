package credentials

import (
	"context"
	"errors"
	"time"

	"github.com/musterhq/muster/internal/agent/scmhost"
	"github.com/musterhq/muster/internal/agent/vault"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/seal"
)

// Kinds names the secrets of all host tokens; see vault.Named.
const Kinds = tokenKind + "/"

const (
	tokenKind        = "host_authentication_token"
	tokenPart        = "token"
	refreshTokenPart = "refresh_token"
)

func secretName(id, part string) string { return seal.Name(tokenKind, id, part) }

// Values are those of a host token, sealed to the runner.
type Values struct {
	Token, RefreshToken seal.Secret
	// ExpiresAt is zero when the host does not say.
	ExpiresAt time.Time
	Scopes    []string
}

// Seal seals what a host granted as the values of a host token.
func (m *Manager) Seal(tokenID string, g scmhost.Grant) (Values, error) {
	v := Values{ExpiresAt: g.ExpiresAt, Scopes: g.Scopes}
	var err error
	if v.Token, err = m.cfg.Seal(secretName(tokenID, tokenPart), []byte(g.Token)); err == nil && g.RefreshToken != "" {
		v.RefreshToken, err = m.cfg.Seal(secretName(tokenID, refreshTokenPart), []byte(g.RefreshToken))
	}
	return v, err
}

// Client returns the OAuth application of a host, with its secret. The error is
// unavailable when that does not come, and failed_precondition when it cannot be
// opened.
func (m *Manager) Client(ctx context.Context, h Host) (scmhost.Client, error) {
	secret, _, err := m.secret(ctx, h, seal.Name("scm_integration", h.ID, "client_secret"))
	if errors.Is(err, vault.ErrSealed) {
		err = fault.New(fault.FailedPrecondition, fault.HostNotConfigured,
			"The client secret for %s is sealed to another key than this runner's. An administrator must set it again.", h.Host).WithCause(err)
	}
	return scmhost.Client{ID: h.ClientID, Secret: secret}, err
}

// secret returns a secret in the clear, and the digest of its sealed form.
func (m *Manager) secret(ctx context.Context, h Host, name string) (string, seal.Digest, error) {
	plain, digest, err := m.cfg.Secrets.Get(ctx, name)
	switch {
	case errors.Is(err, vault.ErrSealed):
		return "", digest, fault.New(fault.FailedPrecondition, fault.SignInRequired,
			"What you signed in to %s with is sealed to another key than this runner's. Sign in again.", h.Host).WithCause(err)
	case errors.Is(err, context.DeadlineExceeded):
		return "", digest, fault.New(fault.DeadlineExceeded, fault.ReasonDeadline,
			"The runner did not get the credential for %s from the control plane in time.", h.Host).WithCause(err)
	case err != nil:
		return "", digest, fault.New(fault.Unavailable, fault.RunnerRefused,
			"The runner did not get the credential for %s from the control plane. Try again.", h.Host).WithCause(err)
	}
	defer clear(plain)
	return string(plain), digest, nil
}
