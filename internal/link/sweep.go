package link

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/musterhq/muster/internal/clock"
)

// deadline is when a lease runs out, on the monotonic clock.
type deadline struct{ at atomic.Pointer[time.Time] }

func (d *deadline) set(t time.Time) { d.at.Store(&t) }

func (d *deadline) get() time.Time { return *d.at.Load() }

// Run ends the sessions whose lease ran out, until ctx ends.
func (h *Hub) Run(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	h.lastSweep = time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			h.sweep(ctx)
		}
	}
}

// sweep judges the leases, if this process is fit to judge: one that slept, or
// that could not renew its own lease, first proves that lease and then gives
// every runner a whole lease of grace.
func (h *Hub) sweep(ctx context.Context) {
	now := time.Now()
	slept := clock.Gap(h.lastSweep, now) > lateSweep
	h.lastSweep = now
	if slept {
		h.cfg.Log.Warn("this process was stopped for a while; every runner gets a lease of grace")
		prove, cancel := context.WithTimeout(ctx, lateSweep)
		defer cancel()
		if err := h.cfg.Replica.Prove(prove); err != nil {
			h.cfg.Log.Warn("the lease of this control plane could not be proven", "error", err)
		}
	}
	if !h.cfg.Replica.Held() {
		h.wasHeld = false
		return
	}
	if slept || !h.wasHeld {
		h.grace(time.Now().Add(Lease))
	}
	h.wasHeld = true
	h.endExpired(ctx, now)
	h.withdrawNotices(ctx, now)
	// Waiting for the database is no sleep.
	h.lastSweep = time.Now()
}

func (h *Hub) grace(until time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.sessions {
		if s.deadline.get().Before(until) {
			s.deadline.set(until)
		}
	}
}

// endings bounds how many sessions are being ended at once.
const endings = 64

func (h *Hub) endExpired(ctx context.Context, now time.Time) {
	replica := h.cfg.Replica.ID()
	var expired []*session
	h.mu.Lock()
	for r, s := range h.sessions {
		switch {
		case s.ending || now.Before(s.deadline.get()):
		case s.replica != replica:
			// It was opened under a lease that is lost; the heir judges it.
			delete(h.sessions, r)
		default:
			s.ending = true
			expired = append(expired, s)
		}
	}
	h.mu.Unlock()
	slots := make(chan struct{}, endings)
	var wg sync.WaitGroup
	for _, s := range expired {
		slots <- struct{}{}
		wg.Go(func() {
			h.end(ctx, s, fmt.Sprintf("No renewal came from %q for %d seconds: the host is down or cut off, or the runner was killed.", s.hostName, int(Lease.Seconds())))
			<-slots
		})
	}
	wg.Wait()
}

// end ends a session in the database and forgets it. When the database does
// not answer, the session stays and the next sweep tries again.
func (h *Hub) end(ctx context.Context, s *session, reason string) {
	if err := h.cfg.Fleet.EndSession(ctx, s.runner, s.epoch, reason); err != nil {
		h.cfg.Log.Warn("a session could not be ended; trying again", "runner_id", s.runner, "epoch", s.epoch, "error", err)
		h.mu.Lock()
		s.ending = false
		h.mu.Unlock()
		return
	}
	h.mu.Lock()
	c, before := s.conn, s.before
	h.mu.Unlock()
	if before != nil {
		h.end(ctx, before, reason)
	}
	h.remove(s)
	if c != nil {
		c.cut(errLeaseEnded)
	}
}

// contend notes that another host knocked for an identity that is held here.
func (h *Hub) contend(ctx context.Context, s *session, host string) {
	h.mu.Lock()
	s.knocked, s.contender = time.Now(), host
	first := !s.noticed
	s.noticed = true
	holder, epoch, runner := s.hostName, s.epoch, s.runner
	h.mu.Unlock()
	if !first {
		return
	}
	notice := fmt.Sprintf("Two hosts use this runner's identity: %q holds it and %q is waiting for it. Stop one of them, or give it a runner of its own with \"muster runner create\".", holder, host)
	if err := h.cfg.Fleet.SetNotice(ctx, runner, epoch, notice); err != nil {
		h.cfg.Log.Warn("the notice of two hosts with one identity could not be stored", "runner_id", runner, "error", err)
		h.mu.Lock()
		s.noticed = false
		h.mu.Unlock()
	}
}

func (h *Hub) withdrawNotices(ctx context.Context, now time.Time) {
	var quiet []*session
	h.mu.Lock()
	for _, s := range h.sessions {
		if s.noticed && now.Sub(s.knocked) > contention {
			s.noticed = false
			quiet = append(quiet, s)
		}
	}
	h.mu.Unlock()
	for _, s := range quiet {
		if err := h.cfg.Fleet.SetNotice(ctx, s.runner, s.epoch, ""); err != nil {
			h.cfg.Log.Warn("a notice could not be withdrawn; trying again", "runner_id", s.runner, "error", err)
			h.mu.Lock()
			s.noticed = true
			h.mu.Unlock()
		}
	}
}
