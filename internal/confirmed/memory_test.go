package confirmed_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musterhq/muster/internal/audit"
	"github.com/musterhq/muster/internal/confirmed"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/id"
)

// memory is a store, and the machines that work on it.
type memory struct {
	mu      sync.Mutex
	state   *confirmed.State
	newest  time.Time
	entries []string
	doubted map[time.Time]time.Time
	tokens  []confirmed.Credential
	writes  int
	down    bool
}

func newMemory() *memory { return &memory{doubted: map[time.Time]time.Time{}} }

var errDown = errors.New("the database is down")

func (m *memory) Write(_ context.Context, fn func(confirmed.Tx) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down {
		return errDown
	}
	m.writes++
	return fn(tx{m})
}

func (m *memory) ConfirmedTime(ctx context.Context) (confirmed.State, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return tx{m}.ConfirmedTime(ctx)
}

func (m *memory) NewestAuditTime(context.Context) (time.Time, error) { return m.newest, nil }

type tx struct{ *memory }

func (m tx) ConfirmedTime(context.Context) (confirmed.State, bool, error) {
	if m.state == nil {
		return confirmed.State{}, false, nil
	}
	return *m.state, true, nil
}

func (m tx) InsertConfirmedTime(_ context.Context, s confirmed.State) error {
	if m.state == nil {
		s.Revision = 1
		m.state = &s
	}
	return nil
}

func (m tx) UpdateConfirmedTime(_ context.Context, s confirmed.State) (bool, error) {
	if s.Revision != m.state.Revision {
		return false, nil
	}
	s.Revision++
	m.state = &s
	return true, nil
}

func (m tx) PutDoubtedTime(_ context.Context, from, to time.Time) error {
	m.doubted[from] = to
	return nil
}

func (m tx) MadeInDoubt(context.Context, int) (made []confirmed.Credential, _ error) {
	for _, c := range m.tokens {
		for from, to := range m.doubted {
			if !c.MadeAt.Before(from) && !c.MadeAt.After(to) {
				made = append(made, c)
			}
		}
	}
	return made, nil
}

func (m tx) DeleteDoubtedTimes(context.Context) error {
	clear(m.doubted)
	return nil
}

func (tx) Operator(context.Context) (id.Organization, bool, error) { return "o", true, nil }
func (tx) Emit(event.Event)                                        {}

func (m tx) InsertAuditEntry(_ context.Context, e audit.Entry) error {
	m.entries = append(m.entries, e.Action)
	return nil
}

// machine is a control plane whose wall clock is off by a time that tests change.
type machine struct {
	*confirmed.Clock
	t   *testing.T
	log *bytes.Buffer
	mu  sync.Mutex
	off time.Duration
	// end stops the control plane in order, and kill at once.
	end, kill func()
}

// boot starts a control plane on m with a wall clock that is off.
func boot(t *testing.T, m *memory, off time.Duration) *machine {
	t.Helper()
	p := &machine{t: t, off: off, log: &bytes.Buffer{}}
	p.Clock = confirmed.New(confirmed.Config{Store: m, Wall: p.wall, Log: slog.New(slog.NewTextHandler(p.log, nil))})
	if err := p.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { p.Run(ctx); close(ended) }()
	p.end = func() { cancel(); <-ended }
	p.kill = func() {
		m.mu.Lock()
		m.down = true
		m.mu.Unlock()
		p.end()
		m.mu.Lock()
		m.down = false
		m.mu.Unlock()
	}
	t.Cleanup(p.end)
	return p
}

func (p *machine) wall() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Now().Round(0).Add(p.off)
}

// set makes the wall clock be off by so much.
func (p *machine) set(off time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.off = off
}

// sleep lets the machine run, and then says how far the confirmed time is behind
// the true one.
func (p *machine) sleep(d time.Duration) (behind time.Duration) {
	time.Sleep(d)
	synctest.Wait()
	s, _ := p.Status()
	return time.Since(s.At.Add(0)).Round(time.Minute)
}

func (p *machine) want(what string, removes bool) {
	p.t.Helper()
	if _, ok := p.Now(); ok != removes {
		s, wall := p.Status()
		p.t.Errorf("%s: something may be removed: %v, want %v; %+v at %v", what, ok, removes, s, wall)
	}
}
