package auditlog_test

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/musterhq/muster/internal/audit"
	"github.com/musterhq/muster/internal/audit/chain"
	"github.com/musterhq/muster/internal/auditlog"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/id"
)

// memory is a database of one process. A transaction that fails leaves what it
// did; the tests here have none that does.
type memory struct {
	mu          sync.Mutex
	waiting     []audit.Entry
	entries     map[id.Organization][]chain.Entry
	chains      map[id.Organization]auditlog.Chain
	checkpoints map[id.Organization][]chain.Checkpoint
	retention   []auditlog.Retention
	down        bool
	hangs       bool // until the call is given up
	asked       int  // how often it was asked for what waits
}

func newMemory() *memory {
	return &memory{
		entries: map[id.Organization][]chain.Entry{}, chains: map[id.Organization]auditlog.Chain{},
		checkpoints: map[id.Organization][]chain.Checkpoint{},
	}
}

var errDown = errors.New("the database is down")

func (m *memory) lock() (unlock func()) {
	m.mu.Lock()
	return m.mu.Unlock
}

func (m *memory) Write(_ context.Context, fn func(auditlog.Tx) error) error {
	if m.isDown() {
		return errDown
	}
	return fn(m)
}

func (m *memory) isDown() bool {
	defer m.lock()()
	return m.down
}

func (m *memory) questions() int {
	defer m.lock()()
	return m.asked
}

func (m *memory) setDown(down bool) {
	defer m.lock()()
	m.down = down
}

func (m *memory) Emit(event.Event) {}

func (m *memory) InsertAuditEntry(_ context.Context, e audit.Entry) error {
	defer m.lock()()
	m.waiting = append(m.waiting, e)
	return nil
}

func (m *memory) AuditEntries(context.Context, auditlog.Query) ([]audit.Entry, error) {
	return nil, nil
}

func (m *memory) AuditEntry(context.Context, id.Organization, string) (audit.Entry, bool, error) {
	return audit.Entry{}, false, nil
}

func (m *memory) AuditChain(_ context.Context, o id.Organization) (auditlog.Chain, bool, error) {
	defer m.lock()()
	c, ok := m.chains[o]
	return c, ok, nil
}

func (m *memory) UnchainedOrganization(ctx context.Context, behind id.Organization) (id.Organization, bool, error) {
	if m.hangs {
		<-ctx.Done()
		return "", false, ctx.Err()
	}
	defer m.lock()()
	if m.asked++; m.down {
		return "", false, errDown
	}
	var found []id.Organization
	for _, e := range m.waiting {
		if e.Organization > behind {
			found = append(found, e.Organization)
		}
	}
	if len(found) == 0 {
		return "", false, nil
	}
	return slices.Min(found), true, nil
}

func (m *memory) UnsignedChains(context.Context) ([]auditlog.Chain, error) {
	defer m.lock()()
	var unsigned []auditlog.Chain
	for o, c := range m.chains {
		if !slices.ContainsFunc(m.checkpoints[o], func(p chain.Checkpoint) bool { return p.Sequence == c.Sequence }) {
			unsigned = append(unsigned, c)
		}
	}
	return unsigned, nil
}

func (m *memory) ChainedEntries(_ context.Context, o id.Organization, behind int64, limit int) ([]chain.Entry, error) {
	defer m.lock()()
	rows := slices.DeleteFunc(slices.Clone(m.entries[o]), func(e chain.Entry) bool { return e.Sequence <= behind })
	return rows[:min(len(rows), limit)], nil
}

func (m *memory) Checkpoints(_ context.Context, o id.Organization, from, to int64) ([]chain.Checkpoint, error) {
	defer m.lock()()
	return slices.DeleteFunc(slices.Clone(m.checkpoints[o]), func(c chain.Checkpoint) bool { return c.Sequence < from || c.Sequence > to }), nil
}

func (m *memory) AuditRetention(context.Context) ([]auditlog.Retention, error) {
	defer m.lock()()
	return slices.Clone(m.retention), nil
}

func (m *memory) InsertAuditChain(_ context.Context, o id.Organization) error {
	defer m.lock()()
	if _, ok := m.chains[o]; !ok {
		m.chains[o] = auditlog.Chain{Organization: o}
	}
	return nil
}

func (m *memory) UnchainedEntries(_ context.Context, o id.Organization, limit int) ([]audit.Entry, error) {
	defer m.lock()()
	rows := slices.DeleteFunc(slices.Clone(m.waiting), func(e audit.Entry) bool { return e.Organization != o })
	slices.SortStableFunc(rows, func(a, b audit.Entry) int { return a.CreatedAt.Compare(b.CreatedAt) })
	return rows[:min(len(rows), limit)], nil
}

func (m *memory) AdvanceAuditChain(_ context.Context, o id.Organization, from, to int64, h chain.Hash) (bool, error) {
	defer m.lock()()
	c := m.chains[o]
	if c.Sequence != from {
		return false, nil
	}
	c.Sequence, c.Hash = to, h
	m.chains[o] = c
	return true, nil
}

func (m *memory) PlaceAuditEntry(_ context.Context, e chain.Entry) (bool, error) {
	defer m.lock()()
	i := slices.IndexFunc(m.waiting, func(w audit.Entry) bool { return w.ID == e.ID })
	if i < 0 {
		return false, nil
	}
	o := m.waiting[i].Organization
	m.waiting = slices.Delete(m.waiting, i, i+1)
	m.entries[o] = append(m.entries[o], e)
	return true, nil
}

func (m *memory) InsertCheckpoint(_ context.Context, o id.Organization, c chain.Checkpoint) error {
	defer m.lock()()
	m.checkpoints[o] = append(m.checkpoints[o], c)
	slices.SortFunc(m.checkpoints[o], func(a, b chain.Checkpoint) int { return cmp.Compare(a.Sequence, b.Sequence) })
	return nil
}

func (m *memory) RaiseAuditFloor(_ context.Context, o id.Organization, from, to int64, h chain.Hash) (bool, error) {
	defer m.lock()()
	c := m.chains[o]
	if c.FloorSequence != from {
		return false, nil
	}
	c.FloorSequence, c.FloorHash = to, h
	m.chains[o] = c
	return true, nil
}

func (m *memory) DeleteChainedEntries(_ context.Context, o id.Organization, through int64) error {
	defer m.lock()()
	m.entries[o] = slices.DeleteFunc(m.entries[o], func(e chain.Entry) bool { return e.Sequence <= through })
	m.checkpoints[o] = slices.DeleteFunc(m.checkpoints[o], func(c chain.Checkpoint) bool { return c.Sequence <= through })
	return nil
}
