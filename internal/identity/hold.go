package identity

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
)

// Hold returns a context that ends when the caller's token is revoked or
// expires, its owner is suspended or deleted, or what it may see has changed;
// context.Cause then says so. Streams live under it, and find in it what the
// caller is at any time. release must be called when the stream ends.
func (s *Service) Hold(ctx context.Context, c access.Caller) (held context.Context, release func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	one := &hold{cancel: cancel}
	one.caller.Store(&c)
	ctx = access.WithCallers(ctx, one.now)
	remove := s.holds.add(one)
	if !c.Anonymous() && s.cache.forgotten(c) {
		cancel(fault.New(fault.Unavailable, fault.Conflict, "What you may do, or your token, was changed while this stream was opened. Open it again.").WithRetryAfter(time.Second))
	}
	stopTimer := func() bool { return true }
	if !c.Expires.IsZero() {
		stopTimer = time.AfterFunc(time.Until(c.Expires), func() { cancel(expired(c, c.Expires)) }).Stop
	}
	return ctx, func() {
		stopTimer()
		remove()
		cancel(context.Canceled)
	}
}

// changeLimit bounds how long it may take to find out what has changed for those
// who have streams; for the rest it is taken for granted that something has.
const changeLimit = 5 * time.Second

// Changed makes a change of what subjects may do take effect at once: their
// cached checks are forgotten, and their streams go by what they are now. A
// stream whose caller sees something else than before is cut: it is opened
// again, and what it watches is listed. Changed is called after the commit.
//
// A subject is named, or a group that stands for all its members. When both are,
// or the group is gone, they left it, and left are the objects that it had
// roles on and those roles, as they were before.
func (s *Service) Changed(ctx context.Context, subject access.Subject, g id.Group, left []access.Object) {
	match := concerns(subject, g)
	s.cache.forget(match)
	// One at a time, so that what was read last is also what stays.
	s.holds.changing.Lock()
	defer s.holds.changing.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), changeLimit)
	defer cancel()
	for _, one := range s.holds.matching(match) {
		if !s.sameSight(ctx, one, g, left) {
			one.cancel(accessChanged())
		}
	}
}

// ChangedMuch is Changed for all members of a group that reached so much that
// nobody looks for what each of them sees now: their streams are cut.
func (s *Service) ChangedMuch(g id.Group) {
	match := concerns(access.Subject{}, g)
	s.cache.forget(match)
	s.holds.changing.Lock()
	defer s.holds.changing.Unlock()
	s.holds.cut(match, accessChanged())
}

// Regranting is called in the transaction that changes what role a group has on a
// resource, while the group is locked; what it returns is called after the
// commit, with the resource as it was and as it is. The streams of members who
// see something else of it now are cut.
//
// Those count who are members at either time: one who leaves in between has lost
// the sight with the role, if nothing is left of that when they leave.
func (s *Service) Regranting(g id.Group) (done func(was, is access.Object)) {
	match := concerns(access.Subject{}, g)
	before := map[*hold]access.Caller{}
	for _, one := range s.holds.matching(match) {
		before[one] = one.now()
	}
	return func(was, is access.Object) {
		for _, one := range s.holds.matching(match) {
			if _, known := before[one]; !known {
				before[one] = one.now()
			}
		}
		for one, caller := range before {
			if !access.SameSightOf(caller, one.now(), was, is) {
				one.cancel(accessChanged())
			}
		}
	}
}

// Shortened makes another end of a token take effect at once: streams that were
// opened with it know the one before, and are cut.
func (s *Service) Shortened(t id.Token) {
	match := func(c access.Caller) bool { return matches(c, t, access.Subject{}) }
	s.cache.forget(match)
	s.holds.cut(match, fault.New(fault.Unavailable, fault.AccessChanged,
		"The end of the token that this was opened with was changed. Open it again, to go on until then.").WithRetryAfter(time.Second))
}

// concerns matches a subject, or else the members of a group.
func concerns(subject access.Subject, g id.Group) func(access.Caller) bool {
	return func(c access.Caller) bool {
		if subject.ID != "" {
			return c.Subject == subject
		}
		return g != "" && c.In(g)
	}
}

