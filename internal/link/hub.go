// Package link is the control plane's side of the links to runners.
//
// The hub holds one session per connected runner: its epoch, its lease's
// deadline, the stream while there is one, and the byte streams that people
// read through it. It decides when a lease has run out and tells the fleet;
// what that means for the runner is the fleet's business.
//
// A renewal touches memory only. A broken stream leaves its session in place
// until the deadline, so that a runner that reconnects in time never goes
// INACTIVE.
package link

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/pace"
	"github.com/musterhq/muster/internal/seal"
)

// Timing of runner leases.
const (
	// Lease is how long a runner stays ACTIVE without a renewal.
	Lease = 30 * time.Second
	// RenewEvery is how often a runner is asked to renew.
	RenewEvery = 10 * time.Second
	// sweepEvery is how often deadlines are looked at.
	sweepEvery = time.Second
	// lateSweep is how late a sweep may be before this process counts as having
	// slept, and so cannot judge anybody.
	lateSweep = 5 * time.Second
	// contention is how long a standby may be silent before its notice goes away.
	contention = 3 * Lease
)

// Fleet is what the hub asks of the fleet.
type Fleet interface {
	OpenSession(ctx context.Context, c access.Caller, o fleet.Opening) (epoch int64, err error)
	EndSession(ctx context.Context, r id.Runner, epoch int64, reason string) error
	SetReport(ctx context.Context, r id.Runner, epoch int64, rep fleet.Report) error
	Applied(ctx context.Context, r id.Runner, epoch, revision int64, unsupported []string, failure string) error
	SetNotice(ctx context.Context, r id.Runner, epoch int64, notice string) error
	Desired(ctx context.Context, r id.Runner) (fleet.Desired, error)
	FinishDelete(ctx context.Context, r id.Runner) error
}

// Secrets delivers what is sealed to runners; see package sealed.
type Secrets interface {
	Deliver(ctx context.Context, c access.Caller, name string) (seal.Secret, error)
}

// Replica is this process's own right to hold sessions; see package lease.
type Replica interface {
	ID() string
	Held() bool
	Prove(ctx context.Context) error
}

// Config has what a Hub needs.
type Config struct {
	// Fleet may be set later with SetFleet, since the fleet needs the hub too.
	Fleet Fleet
	// Installation is the id of the installation, which runners remember. It may be
	// set later with SetInstallation.
	Installation string
	// Secrets may be set later with SetSecrets.
	Secrets Secrets
	// Tokens may be set later with SetTokens.
	Tokens   Tokens
	Replica  Replica
	Gateways []fleet.Gateway
	// Issuer and Keys let runners verify logs tokens. Keys returns those of now; nil
	// means none. See Hub.KeysChanged.
	Issuer string
	Keys   func() []*linkv1.VerificationKey
	// Welcome, when set, refuses a link of a runner that opens them too often.
	Welcome func(runner string) error
	Log     *slog.Logger
}

// Hub holds the sessions of this replica.
type Hub struct {
	cfg Config
	// deliveries bounds how many secrets runners get.
	deliveries *pace.Limiter[id.Runner]
	// renewals bounds how many host tokens runners renew.
	renewals *pace.Limiter[id.Runner]

	mu       sync.Mutex
	sessions map[id.Runner]*session
	draining bool
	// opening counts the streams of a runner that are between its session in the
	// database and its session here.
	opening map[id.Runner]int
	// changed is closed, and made anew, when a stream has come or gone.
	changed chan struct{}
	// wasHeld and lastSweep belong to the sweeper.
	wasHeld   bool
	lastSweep time.Time
}

// New makes a hub. Run must run for leases to end.
func New(cfg Config) *Hub {
	return &Hub{
		cfg: cfg, deliveries: pace.New[id.Runner](deliveriesPerSecond, deliveriesAtOnce), renewals: pace.New[id.Runner](renewalsPerSecond, renewalsAtOnce),
		sessions: map[id.Runner]*session{}, opening: map[id.Runner]int{}, changed: make(chan struct{}), wasHeld: true,
	}
}

// keys are what runners verify logs tokens with.
func (h *Hub) keys() *linkv1.VerificationKeys {
	if h.cfg.Keys == nil {
		return &linkv1.VerificationKeys{}
	}
	return &linkv1.VerificationKeys{Keys: h.cfg.Keys()}
}

// SetFleet completes the configuration.
func (h *Hub) SetFleet(f Fleet) { h.cfg.Fleet = f }

// SetInstallation completes the configuration.
func (h *Hub) SetInstallation(id string) { h.cfg.Installation = id }

// SetSecrets completes the configuration.
func (h *Hub) SetSecrets(s Secrets) { h.cfg.Secrets = s }

// SetTokens completes the configuration.
func (h *Hub) SetTokens(t Tokens) { h.cfg.Tokens = t }

// SetReplica completes the configuration.
func (h *Hub) SetReplica(r Replica) { h.cfg.Replica = r }

// Counts returns how many sessions are held, and how many of them have a stream.
func (h *Hub) Counts() (sessions, connected int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.sessions {
		if s.conn != nil {
			connected++
		}
	}
	return len(h.sessions), connected
}

// session is a runner's newest session on this replica. The hub's mutex guards
// its fields, but for the atomic ones.
type session struct {
	runner   id.Runner
	epoch    int64
	replica  string
	bootID   string
	hostName string
	deadline deadline
	// replaced is set when a newer session was installed.
	replaced atomic.Bool
	// conn is the stream; nil while the runner is between two.
	conn *conn
	// contender is the host that last knocked as a standby.
	contender string
	knocked   time.Time
	noticed   bool
	ending    bool
	// before is the session that is still the newest if this one, of which that is
	// not known, was not opened.
	before *session
}

// install makes s the session of its runner, unless a newer one is there, and
// returns the stream that it replaces.
func (h *Hub) install(s *session) (older *session, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	older = h.sessions[s.runner]
	if older != nil && older.epoch > s.epoch {
		return older, false
	}
	if older != nil {
		older.replaced.Store(true)
	}
	h.sessions[s.runner] = s
	return older, true
}

// detach notes that a stream ended; the session stays until its deadline.
func (h *Hub) detach(s *session, c *conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.conn == c {
		s.conn = nil
	}
	h.announce()
}

// announce wakes those who wait for streams to come or go. The mutex is held.
func (h *Hub) announce() {
	close(h.changed)
	h.changed = make(chan struct{})
}

// opens notes that a stream of a runner is about to come.
func (h *Hub) opens(r id.Runner) (opened func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.opening[r]++
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.opening[r]--; h.opening[r] == 0 {
			delete(h.opening, r)
		}
		h.announce()
	}
}

// awaitConn returns the stream of a runner. One that is about to come is waited
// for: its runner shows as ACTIVE already.
func (h *Hub) awaitConn(ctx context.Context, r id.Runner) *conn {
	for {
		h.mu.Lock()
		s, coming, changed := h.sessions[r], h.opening[r] > 0, h.changed
		var c *conn
		if s != nil {
			c = s.conn
		}
		h.mu.Unlock()
		if c != nil || !coming {
			return c
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

// remove forgets a session if it still is the newest.
func (h *Hub) remove(s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.sessions[s.runner] == s {
		delete(h.sessions, s.runner)
	}
}

func (h *Hub) connOf(r id.Runner) *conn {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s := h.sessions[r]; s != nil {
		return s.conn
	}
	return nil
}
