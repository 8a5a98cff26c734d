package fleet

import (
	"context"
	"sync"
	"time"

	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/limit"
)

// room knows for a moment how many more runners an organization may have, since
// counting them costs more than making one. Close to the limit each is counted,
// one creation after the other.
type room struct {
	most int64

	mu   sync.Mutex
	free map[id.Organization]free
}

type free struct {
	runners int64
	until   time.Time
}

const (
	// roomTime is how long a count is good for. Others may create meanwhile; so only
	// one part in roomShare of what was free is handed out in that time.
	roomTime  = 250 * time.Millisecond
	roomShare = 16
	// closeTo is how near to the limit each runner is counted.
	closeTo = 1000
)

func newRoom(most int64) *room { return &room{most: most, free: map[id.Organization]free{}} }

// take refuses a runner for which there is no room.
func (m *room) take(ctx context.Context, tx Tx, o id.Organization) error {
	if m.known(o) {
		return nil
	}
	if err := tx.LockOrganization(ctx, o); err != nil {
		return err
	}
	n, err := tx.CountRunners(ctx, o)
	if err != nil {
		return err
	}
	if n >= m.most {
		return limit.Reached("The organization has %d runners, and may have %d. Delete those that are not needed first; an operator can raise the limit with --max-runners.", n, m.most)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.free, o)
	if left := m.most - n; left > closeTo {
		m.free[o] = free{runners: left / roomShare, until: time.Now().Add(roomTime)}
	}
	return nil
}

// known tells whether there is room without counting.
func (m *room) known(o id.Organization) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.free[o]
	if f.runners <= 0 || !time.Now().Before(f.until) {
		return false
	}
	f.runners--
	m.free[o] = f
	return true
}