func accessChanged() error {
	return fault.New(fault.Unavailable, fault.AccessChanged, "What you may see was changed. Open the stream again, and list again what you watch.").WithRetryAfter(time.Second)
}

// sameSight reads what the caller of a stream is now, by which the stream goes
// from here on, and tells whether it sees what it saw before. What cannot be
// found out counts as changed.
func (s *Service) sameSight(ctx context.Context, one *hold, g id.Group, left []access.Object) bool {
	before := one.now()
	after := before
	var err error
	if after.Standing, err = s.StandingOf(ctx, before.Organization, before.Subject); err != nil {
		return false
	}
	one.caller.Store(&after)
	var objects []access.Object
	for _, gone := range before.Groups {
		if after.In(gone) {
			continue
		}
		if gone != g {
			return false // another change took it away a moment ago, and knows what it had
		}
		objects = append(objects, left...)
	}
	for _, joined := range after.Groups {
		if before.In(joined) {
			continue
		}
		// Read after the stream goes by the new standing: what the group gets later is
		// an event that the stream has.
		more, all, err := s.store.Reached(ctx, joined)
		if err != nil || !all {
			return false
		}
		objects = append(objects, more...)
	}
	return access.SameSight(before, after, objects)
}

// Revoked makes the end of tokens take effect at once: their cached checks are
// forgotten and their streams cut. It is called after the commit. Either a
// token or a subject is named.
func (s *Service) Revoked(t id.Token, subject access.Subject) {
	s.revoke(t, subject, wasRevoked())
}

func wasRevoked() error { return refused(fault.UnknownToken, "The token was revoked.") }

// revoke is Revoked with the reason that the streams end with.
func (s *Service) revoke(t id.Token, subject access.Subject, cause error) {
	match := func(c access.Caller) bool { return matches(c, t, subject) }
	s.cache.forget(match)
	s.holds.cut(match, cause)
}

// Doubted is called in the place of Revoked or Changed when it is not known
// whether the change was made: cached checks are forgotten, and streams begin
// again with what is so.
func (s *Service) Doubted(t id.Token, subject access.Subject) {
	s.revoke(t, subject, inDoubt())
}

// DoubtedOf is Doubted for all members of a group.
func (s *Service) DoubtedOf(g id.Group) {
	match := concerns(access.Subject{}, g)
	s.cache.forget(match)
	s.holds.changing.Lock()
	defer s.holds.changing.Unlock()
	s.holds.cut(match, inDoubt())
}

func inDoubt() error {
	return fault.New(fault.Unavailable, fault.OutcomeUnknown,
		"It is not known whether your right to this stream was ended. Open it again to find out.").WithRetryAfter(time.Second)
}

// ended is Revoked, or Doubted, after a transaction that ended with err.
func (s *Service) ended(err error, t id.Token, subject access.Subject, cause error) {
	if err != nil {
		s.Doubted(t, subject)
		return
	}
	s.revoke(t, subject, cause)
}

func matches(c access.Caller, t id.Token, subject access.Subject) bool {
	return t != "" && c.Token == t || subject.ID != "" && (c.Subject == subject || c.Maker == subject)
}

// holds knows the streams that are open for each caller.
type holds struct {
	changing sync.Mutex // held while streams are given what their callers are now

	mu   sync.Mutex
	open map[*hold]struct{}
}

// hold is one stream. Its caller is what it is now.
type hold struct {
	caller atomic.Pointer[access.Caller]
	cancel context.CancelCauseFunc
}

func (h *hold) now() access.Caller { return *h.caller.Load() }

func newHolds() *holds { return &holds{open: map[*hold]struct{}{}} }

func (h *holds) add(one *hold) (remove func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.open[one] = struct{}{}
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.open, one)
	}
}

func (h *holds) matching(match func(access.Caller) bool) []*hold {
	h.mu.Lock()
	defer h.mu.Unlock()
	var found []*hold
	for one := range h.open {
		if match(one.now()) {
			found = append(found, one)
		}
	}
	return found
}

func (h *holds) cut(match func(access.Caller) bool, cause error) {
	for _, one := range h.matching(match) {
		one.cancel(cause)
	}
}
