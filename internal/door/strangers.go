package door

import (
	"container/list"
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
)

// strangers are the connections on which no token was proved yet. When there are
// too many, the one that has been there for longest goes: who has a token has
// shown it by then.
type strangers struct {
	most int

	mu sync.Mutex
	// all are the strangers, the oldest first.
	all  *list.List
	conn map[net.Conn]*stranger
}

type stranger struct {
	conn net.Conn
	// at is its place in the list; nil once it is no stranger any more.
	at *list.Element
	// known is set once it is no stranger; most requests need to know no more.
	known atomic.Bool
}

type strangerKey struct{}

func newStrangers(most int) *strangers {
	return &strangers{most: most, all: list.New(), conn: map[net.Conn]*stranger{}}
}

// Connected is http.Server.ConnContext: it notes a new connection. Those of
// proxies and of this host are nobody's in particular, and not counted.
func (d *Door) Connected(ctx context.Context, c net.Conn) context.Context {
	peer := peerOf(c.RemoteAddr().String())
	if !d.share(peer, true).IsValid() {
		return ctx
	}
	s, leaves := d.strangers.add(c)
	if leaves != nil {
		d.refusals.note(d.cfg.Log, connections)
		go func() { _ = leaves.Close() }() // it may wait for its peer to hear of that
	}
	return context.WithValue(ctx, strangerKey{}, s)
}

// State is http.Server.ConnState: it forgets connections that are gone.
func (d *Door) State(c net.Conn, state http.ConnState) {
	if state == http.StateClosed || state == http.StateHijacked {
		d.strangers.gone(c)
	}
}

func (s *strangers) add(c net.Conn) (added *stranger, leaves net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all.Len() >= s.most {
		oldest := s.all.Front().Value.(*stranger)
		s.remove(oldest)
		leaves = oldest.conn
	}
	added = &stranger{conn: c}
	added.at = s.all.PushBack(added)
	s.conn[c] = added
	return added, leaves
}

func (s *strangers) gone(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(s.conn[c])
}

// forget notes that a connection is no stranger's.
func (s *strangers) forget(one *stranger) {
	if one == nil || one.known.Swap(true) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(one)
}

// remove removes a stranger that is still there. The mutex is held.
func (s *strangers) remove(one *stranger) {
	if one == nil || one.at == nil {
		return
	}
	s.all.Remove(one.at)
	one.at = nil
	delete(s.conn, one.conn)
}

func (s *strangers) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all.Len()
}
