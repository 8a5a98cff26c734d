// Package credentials keeps host tokens usable.
//
// The control plane has them, sealed to the runner. Personal access tokens are
// used as they are. A token that was obtained with OAuth ends after a while; it is
// renewed before, once however many need it, and what comes is used at once. It
// is also handed over to the control plane, again and again until that says what
// became of it: a host may take the older refresh token no more, so a renewal
// that is lost signs somebody out.
//
// Two things tell whose values are newer, those here or the control plane's. Each
// sealed refresh token has a digest: a renewal counts while the control plane
// still has the one that it was made from. And the control plane counts the
// changes of a host token: what a question says of an older state means nothing.
//
// The package knows nothing of the link, and of hosts only that they renew
// tokens. Values are in memory only, and in no message.
package credentials

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/musterhq/muster/internal/agent/scmhost"
	"github.com/musterhq/muster/internal/agent/vault"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/scmurl"
	"github.com/musterhq/muster/internal/seal"
)

const (
	// maxKnown is how many host tokens are known at once; those of which nothing
	// is to be kept make room.
	maxKnown = 10_000
	// margin is how long before its end a token is renewed, or a tenth of its life
	// when that is less.
	margin = time.Minute
	// minAge is how old a renewed token must be to be renewed because a host refuses
	// it: another one would not help.
	minAge = time.Minute
)

// Host is a source code host with its OAuth application.
type Host struct {
	scmurl.Integration
	// ClientID is empty without OAuth.
	ClientID string
}

// Ref is a host token as the control plane describes it, without its values.
type Ref struct {
	ID string
	// Host is where it is good.
	Host Host
	// OAuth says that it was obtained with OAuth.
	OAuth bool
	// ExpiresAt is zero when that is not known or never.
	ExpiresAt time.Time
	// RefreshToken tells which refresh token the control plane has; zero for none.
	RefreshToken seal.Digest
	// Revision grows with every change of the host token.
	Revision int64
}

// Config is what a Manager works with.
type Config struct {
	// Secrets has what the control plane stores.
	Secrets *vault.Vault
	// Refresh renews a token; see scmhost.Hosts.
	Refresh func(ctx context.Context, i scmurl.Integration, c scmhost.Client, refreshToken string) (scmhost.Grant, error)
	// Seal seals to the runner's own key.
	Seal func(purpose string, plain []byte) (seal.Secret, error)
	// Sealed tells whether a secret is sealed to the key that Seal uses now.
	Sealed func(s seal.Secret) bool
	Log    *slog.Logger
}

// Manager gives host tokens to those who need them. It may be used by many at
// once.
type Manager struct {
	cfg Config
	// ctx ends with Close: a renewal outlives the question that needs it, and the
	// link.
	ctx     context.Context //nolint:containedctx // see above
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu       sync.Mutex
	known    map[string]*token
	unstored map[uint64]*unstored
	lastID   uint64
	// renewing counts the renewals that are under way.
	renewing int
	// moved is closed when there is something to hand over, or less to wait for.
	moved chan struct{}
}

// token is what is known of a host token.
type token struct {
	// revision is the newest that the control plane is known to have, and
	// refreshToken is that of the newest description.
	revision     int64
	refreshToken seal.Digest
	// own is what a renewal brought; nil while what the control plane has counts.
	own *own
	// refused is set when the host does not renew it, or the control plane does not
	// take what the host gave: its owner must sign in again.
	refused bool
	// renewing is nil unless it is being renewed, and unstored unless the control
	// plane is still to say what became of a renewal.
	renewing *attempt
	unstored *unstored
}

// own is a value that is newer than the control plane's.
type own struct {
	value                        []byte
	obtained, renewAt, expiresAt time.Time
	refreshable                  bool
}

// state is a token at a moment.
type state struct {
	own      *own
	revision int64 // of the token
	// value is empty when it is in the vault.
	value                         string
	obtained, renewAt, expiresAt  time.Time
	refreshable, refused, pending bool
}

// New makes a Manager, which Close ends.
func New(cfg Config) *Manager {
	m := &Manager{cfg: cfg, known: map[string]*token{}, unstored: map[uint64]*unstored{}, moved: make(chan struct{})}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	return m
}

// Close gives up what is under way, waits for its end, and forgets everything.
func (m *Manager) Close() {
	m.cancel()
	m.running.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range m.known {
		t.drop()
	}
	clear(m.known)
	clear(m.unstored)
}

// String keeps the values out of messages.
func (m *Manager) String() string { return "[credentials]" }

// GoString does the same for %#v.
func (m *Manager) GoString() string { return m.String() }

// LogValue does the same for logs.
func (m *Manager) LogValue() slog.Value { return slog.StringValue(m.String()) }

