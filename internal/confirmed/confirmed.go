// Package confirmed keeps the confirmed time, by which things are removed by age.
//
// The clock of a machine may be wrong, and what is removed is gone for good. So
// the store keeps a time of its own, which moves forward by time that a control
// plane has lived through: per beat by what the wall clock and the monotonic clock
// advanced, whichever is less. Whatever a clock shows at a start, it does not push
// that time. While the two are apart, nothing is removed.
//
// It decides about removal and nothing else: whether a credential is valid is
// judged by the clock of the process, so that nobody is locked out by this.
package confirmed

import "time"

const (
	// Before is how far a wall clock may be ahead of the confirmed time, as after a
	// restart.
	Before = time.Hour
	// Behind is how far it may be behind it, as after a correction.
	Behind = 5 * time.Minute
	// Settle is the running time after which a clock that was doubted is believed.
	Settle = 24 * time.Hour
	// Far is the difference that people are told of. It also bounds how far the
	// confirmed time follows a clock each time that it has settled.
	Far = 7 * 24 * time.Hour
)

// State is what the store keeps.
type State struct {
	// At is the confirmed time.
	At time.Time
	// Ahead is how far the wall clock was ahead of it when Watched began. Watched is
	// the running time since then in which the clock was not set back.
	Ahead   time.Duration
	Watched time.Duration
	// Doubted says that nothing may be removed by age.
	Doubted bool
	// Alarmed says that people were told that the clock is far off.
	Alarmed bool
	// Revision grows with every change of what is stored.
	Revision int64
}

// near tells whether a clock that is so far ahead agrees with the confirmed time.
func near(ahead time.Duration) bool { return -Behind <= ahead && ahead <= Before }

// live moves the confirmed time by what was lived through.
func (s *State) live(lived time.Duration) {
	s.At = s.At.Add(lived)
	s.Watched += lived
}

// judge compares a wall clock with the confirmed time.
//
// A clock that leaps forward is doubted until it has settled. What it leapt while
// it was doubted already does not begin that anew: a control plane that is off
// every night leaps every morning. The confirmed time follows only what was there
// all the while.
func (s *State) judge(wall time.Time) {
	ahead := wall.Sub(s.At)
	switch {
	case ahead < s.Ahead-Behind: // it was set back: one of the two was wrong
		s.watch(ahead, s.Doubted || !near(ahead))
	case s.Watched >= Settle:
		follow := min(s.Ahead, Far)
		s.At = s.At.Add(follow)
		ahead -= follow
		s.Ahead, s.Watched = s.Ahead-follow, 0
		if s.Doubted || ahead <= s.limit() {
			s.watch(ahead, ahead > Far)
		}
	}
	wasOff := s.Doubted && s.Ahead > Before
	isRight := s.Ahead < -Behind && near(ahead)
	if ahead > s.limit() && !wasOff || isRight {
		s.watch(ahead, s.Doubted || !near(ahead))
	}
}

// limit is how far the clock may be ahead without another leap.
func (s *State) limit() time.Duration {
	if near(s.Ahead) {
		return Before
	}
	return s.Ahead + Before
}

func (s *State) watch(ahead time.Duration, doubted bool) {
	s.Ahead, s.Watched, s.Doubted = ahead, 0, doubted
}

// Paused tells whether nothing is removed by age, by a clock that shows wall, and
// for how much running time that goes on if it stays right.
func (s State) Paused(wall time.Time) (bool, time.Duration) {
	s.judge(wall)
	left := Settle - s.Watched
	for far := s.Ahead - Far; far > Far; far -= Far { // which it follows by each time
		left += Settle
	}
	return s.Doubted, left
}

// far tells whether people have to be told of a difference.
func far(ahead time.Duration) bool { return ahead.Abs() > Far }
