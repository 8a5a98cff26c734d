package app

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/lease"
)

const (
	// checkEvery is how often the database is read to see whether calls can be
	// answered.
	checkEvery = 10 * time.Second
	// checkTime is how long that may take.
	checkTime = 5 * time.Second
	// checkAge is when the last check says nothing any more: the next one hangs.
	checkAge = 30 * time.Second
)

// health is how well this replica is. It is judged by its own lease beat, which
// writes, and by a check that reads; whoever asks gets what these last found.
type health struct {
	check func(ctx context.Context) error
	held  func() bool
	log   *slog.Logger
	// soon asks for a check now.
	soon chan struct{}

	mu      sync.Mutex
	checked time.Time
	// reading and writing are why the database cannot be read or written.
	reading, writing error
	told             string // what was last logged of it
}

func newHealth(check func(context.Context) error, held func() bool, log *slog.Logger) *health {
	return &health{check: check, held: held, log: log, soon: make(chan struct{}, 1), checked: time.Now()}
}

// run checks until ctx ends.
func (h *health) run(ctx context.Context) {
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	for {
		check, cancel := context.WithTimeout(ctx, checkTime)
		err := h.check(check)
		cancel()
		if ctx.Err() != nil {
			return
		}
		h.mu.Lock()
		h.reading, h.checked = err, time.Now()
		h.mu.Unlock()
		h.tell(ctx)
		select {
		case <-ctx.Done():
			return
		case <-h.soon:
		case <-tick.C:
		}
	}
}

// beaten notes how the beat of the lease went.
func (h *health) beaten(err error) {
	if errors.Is(err, lease.ErrLost) {
		err = nil // it was written that another one took over
	}
	h.mu.Lock()
	news := (err == nil) != (h.writing == nil)
	h.writing = err
	h.mu.Unlock()
	if news {
		// Whether only writing fails, nobody knows before this.
		select {
		case h.soon <- struct{}{}:
		default:
		}
	}
}

// ready tells whether calls can be answered.
func (h *health) ready() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case time.Since(h.checked) > checkAge:
		return fault.New(fault.Unavailable, fault.StorageUnavailable, "The database has not answered for a while.")
	case h.reading != nil:
		return fault.New(fault.Unavailable, fault.StorageUnavailable, "The database cannot be read: %s", fault.From(h.reading).Message)
	case h.writing == nil && !h.held():
		return fault.New(fault.Unavailable, fault.StorageUnavailable, "The lease of this control plane is lost, and not yet renewed.")
	}
	return nil
}

// degraded is why calls that change something are refused, while others are
// answered; empty when they are not.
func (h *health) degraded() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.writing == nil {
		return ""
	}
	return fault.From(h.writing).Message
}

// tell logs how it is when that has changed.
func (h *health) tell(ctx context.Context) {
	now, level := "", slog.LevelInfo
	if err := h.ready(); err != nil {
		now, level = "calls cannot be answered: "+fault.From(err).Message, slog.LevelError
	} else if why := h.degraded(); why != "" {
		now, level = "degraded: "+why, slog.LevelWarn
	}
	if now == h.told {
		return
	}
	h.told = now
	if now == "" {
		now = "all calls can be answered again"
	}
	h.log.LogAttrs(ctx, level, now)
}
