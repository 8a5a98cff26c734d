package credentials

import (
	"context"
	"errors"
	"time"

	"github.com/musterhq/muster/internal/agent/scmhost"
	"github.com/musterhq/muster/internal/fault"
)

// renewPatience bounds a renewal, with the secrets that it needs.
const renewPatience = 30 * time.Second

// attempt is a renewal that is under way.
type attempt struct {
	// revision is that of the token when it began.
	revision int64
	// forgotten is set when the values of the token were to be dropped since.
	forgotten bool
	done      chan struct{}
	err       error // once done is closed
}

// renew renews a token that is as it was seen; one that has changed since is left
// alone. Whoever comes while it is being renewed waits for the same renewal,
// which goes on without them.
func (m *Manager) renew(ctx context.Context, ref Ref, seen state) error {
	m.mu.Lock()
	t := m.find(ref)
	if t.own != seen.own || t.revision != seen.revision || t.refused || t.unstored != nil {
		m.mu.Unlock()
		return nil
	}
	if t.renewing == nil {
		t.renewing = &attempt{revision: t.revision, done: make(chan struct{})}
		m.renewing++
		m.running.Go(func() { m.attempt(ref, t) })
	}
	a := t.renewing
	m.mu.Unlock()
	select {
	case <-a.done:
		return a.err
	case <-ctx.Done():
		return fault.New(fault.DeadlineExceeded, fault.HostUnavailable, "%s did not renew your sign-in in time.", ref.Host.Host)
	}
}

// attempt renews a token, and tells those who wait how it went. What the host says
// is handed over in any case, since the host may not say it twice.
func (m *Manager) attempt(ref Ref, t *token) {
	grant, r, err := m.refresh(ref)
	log := m.cfg.Log.With("token", ref.ID, "host", ref.Host.Host)
	m.mu.Lock()
	defer m.mu.Unlock()
	a := t.renewing
	t.renewing = nil
	defer close(a.done)
	m.renewing--
	defer m.move()
	switch {
	case err != nil:
		log.Warn("a host token was not renewed", "error", err)
		a.err = err
		return
	case r.Refused:
		log.Warn("a host does not renew a host token any more")
	default:
		log.Info("a host token was renewed", "expires", grant.ExpiresAt)
	}
	m.handOver(t, r, grant)
	if a.forgotten || t.revision != a.revision && t.refreshToken != r.From {
		log.Info("a host token was changed while it was renewed")
		return
	}
	t.drop()
	if t.refused = r.Refused; !t.refused {
		t.own = newOwn(grant, time.Now())
	}
}

// refresh asks the host for new values, and returns what it says.
func (m *Manager) refresh(ref Ref) (g scmhost.Grant, r Renewal, err error) {
	ctx, cancel := context.WithTimeout(m.ctx, renewPatience)
	defer cancel()
	client, err := m.Client(ctx, ref.Host)
	if err != nil {
		return g, r, err
	}
	refreshToken, from, err := m.secret(ctx, ref.Host, secretName(ref.ID, refreshTokenPart))
	if err != nil {
		return g, r, err
	}
	r = Renewal{Token: ref.ID, From: from}
	g, err = m.cfg.Refresh(ctx, ref.Host.Integration, client, refreshToken)
	switch {
	case errors.Is(err, scmhost.ErrRevoked):
		r.Refused, err = true, nil
	case err == nil:
		r.Values, err = m.Seal(ref.ID, g)
	}
	return g, r, err
}

func newOwn(g scmhost.Grant, now time.Time) *own {
	o := &own{value: []byte(g.Token), obtained: now, refreshable: g.RefreshToken != ""}
	if !g.ExpiresAt.IsZero() {
		// The wall clock counts: the host's does not stop while this machine is
		// suspended.
		o.expiresAt = g.ExpiresAt.Round(0)
		o.renewAt = o.expiresAt.Add(-min(margin, g.ExpiresAt.Sub(now)/10))
	}
	return o
}
