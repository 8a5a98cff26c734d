package identity

import (
	"context"
	"sync"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/token"
)

// cacheAge bounds how long another replica may go on accepting a token that was
// revoked here.
const cacheAge = 2 * time.Second

// Authenticate turns a bearer token into a caller. Every refusal is
// unauthenticated, and says what is wrong with the token without repeating it.
func (s *Service) Authenticate(ctx context.Context, bearer string) (access.Caller, error) {
	kind, ok := token.Recognize(bearer)
	if !ok {
		return access.Caller{}, refused(fault.MalformedToken, "The token is mistyped or cut off: its checksum does not match. Copy it again as a whole.")
	}
	if kind == token.Exchange {
		return access.Caller{}, refused(fault.MalformedToken, "This is an exchange token, which admits a runner once: give it to \"muster join\". API calls need a personal access token.")
	}
	key := [32]byte(token.Hash(bearer))
	now := time.Now()
	before := s.cache.generation()
	if c, ok := s.cache.get(key, now); ok {
		c.Checked = before
		return admit(c, now)
	}
	cred, found, err := s.store.Credential(ctx, key[:])
	if err != nil {
		return access.Caller{}, fault.Wrap(err, "checking the token")
	}
	if !found || cred.Kind == token.Exchange {
		return access.Caller{}, refused(fault.UnknownToken, "The token is not known here: it was revoked, its owner was deleted, or it belongs to another control plane.")
	}
	if cred.Subject.Principal == access.PrincipalUser && cred.Status != StatusActive {
		return access.Caller{}, refusal(cred.Status)
	}
	if cred.Subject.Principal == access.PrincipalServiceAccount {
		if err := accountEnded(cred, now); err != nil {
			return access.Caller{}, err
		}
		if cred.ExpiresAt.IsZero() || cred.ValidUntil.Before(cred.ExpiresAt) {
			cred.ExpiresAt = cred.ValidUntil
		}
	}
	if !cred.Ended(now) {
		// A runner that connects in time takes its token, which then lives on.
		cred.ExpiresAt = cred.Taken().ExpiresAt
	}
	c := access.Caller{
		Subject: cred.Subject, Organization: cred.Organization,
		Token: cred.ID, ReadOnly: cred.ReadOnly, Expires: cred.ExpiresAt, Checked: before,
	}
	if c.Standing, err = s.standing(ctx, cred.Organization, cred.Subject, cred.Role); err != nil {
		return access.Caller{}, err
	}
	s.cache.put(key, c, now, before)
	s.used(cred.Record, now)
	return admit(c, now)
}

// refusal is what the tokens of a person get who is not active.
func refusal(st Status) error {
	if st == StatusSuspended {
		return refused(fault.SuspendedPrincipal, "The owner of this token is suspended. An organization admin can lift that with \"muster member resume\".")
	}
	return refused(fault.UnknownToken, "The owner of this token has left the organization.")
}

// accountEnded refuses the token of a service account that is suspended or has
// come to its end.
func accountEnded(cred Credential, now time.Time) error {
	switch {
	case cred.Suspended:
		return refused(fault.SuspendedPrincipal, "The service account of this token was deleted. Make another one with \"muster service-account create\".")
	case !now.Before(cred.ValidUntil):
		return refused(fault.ExpiredToken, "The service account of this token was valid until "+cred.ValidUntil.UTC().Format(time.RFC3339)+". Make another one with \"muster service-account create\".")
	default:
		return nil
	}
}

// standing gathers what a subject is in its organization. role is the one that
// a user has of its own.
func (s *Service) standing(ctx context.Context, o id.Organization, subject access.Subject, role resource.Role) (access.Standing, error) {
	if subject.Principal == access.PrincipalRunner {
		return access.Standing{}, nil
	}
	if subject.Principal == access.PrincipalServiceAccount {
		role = resource.RoleOrgMember
	}
	groups, err := s.store.GroupsOf(ctx, o, subject.ID)
	if err != nil {
		return access.Standing{}, fault.Wrap(err, "reading the groups of the caller")
	}
	st := access.Standing{Groups: groups.IDs, Grants: append([]access.Grant{{Role: role}}, groups.Grants...)}
	if !st.Has(resource.RoleOrgAdmin) {
		return st, nil
	}
	org, _, err := s.store.Organization(ctx, o)
	if err != nil {
		return access.Standing{}, fault.Wrap(err, "reading the organization of the caller")
	}
	if org.Operates {
		st.Grants = append(st.Grants, access.Grant{Role: resource.RoleOperator})
	}
	return st, nil
}

