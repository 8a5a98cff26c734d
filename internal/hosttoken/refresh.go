package hosttoken

import (
	"bytes"
	"context"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/seal"
)

// Refreshed stores what a host gave a runner, the caller, for the refresh token
// from of a credential. nil says that the host gave nothing: then the refresh token
// is forgotten and the credential has expired, so that its owner is no longer
// signed in.
//
// superseded says that the values are of no use: the credential has another
// refresh token by now, or none, or is gone. Other changes do not matter. Storing
// the same values twice is one change. revision is that of the credential now; 0
// when it is gone.
func (s *Service) Refreshed(ctx context.Context, c access.Caller, token string, from seal.Digest, v *Values) (revision int64, superseded bool, err error) {
	runner := id.Runner(c.ID)
	changed := false
	err = s.store.Write(ctx, func(tx Tx) error {
		revision, superseded, changed = 0, false, false
		if err := tx.LockRunner(ctx, runner); err != nil {
			return err
		}
		r, found, err := tx.Runner(ctx, runner)
		if err != nil {
			return err
		}
		if err := fleet.Check(c, access.RunnerLink, &r, found, runner); err != nil {
			return err
		}
		t, found, err := tx.HostToken(ctx, token)
		switch {
		case err != nil:
			return err
		case !found || t.Runner != runner:
			superseded = true
			return nil
		case v != nil && bytes.Equal(t.Value, v.Value):
			revision = t.Revision // the answer to the first time was lost
			return nil
		case len(t.RefreshToken) == 0 || t.RefreshToken.Digest() != from:
			revision, superseded = t.Revision, true
			return nil
		}
		if err := t.refresh(&r, v); err != nil {
			return err
		}
		revision = t.Revision + 1
		changed = true
		if ok, err := tx.UpdateHostToken(ctx, t); err != nil || !ok {
			return fault.Lost(ok, err)
		}
		return record(ctx, tx, c, &t, &r, "host_authentication_token.refresh", event.Updated)
	})
	if !fault.MayHaveHappened(err) {
		return 0, false, fault.Wrap(err, "storing a renewed host token")
	}
	if changed {
		s.links.SecretsChanged(runner, valueName(token), refreshName(token))
	}
	return revision, superseded, err
}

// refresh takes new values over; nil ends the credential.
func (t *Token) refresh(r *fleet.Runner, v *Values) error {
	t.UpdatedAt = time.Now()
	if v == nil {
		t.RefreshToken, t.ExpiresAt = nil, t.UpdatedAt.Truncate(time.Microsecond)
		return nil
	}
	if err := v.check(r); err != nil {
		return err
	}
	t.Value, t.ExpiresAt = v.Value, v.ExpiresAt.Truncate(time.Microsecond)
	// A host that gives no new refresh token goes on accepting the old one, and one
	// that names no scopes has not changed them.
	if len(v.RefreshToken) > 0 {
		t.RefreshToken = v.RefreshToken
	}
	if scopes := v.scopes(); len(scopes) > 0 {
		t.Scopes = scopes
	}
	return nil
}
