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
		return access.Caller{}, refused(fault.UnknownToken, unknown(kind))
	}
	if cred.Subject.Principal == access.PrincipalUser && cred.Status != StatusActive {
		return access.Caller{}, refusal(cred.Status)
	}
	if err := makerEnded(cred); err != nil {
		return access.Caller{}, err
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
		Token: cred.ID, Maker: cred.Maker(), ReadOnly: cred.ReadOnly, Expires: cred.ExpiresAt, Checked: before,
	}
	if c.Standing, err = standing(ctx, s.store, cred.Organization, cred.Subject, cred.Role); err != nil {
		return access.Caller{}, err
	}
	s.cache.put(key, c, now, before)
	s.used(cred.Record, now)
	return admit(c, now)
}

// unknown says of a token of some kind that there is none such, and what to do.
func unknown(kind token.Kind) string {
	switch kind {
	case token.Runner:
		return "The token of this runner is not known here: it was revoked, the runner was deleted, or it belongs to another control plane. \"muster runner token\" makes another one for a runner that there is."
	case token.ServiceAccount, token.ServiceAccountAccess:
		return "The token is not known here: it was revoked, its service account was deleted, or it belongs to another control plane. \"muster service-account token create\" makes another one."
	default:
		return "The token is not known here: it was revoked, its owner was deleted, or it belongs to another control plane. A member who has no other gets one from an organization admin, with \"muster member token\"."
	}
}

// refusal is what the tokens of a person get who is not active.
func refusal(st Status) error {
	if st == StatusSuspended {
		return refused(fault.SuspendedPrincipal, "The owner of this token is suspended. An organization admin can lift that with \"muster member resume\".")
	}
	return refused(fault.UnknownToken, "The owner of this token has left the organization.")
}

// makerEnded refuses a token that was made for a member by somebody who is
// suspended or gone, and who may have kept it.
func makerEnded(cred Credential) error {
	switch maker := cred.Maker(); {
	case maker.Principal == access.PrincipalUser && cred.CreatorStatus != StatusActive:
		return makerRefusal(cred.CreatorStatus)
	case maker.Principal == access.PrincipalServiceAccount && cred.CreatorSuspended:
		return makerRefusal(StatusLeft)
	default:
		return nil
	}
}

// makerRefusal is what the tokens get that a person made for members and who is
// not active.
func makerRefusal(st Status) error {
	const another = " Its owner gets another one from an organization admin, with \"muster member token\"."
	if st == StatusSuspended {
		return refused(fault.SuspendedPrincipal, "The admin who made this token for its owner is suspended, and the token is refused for as long."+another)
	}
	return refused(fault.UnknownToken, "The admin who made this token for its owner has left the organization, and the token ended with that."+another)
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

// standings is what standing reads, inside and outside of a transaction.
type standings interface {
	GroupsOf(ctx context.Context, o id.Organization, subject string) (Groups, error)
	Organization(ctx context.Context, o id.Organization) (Organization, bool, error)
}

// standing gathers what a subject is in its organization. role is the one that
// a user has of its own.
func standing(ctx context.Context, from standings, o id.Organization, subject access.Subject, role resource.Role) (access.Standing, error) {
	if subject.Principal == access.PrincipalRunner {
		return access.Standing{}, nil
	}
	if subject.Principal == access.PrincipalServiceAccount {
		role = resource.RoleOrgMember
	}
	groups, err := from.GroupsOf(ctx, o, subject.ID)
	if err != nil {
		return access.Standing{}, fault.Wrap(err, "reading the groups of the caller")
	}
	st := access.Standing{Groups: groups.IDs, Grants: append([]access.Grant{{Role: role}}, groups.Grants...)}
	if !st.Has(resource.RoleOrgAdmin) {
		return st, nil
	}
	org, _, err := from.Organization(ctx, o)
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
	return refused(fault.ExpiredToken, "The token expired at "+c.Expires.UTC().Format(time.RFC3339)+". "+renewal(c.Principal))
}

// renewal says how such a subject comes to a new token.
func renewal(p access.Principal) string {
	switch p {
	case access.PrincipalServiceAccount:
		return "Make a new one with \"muster service-account token create\"."
	case access.PrincipalRunner:
		return "Make a new one with \"muster runner token\"."
	default:
		return "With another token of yours that works, make a new one with \"muster pat create\"; without one, an organization admin makes it with \"muster member token\"."
	}
}

// cache remembers checked tokens by their hash.
type cache struct {
	mu      sync.RWMutex
	entries map[[32]byte]cached
	gen     uint64
	// forgot says whom the latest generations are about, each at gen modulo its
	// length.
	forgot [64]func(access.Caller) bool
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
	c.forgot[c.gen%uint64(len(c.forgot))] = match
	for k, e := range c.entries {
		if match(e.caller) {
			delete(c.entries, k)
		}
	}
}

// forgotten tells whether a caller may have changed, or lost its token, since it
// was checked.
func (c *cache) forgotten(caller access.Caller) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.gen-caller.Checked > uint64(len(c.forgot)) {
		return true
	}
	for gen := caller.Checked + 1; gen <= c.gen; gen++ {
		if c.forgot[gen%uint64(len(c.forgot))](caller) {
			return true
		}
	}
	return false
}