// admit lets a caller in whose token has not expired.
func admit(c access.Caller, now time.Time) (access.Caller, error) {
	if err := expired(c, now); err != nil {
		return access.Caller{}, err
	}
	return c, nil
}

func refused(r fault.Reason, message string) error {
	return fault.New(fault.Unauthenticated, r, "%s", message)
}

func expired(c access.Caller, now time.Time) error {
	if c.Expires.IsZero() || now.Before(c.Expires) {
		return nil
	}
	return refused(fault.ExpiredToken, "The token expired at "+c.Expires.UTC().Format(time.RFC3339)+". Make a new one with \""+maker(c.Principal)+"\".")
}

// maker is the command that makes a token for such a subject.
func maker(p access.Principal) string {
	switch p {
	case access.PrincipalServiceAccount:
		return "muster service-account token create"
	case access.PrincipalRunner:
		return "muster runner token"
	default:
		return "muster pat create"
	}
}

// Hold returns a context that ends when the caller's token is revoked or
// expires, or its owner is suspended or deleted; context.Cause then says so.
// Streams live under it. release must be called when the stream ends.
func (s *Service) Hold(ctx context.Context, c access.Caller) (held context.Context, release func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	remove := s.holds.add(c, cancel)
	if s.cache.generation() != c.Checked {
		// Something was revoked between the check and now, perhaps this token.
		cancel(fault.New(fault.Unavailable, fault.Conflict, "Tokens were revoked while this stream was opened. Open it again.").WithRetryAfter(time.Second))
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

// Changed makes a change of what subjects may do take effect at once: their
// cached checks are forgotten, and their streams are cut, which reconnect and
// list again. It is called after the commit. Either a subject or a group is
// named; a group stands for all its members.
func (s *Service) Changed(subject access.Subject, g id.Group) {
	match := func(c access.Caller) bool { return subject.ID != "" && c.Subject == subject || g != "" && c.In(g) }
	s.cache.forget(match)
	s.holds.cut(match, fault.New(fault.Unavailable, fault.AccessChanged, "What you may do was changed. Reconnect, and list again what you watch.").WithRetryAfter(time.Second))
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

// Doubted is called in the place of Revoked when it is not known whether the
// change was made: cached checks are forgotten, and streams begin again with
// what is so.
func (s *Service) Doubted(t id.Token, subject access.Subject) {
	s.revoke(t, subject, fault.New(fault.Unavailable, fault.OutcomeUnknown,
		"It is not known whether your right to this stream was ended. Open it again to find out.").WithRetryAfter(time.Second))
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
	return t != "" && c.Token == t || subject.ID != "" && c.Subject == subject
}

// cache remembers checked tokens by their hash.
type cache struct {
	mu      sync.RWMutex
	entries map[[32]byte]cached
	gen     uint64
}

type cached struct {
	caller access.Caller
	at     time.Time
}

// cacheSize bounds the cache; it is emptied when it is full.
const cacheSize = 1 << 16

func newCache() *cache { return &cache{entries: map[[32]byte]cached{}} }

func (c *cache) get(key [32]byte, now time.Time) (access.Caller, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	e, ok := c.entries[key]
	return e.caller, ok && now.Sub(e.at) < cacheAge
}

func (c *cache) generation() uint64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.gen
}

// put stores a check that was read from the database at generation before. If
// anything was revoked since, the check may be older than that and is dropped.
func (c *cache) put(key [32]byte, caller access.Caller, at time.Time, before uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gen != before {
		return
	}
	if len(c.entries) >= cacheSize {
		clear(c.entries)
	}
	c.entries[key] = cached{caller, at}
}

func (c *cache) forget(match func(access.Caller) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gen++
	for k, e := range c.entries {
		if match(e.caller) {
			delete(c.entries, k)
		}
	}
}

// holds knows the streams that are open for each caller.
type holds struct {
	mu   sync.Mutex
	open map[*hold]struct{}
}

type hold struct {
	caller access.Caller
	cancel context.CancelCauseFunc
}

func newHolds() *holds { return &holds{open: map[*hold]struct{}{}} }

func (h *holds) add(c access.Caller, cancel context.CancelCauseFunc) (remove func()) {
	one := &hold{c, cancel}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.open[one] = struct{}{}
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.open, one)
	}
}

func (h *holds) cut(match func(access.Caller) bool, cause error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for one := range h.open {
		if match(one.caller) {
			one.cancel(cause)
		}
	}
}
