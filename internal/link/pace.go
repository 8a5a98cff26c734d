package link

import (
	"sync"
	"time"

	"github.com/musterhq/muster/internal/id"
)

// Each delivery of a secret leaves an audit entry, so a runner gets so many a
// second, and so many at once when it was quiet before: one that was broken into
// must not bury what happened in the audit log.
const (
	deliveriesPerSecond = 10
	deliveriesAtOnce    = 200
)

// paces are the token buckets of runners. They outlive links, so that nothing is
// gained by connecting anew. The zero paces are ready.
type paces struct {
	mu sync.Mutex
	// full is when the bucket of a runner will be full. A runner that is not in
	// the map has a full one.
	full map[id.Runner]time.Time
}

// take takes one delivery out of the bucket of a runner. When there is none, it
// returns how long to wait for the next.
func (p *paces) take(r id.Runner, now time.Time) (wait time.Duration) {
	const each, most = time.Second / deliveriesPerSecond, deliveriesAtOnce * time.Second / deliveriesPerSecond
	p.mu.Lock()
	defer p.mu.Unlock()
	full := p.full[r]
	if full.Before(now) {
		full = now
	}
	if full = full.Add(each); full.Sub(now) > most {
		return full.Sub(now) - most
	}
	if p.full == nil {
		p.full = map[id.Runner]time.Time{}
	}
	p.full[r] = full
	return 0
}

// forget drops the buckets that are full.
func (p *paces) forget(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for r, full := range p.full {
		if !full.After(now) {
			delete(p.full, r)
		}
	}
}
