package hosttoken

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/page"
	"github.com/musterhq/muster/internal/scmurl"
	"github.com/musterhq/muster/internal/seal"
)

// Values are what a host gave at a sign-in, or for a refresh token, in the form
// in which its runner hands them over: sealed to itself, under the names of the
// secrets of the credential.
type Values struct {
	Value seal.Secret
	// RefreshToken is none when the host gave none.
	RefreshToken seal.Secret
	// ExpiresAt is zero when the host did not say.
	ExpiresAt time.Time
	// Scopes are what the host granted; none when it did not say.
	Scopes []string
}

// Bounds of Values: those of what people send, and what sealing adds.
const (
	maxSealed = 16<<10 + 256
	maxScopes = 101
	maxScope  = 255
)

// check refuses what the runner cannot have meant.
func (v *Values) check(r *fleet.Runner) error {
	switch {
	case len(v.Value) > maxSealed || len(v.RefreshToken) > maxSealed:
		return fault.New(fault.InvalidArgument, fault.RunnerRefused, "The credential that the runner %q brought is too long to be stored.", r.Name)
	case !v.Value.SealedTo(r.PublicKey), len(v.RefreshToken) > 0 && !v.RefreshToken.SealedTo(r.PublicKey):
		return fault.New(fault.FailedPrecondition, fault.KeyMismatch,
			"The credential is sealed to another key than the one in use of the runner %q. If the runner came with a new key, approve it: \"muster runner keys\" shows it.", r.Name)
	}
	return nil
}

// scopes are those that can be stored. A host may grant what it likes, and they
// are for show only, so that the others are left out.
func (v *Values) scopes() []string {
	var out []string
	for _, s := range v.Scopes {
		odd := strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
		if s != "" && len(s) <= maxScope && !odd && len(out) < maxScopes {
			out = append(out, s)
		}
	}
	return out
}

// TokenID is the id of the caller's credential for a host on a runner: of the one
// that is there, or a new one for Keep.
func (s *Service) TokenID(ctx context.Context, c access.Caller, r id.Runner, host string) (token string, there bool, err error) {
	t, there, err := present(ctx, s.store, c, r, host)
	switch {
	case err != nil:
		return "", false, fault.Wrap(err, "looking for the host token")
	case !there:
		return id.New(), false, nil
	}
	return t.ID, true, nil
}

// present finds what a sign-in of the caller replaces: the credential with this
// very host, or else the newest for it in another spelling that was stored for no
// integration.
func present(ctx context.Context, from reader, c access.Caller, r id.Runner, host string) (Token, bool, error) {
	t, found, err := from.HostTokenOf(ctx, r, host, c.Subject)
	if found || err != nil {
		return t, found, err
	}
	held, err := from.HostTokens(ctx, Query{
		Organization: c.Organization, Reach: Reach{All: true}, Runner: r, Subject: c.ID, Page: page.Query{Limit: maxHeld},
	})
	for _, t := range slices.Backward(held) {
		if t.Integration == "" && scmurl.SameHost(t.Host, host) {
			return t, true, nil
		}
	}
	return Token{}, false, err
}

// SignIn is what a sign-in of somebody to a host brought.
type SignIn struct {
	Runner id.Runner
	// Integration is that of the runner with Host.
	Integration string
	Host        string
	// Token is the id that the credential is to have, and Replaces says that it was
	// there already; see TokenID.
	Token    string
	Replaces bool
	Values
}

// Keep stores what a sign-in of the caller brought, in the place of whatever the
// caller had for the host, however that was obtained. The error is aborted when
// that is not what it was when the sign-in began: what was deleted stays deleted.
func (s *Service) Keep(ctx context.Context, c access.Caller, in SignIn) error {
	kept := Token{
		ID: in.Token, Organization: c.Organization, Runner: in.Runner, Host: in.Host, Subject: c.Subject, Source: SourceOAuth, Integration: in.Integration,
		Value: in.Value, RefreshToken: in.RefreshToken, Scopes: in.scopes(), ExpiresAt: in.ExpiresAt.Truncate(time.Microsecond),
	}
	err := s.store.Write(ctx, func(tx Tx) error {
		runner, err := admit(ctx, tx, c, in.Runner)
		if err != nil {
			return err
		}
		if err := in.check(&runner); err != nil {
			return err
		}
		if err := belongs(ctx, tx, &runner, &kept); err != nil {
			return err
		}
		before, found, err := present(ctx, tx, c, in.Runner, in.Host)
		switch {
		case err != nil:
			return err
		case found && before.ID != in.Token:
			return fault.New(fault.Aborted, fault.Conflict, "Another credential of yours for %s was stored while you signed in. Sign in again to replace it.", in.Host)
		case found:
			return replace(ctx, tx, c, &runner, before, kept)
		case in.Replaces:
			return fault.New(fault.Aborted, fault.Conflict, "Your credential for %s was deleted while you signed in. Begin again.", in.Host)
		}
		if err := boundHeld(ctx, tx, &runner, c.Subject); err != nil {
			return err
		}
		return insert(ctx, tx, c, &runner, &kept)
	})
	if !fault.MayHaveHappened(err) {
		return fault.Wrap(err, "storing what the sign-in brought")
	}
	s.links.SecretsChanged(in.Runner, valueName(in.Token), refreshName(in.Token))
	return err
}

// replace puts what a sign-in brought in the place of a credential.
func replace(ctx context.Context, tx Tx, c access.Caller, r *fleet.Runner, t, by Token) error {
	t.Source, t.Integration = by.Source, by.Integration
	t.Value, t.RefreshToken, t.ExpiresAt, t.Scopes = by.Value, by.RefreshToken, by.ExpiresAt, by.Scopes
	t.UpdatedAt = time.Now()
	if ok, err := tx.UpdateHostToken(ctx, t); err != nil || !ok {
		return fault.Lost(ok, err)
	}
	return record(ctx, tx, c, &t, r, "host_authentication_token.update", event.Updated)
}
