package scmhost

import (
	"crypto/sha256"
	"sync"
	"time"
)

// maxSignIns is how many people may be signing in at a time.
const maxSignIns = 10_000

// signIns keeps the PKCE verifiers of people who are signing in. The zero value is
// empty.
type signIns struct {
	mu sync.Mutex
	// byState has hashes for keys, since states are long.
	byState map[[sha256.Size]byte]signIn
}

type signIn struct {
	verifier string
	ends     time.Time
}

// keep keeps the verifier of a state. When there are too many, whoever has been
// signing in for longest must start again.
func (s *signIns) keep(state, verifier string, life time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.byState) >= maxSignIns {
		s.makeRoom()
	}
	if s.byState == nil {
		s.byState = map[[sha256.Size]byte]signIn{}
	}
	s.byState[sha256.Sum256([]byte(state))] = signIn{verifier, time.Now().Add(life)}
}

// makeRoom forgets those whose time is over, or else the one whose time is over next.
func (s *signIns) makeRoom() {
	now := time.Now()
	var next [sha256.Size]byte
	var ends time.Time
	for state, in := range s.byState {
		switch {
		case !now.Before(in.ends):
			delete(s.byState, state)
		case ends.IsZero() || in.ends.Before(ends):
			next, ends = state, in.ends
		}
	}
	if len(s.byState) >= maxSignIns {
		delete(s.byState, next)
	}
}

// take returns the verifier of a state, once.
func (s *signIns) take(state string) (verifier string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := sha256.Sum256([]byte(state))
	in, ok := s.byState[key]
	delete(s.byState, key)
	return in.verifier, ok && time.Now().Before(in.ends)
}
