package credentials

import (
	"context"
	"time"

	"github.com/musterhq/muster/internal/agent/scmhost"
	"github.com/musterhq/muster/internal/seal"
)

// Pauses before a renewal is handed over once more.
const (
	firstPause = 5 * time.Second
	maxPause   = time.Minute
)

// Renewal is what became of a host token at its host.
type Renewal struct {
	// ID is unique in this process; see Stored.
	ID uint64
	// Token is the id of the host token, and From tells which refresh token it was
	// made from.
	Token string
	From  seal.Digest
	// Refused says that the host renews it no more; else Values are the new ones.
	Refused bool
	Values  Values
}

// Outcome is what the control plane did with a renewal.
type Outcome struct {
	// Revision is that of the host token now; 0 when it is gone.
	Revision int64
	// Superseded says that the host token was changed or deleted.
	Superseded bool
	// Final says that the renewal was refused and always will be.
	Final bool
}

// unstored is a renewal of which the control plane has not said what became.
type unstored struct {
	Renewal
	token *token
	// grant is what Values have in the clear.
	grant scmhost.Grant
	// due is when it is to be handed over.
	due   time.Time
	pause time.Duration
	// sent is set when it was handed over.
	sent bool
}

// handOver makes Deliver hand a renewal over. The mutex is held.
func (m *Manager) handOver(t *token, r Renewal, g scmhost.Grant) {
	m.lastID++
	r.ID = m.lastID
	t.unstored = &unstored{Renewal: r, token: t, grant: g}
	m.unstored[r.ID] = t.unstored
	m.move()
}

// Deliver hands renewals over until ctx ends or send fails: what is waiting at
// once, and everything again, with growing pauses, until Stored is called for it.
// There is one Deliver at a time.
func (m *Manager) Deliver(ctx context.Context, send func(context.Context, Renewal) error) error {
	m.startOver()
	for {
		r, pause, moved := m.next(time.Now())
		if r != nil {
			if err := send(ctx, *r); err != nil {
				return err
			}
			m.sent(r.ID)
			continue
		}
		timer := time.NewTimer(pause)
		select {
		case <-moved:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// startOver makes everything due: nobody knows what became of it.
func (m *Manager) startOver() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, u := range m.unstored {
		u.due, u.pause, u.sent = time.Time{}, 0, false
	}
}

// next returns a renewal that is due, or else when to look again.
func (m *Manager) next(now time.Time) (r *Renewal, pause time.Duration, moved <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	pause = maxPause
	for _, u := range m.unstored {
		wait := u.due.Sub(now)
		if wait <= 0 {
			u.pause = min(max(2*u.pause, firstPause), maxPause)
			u.due = now.Add(u.pause)
			m.sealAnew(u)
			return &u.Renewal, 0, nil
		}
		pause = min(pause, wait)
	}
	return nil, pause, m.moved
}

// sealAnew seals the values of a renewal once more when the runner has another key
// by now: the control plane does not take what is sealed to the old one.
func (m *Manager) sealAnew(u *unstored) {
	if u.Refused || m.cfg.Sealed(u.Values.Token) {
		return
	}
	values, err := m.Seal(u.Token, u.grant)
	if err != nil {
		m.cfg.Log.Error("a renewed host token could not be sealed to the runner's new key", "token", u.Token, "error", err)
		return
	}
	u.Values = values
}

func (m *Manager) sent(id uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if u := m.unstored[id]; u != nil {
		u.sent = true
		m.move()
	}
}

// Stored takes what the control plane says of a renewal, by its ID. One that it
// could not store this time is none of this function's: it is handed over again.
func (m *Manager) Stored(id uint64, o Outcome) {
	m.mu.Lock()
	defer m.mu.Unlock()
	u := m.unstored[id]
	if u == nil {
		return
	}
	delete(m.unstored, id)
	t := u.token
	t.unstored = nil
	t.revision = max(t.revision, o.Revision)
	switch {
	case o.Final:
		// The host may not renew it a second time.
		t.refused = t.refused || t.own != nil
		t.drop()
	case o.Superseded:
		t.drop()
		t.refused = false
	}
	m.cfg.Secrets.Forget(secretName(u.Token, tokenPart), secretName(u.Token, refreshTokenPart))
	m.move()
}

// Flush waits until what was renewed is handed over, or ctx ends.
func (m *Manager) Flush(ctx context.Context) {
	for {
		quiet, moved := m.quiet()
		if quiet {
			return
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return
		}
	}
}

func (m *Manager) quiet() (bool, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	quiet := m.renewing == 0
	for _, u := range m.unstored {
		quiet = quiet && u.sent
	}
	return quiet, m.moved
}

// move wakes Deliver and Flush. The mutex is held.
func (m *Manager) move() {
	close(m.moved)
	m.moved = make(chan struct{})
}