// Get returns the value of a host token, and renews it first when it is about to
// end.
//
// Errors: failed_precondition when its owner must sign in again; unavailable and
// deadline_exceeded when its value does not come, from the control plane or from
// the host.
func (m *Manager) Get(ctx context.Context, ref Ref) (scmhost.Credential, error) {
	s := m.look(ref)
	var failed error
	for failed == nil && s.due(time.Now()) {
		failed = m.renew(ctx, ref, s)
		s = m.look(ref)
	}
	switch {
	case s.refused:
		return scmhost.Credential{}, signInAgain(ref)
	case !s.expired(time.Now()):
		return m.value(ctx, ref, s)
	case failed != nil:
		return scmhost.Credential{}, failed
	case s.pending:
		return scmhost.Credential{}, fault.New(fault.Unavailable, fault.RunnerRefused,
			"Your sign-in to %s was renewed, and the control plane has not stored that yet. Try again soon.", ref.Host.Host).WithRetryAfter(firstPause)
	}
	return scmhost.Credential{}, signInAgain(ref)
}

// Replace returns what to use instead of a value that the host has refused,
// although it should not have ended yet: what somebody renewed meanwhile, or else
// what a renewal brings now. The errors are those of Get.
func (m *Manager) Replace(ctx context.Context, ref Ref, refused scmhost.Credential) (scmhost.Credential, error) {
	s := m.look(ref)
	if s.refused || !s.refreshable {
		return scmhost.Credential{}, signInAgain(ref)
	}
	value, err := m.value(ctx, ref, s)
	if err != nil || value.Token != refused.Token {
		return value, err
	}
	if s.pending || time.Since(s.obtained) < minAge {
		return scmhost.Credential{}, signInAgain(ref)
	}
	if err := m.renew(ctx, ref, s); err != nil {
		return scmhost.Credential{}, err
	}
	return m.Get(ctx, ref)
}

// Forget drops the values of host tokens that were changed or deleted. The names
// are those of secrets; see vault.Named. What a renewal brings that is under way is
// handed over and not used here, and one that is not stored yet is handed over
// once more: the answers tell whether they still count.
func (m *Manager) Forget(names ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, t := range m.known {
		switch {
		case !vault.Named(names, secretName(id, tokenPart)) && !vault.Named(names, secretName(id, refreshTokenPart)):
		case t.unstored != nil:
			t.unstored.due = time.Time{}
			m.move()
		case t.renewing != nil:
			t.renewing.forgotten = true
			t.drop()
		default:
			t.drop()
			delete(m.known, id)
		}
	}
}

// look returns what is known of a token, and takes over what is newer.
func (m *Manager) look(ref Ref) state {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.find(ref)
	s := state{own: t.own, revision: t.revision, refused: t.refused, pending: t.unstored != nil}
	switch {
	case t.own != nil:
		s.value, s.refreshable = string(t.own.value), t.own.refreshable
		s.obtained, s.renewAt, s.expiresAt = t.own.obtained, t.own.renewAt, t.own.expiresAt
	case ref.Revision < t.revision:
		// The description is outdated. The vault has something newer, of which nobody
		// has said yet when it ends.
	default:
		s.refreshable, s.expiresAt = ref.RefreshToken != seal.Digest{}, ref.ExpiresAt
		if !ref.ExpiresAt.IsZero() {
			s.renewAt = ref.ExpiresAt.Add(-margin)
		}
	}
	return s
}

// find returns what is known of a token, with what is newer in a description. The
// mutex is held.
func (m *Manager) find(ref Ref) *token {
	t := m.known[ref.ID]
	if t == nil {
		t = &token{}
		m.makeRoom()
		m.known[ref.ID] = t
	}
	if ref.Revision <= t.revision {
		return t
	}
	// What is in the vault may be older than this.
	m.cfg.Secrets.Forget(secretName(ref.ID, tokenPart), secretName(ref.ID, refreshTokenPart))
	if t.unstored == nil || t.unstored.From != ref.RefreshToken {
		t.drop()
		t.refused = false
	}
	t.revision, t.refreshToken = ref.Revision, ref.RefreshToken
	return t
}

// makeRoom forgets tokens when there are too many. The mutex is held.
func (m *Manager) makeRoom() {
	for id, t := range m.known {
		if len(m.known) < maxKnown {
			return
		}
		if t.renewing == nil && t.unstored == nil {
			t.drop()
			delete(m.known, id)
		}
	}
}

// value returns the value of a token, in the clear.
func (m *Manager) value(ctx context.Context, ref Ref, s state) (scmhost.Credential, error) {
	if s.value != "" {
		return scmhost.Credential{Token: s.value, OAuth: ref.OAuth}, nil
	}
	value, _, err := m.secret(ctx, ref.Host, secretName(ref.ID, tokenPart))
	return scmhost.Credential{Token: value, OAuth: ref.OAuth}, err
}

// drop wipes the value.
func (t *token) drop() {
	if t.own != nil {
		clear(t.own.value)
		t.own = nil
	}
}

// due tells whether it is time to renew.
func (s *state) due(now time.Time) bool {
	return s.refreshable && !s.refused && !s.pending && !s.renewAt.IsZero() && !now.Before(s.renewAt)
}

func (s *state) expired(now time.Time) bool {
	return !s.expiresAt.IsZero() && !now.Before(s.expiresAt)
}

func signInAgain(ref Ref) error {
	return fault.New(fault.FailedPrecondition, fault.SignInRequired, "Your sign-in to %s has ended. Sign in again.", ref.Host.Host)
}
