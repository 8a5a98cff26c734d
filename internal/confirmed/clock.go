package confirmed

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/musterhq/muster/internal/fault"
)

const (
	// BeatEvery is how often the two clocks are read.
	BeatEvery = 5 * time.Second
	// storeEvery is how often what was lived through is stored. What is lost of it
	// makes removal that much later.
	storeEvery = time.Minute
	// lastStore is how long storing may take at the end.
	lastStore = 2 * time.Second
)

// Config has what a Clock needs.
type Config struct {
	Store Store
	// Wall reads the wall clock; nil reads that of the machine.
	Wall func() time.Time
	Log  *slog.Logger
}

// Clock is the confirmed time as a process knows it. Several processes may keep
// that of one store: what they live through at once counts once.
type Clock struct {
	cfg Config

	// storing is held by who changes what follows.
	storing sync.Mutex
	told    told

	mu sync.Mutex
	// state is base, which is what is stored, with what was lived through since.
	state, base State
	storedAt    time.Time
	// wall is the last reading of the wall clock, and read that of both.
	wall, read time.Time
	// farSince is what the wall clock showed when it was first seen to be far off;
	// zero while it is not.
	farSince time.Time
}

// New makes a clock; Load must be called before anything else.
func New(cfg Config) *Clock {
	if cfg.Wall == nil {
		cfg.Wall = func() time.Time { return time.Now().Round(0) }
	}
	return &Clock{cfg: cfg}
}

// Load reads the confirmed time, or begins it, and compares the wall clock with
// it. A store that is older than that time begins with its newest audit entry.
func (c *Clock) Load(ctx context.Context) error {
	c.storing.Lock()
	defer c.storing.Unlock()
	_, found, err := c.cfg.Store.ConfirmedTime(ctx)
	if err == nil && !found {
		err = c.begin(ctx)
	}
	if err == nil {
		err = c.reload(ctx)
	}
	if err == nil {
		err = c.beat(ctx)
	}
	return fault.Wrap(err, "reading the confirmed time")
}

func (c *Clock) begin(ctx context.Context) error {
	first, err := c.cfg.Store.NewestAuditTime(ctx)
	if err != nil {
		return err
	}
	if first.IsZero() {
		first = c.cfg.Wall()
	}
	return c.cfg.Store.Write(ctx, func(tx Tx) error { return tx.InsertConfirmedTime(ctx, State{At: first}) })
}

// reload takes over what is stored, and drops what was lived through and is not:
// whoever stored something meanwhile lived through it, too.
func (c *Clock) reload(ctx context.Context) error {
	stored, found, err := c.cfg.Store.ConfirmedTime(ctx)
	if err != nil || !found {
		return fault.Lost(found, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state, c.base = stored, stored
	c.wall, c.read = c.cfg.Wall(), time.Now()
	c.storedAt = c.read
	return nil
}

// Run beats until ctx ends, and then stores what was lived through.
func (c *Clock) Run(ctx context.Context) {
	tick := time.NewTicker(BeatEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastStore)
			defer cancel()
			if err := c.finish(last); err != nil {
				c.cfg.Log.Warn("the confirmed time could not be stored; what is due by age goes a little later for that", "error", err)
			}
			return
		case <-tick.C:
		}
		beat, cancel := context.WithTimeout(ctx, BeatEvery)
		err := c.Beat(beat)
		cancel()
		if err != nil && ctx.Err() == nil {
			c.cfg.Log.Warn("the confirmed time could not be stored; trying again", "error", err)
		}
	}
}

// Beat reads the clocks, and stores what came of it once a minute, or at once
// when something is not as it was.
func (c *Clock) Beat(ctx context.Context) error {
	c.storing.Lock()
	defer c.storing.Unlock()
	return c.beat(ctx)
}

func (c *Clock) beat(ctx context.Context) error {
	c.live()
	if time.Since(c.storedAt) < storeEvery && c.state.Ahead == c.base.Ahead && c.state.Doubted == c.base.Doubted && c.far() == c.base.Alarmed {
		return nil
	}
	return c.store(ctx)
}

func (c *Clock) finish(ctx context.Context) error {
	c.storing.Lock()
	defer c.storing.Unlock()
	c.live()
	return c.store(ctx)
}

// live lives through the time since the last reading.
func (c *Clock) live() {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, wall, read := c.now()
	leapt := (wall.Sub(c.wall) - read.Sub(c.read)).Abs() > Behind
	c.state, c.wall, c.read = s, wall, read
	switch {
	case !far(wall.Sub(s.At)):
		c.farSince = time.Time{}
	case c.farSince.IsZero() || leapt:
		c.farSince, c.storedAt = wall, time.Time{} // it is stored at once
	}
}

// now returns the state as it is now, and a reading. mu is held.
func (c *Clock) now() (s State, wall, read time.Time) {
	wall, read = c.cfg.Wall(), time.Now()
	s = c.state
	s.live(max(0, min(wall.Sub(c.wall), read.Sub(c.read))))
	s.judge(wall)
	return s, wall, read
}

func (c *Clock) far() bool { return !c.farSince.IsZero() }

// Now is the time that counts for removal by age; false means that nothing may be
// removed by age at present. It is never later than the wall clock.
func (c *Clock) Now() (time.Time, bool) {
	s, wall := c.Status()
	if wall.Before(s.At) {
		return wall, !s.Doubted
	}
	return s.At, !s.Doubted
}

// Status is the state as it is now, and what the wall clock shows.
func (c *Clock) Status() (s State, wall time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, wall, _ = c.now()
	return s, wall
}
