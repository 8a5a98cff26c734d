package sqlstore

import (
	"sync"

	"github.com/musterhq/muster/internal/event"
)

// publisher releases the events of transactions that commit side by side, in
// the order of their commits.
//
// A transaction takes its place just before it commits, when it still holds the
// rows that it changed. One that changes the same rows later can only get as
// far after that commit, and so stands behind it.
type publisher struct {
	publish func([]event.Event)

	mu   sync.Mutex
	last <-chan struct{} // closed when the newest place was left
}

// place is a turn to publish.
type place struct {
	publish func([]event.Event)
	before  <-chan struct{}
	left    chan<- struct{}
}

func newPublisher(publish func([]event.Event)) *publisher {
	none := make(chan struct{})
	close(none)
	return &publisher{publish: publish, last: none}
}

// enter takes the next place. It must be left.
func (p *publisher) enter() place {
	left := make(chan struct{})
	p.mu.Lock()
	defer p.mu.Unlock()
	pl := place{publish: p.publish, before: p.last, left: left}
	p.last = left
	return pl
}

// leave publishes when all earlier places were left.
func (p place) leave(events []event.Event) {
	defer close(p.left)
	<-p.before
	if len(events) > 0 {
		p.publish(events)
	}
}
