package fleet

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/change"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/limit"
	"github.com/musterhq/muster/internal/page"
	"github.com/musterhq/muster/internal/seal"
)

// Links is what this package asks of the links to connected runners. The
// methods return at once, and do nothing for a runner that is not connected.
type Links interface {
	// ConfigurationChanged tells the runner to fetch its configuration anew.
	ConfigurationChanged(r id.Runner)
	// Delete asks the runner to finish and to say so until the deadline.
	Delete(r id.Runner, deadline time.Time)
	// Cut ends the link of a runner that is gone.
	Cut(r id.Runner, cause error)
}

// Asker asks connected runners and waits for what they answer. An error says
// that the runner is not connected, did not answer in time, or could not do what
// it was asked for.
type Asker interface {
	// RotateToken makes the runner take a new access token. The exchange token for
	// it is sealed to the runner.
	RotateToken(ctx context.Context, r id.Runner, exchangeToken seal.Secret) error
}

// Revoker forgets tokens that were deleted; see identity.Service.Revoked.
type Revoker interface {
	Revoked(t id.Token, subject access.Subject)
	// Doubted is called in its place when it is not known whether the change was
	// made.
	Doubted(t id.Token, subject access.Subject)
}

// Service is the domain of runners.
type Service struct {
	store   Store
	links   Links
	asker   Asker
	revoker Revoker
	// reconnect is Config.Reconnect.
	reconnect func(id.Token)
	key       *seal.Key
	log       *slog.Logger
	// publicURL is where runners and people reach the control plane; log URLs
	// start with it.
	publicURL string
	sign      func(r id.Runner, person string) (string, error)
	deletions deletions
	limits    limit.Limits
	room      *room
	// endingSoon is what AccessEndingSoon tells.
	endingSoon atomic.Int64
}

// Config has what a Service needs.
type Config struct {
	Store Store
	Links Links
	// Asker is needed by RotateToken only.
	Asker   Asker
	Revoker Revoker
	// Reconnect makes what was opened with a token begin again, with the token as it
	// is now; see identity.Service.Shortened. ExpireToken only needs it.
	Reconnect func(id.Token)
	// Key keeps secrets that wait for a runner's first public key.
	Key       *seal.Key
	Log       *slog.Logger
	PublicURL string
	// Sign makes a logs token; see package logtoken.
	Sign func(r id.Runner, person string) (string, error)
	// Limits are the default ones when they are zero.
	Limits limit.Limits
}

// New makes the service. Run must run for deletions to come to an end, and
// WatchAccess for ends of access tokens to be told of.
func New(c Config) *Service {
	if c.Limits == (limit.Limits{}) {
		c.Limits = limit.Default()
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Service{
		store: c.Store, links: c.Links, asker: c.Asker, revoker: c.Revoker, reconnect: c.Reconnect, key: c.Key, log: c.Log, publicURL: c.PublicURL,
		sign: c.Sign, deletions: newDeletions(), limits: c.Limits, room: newRoom(c.Limits.Runners),
	}
}

// NewRunner is what a caller asks of Create.
type NewRunner struct {
	Name      string
	Kind      Kind
	Provider  Provider
	ManagerID string
	Variant   Variant
	// DesiredPhase is kept and returned; it does not make a runner active.
	DesiredPhase  Phase
	Configuration Configuration
	// MetricsPassword is the plain password of Configuration.Metrics.
	MetricsPassword string
}

// Create registers a runner. The exchange token is returned once.
func (s *Service) Create(ctx context.Context, c access.Caller, n NewRunner) (Runner, string, error) {
	kind, err := kindOf(n.Kind, n.Provider, n.ManagerID)
	if err != nil {
		return Runner{}, "", err
	}
	now := time.Now().Truncate(time.Microsecond) // as it is stored and read back
	r := Runner{
		ID: id.Runner(id.New()), Organization: c.Organization, Name: n.Name, Kind: kind, Provider: n.Provider,
		ManagerID: n.ManagerID, Creator: c.Subject, Variant: n.Variant, DesiredPhase: n.DesiredPhase,
		Configuration: n.Configuration, ConfigurationRevision: 1,
		StatusAt: now, CreatedAt: now, UpdatedAt: now, Revision: 1,
	}
	defer s.key.Hold()() // until the password is stored
	if err := s.setMetricsPassword(&r, n.MetricsPassword); err != nil {
		return Runner{}, "", err
	}
	secret, rec := exchangeToken(&r, c)
	err = s.store.Write(ctx, func(tx Tx) error {
		if err := s.room.take(ctx, tx, c.Organization); err != nil {
			return err
		}
		if err := tx.InsertRunner(ctx, r); err != nil {
			return err
		}
		if err := tx.InsertToken(ctx, rec); err != nil {
			return err
		}
		return record(ctx, tx, &r, c.Subject, "runner.create", event.Created)
	})
	if err != nil {
		return Runner{}, "", fault.Wrap(err, "creating the runner")
	}
	return r, secret, nil
}

// kindOf checks kind and provider, of which a client sets one, and deduces the kind.
func kindOf(k Kind, p Provider, manager string) (Kind, error) {
	switch {
	case k != 0 && p != 0:
		return 0, fault.Invalid("kind", "set either kind or provider, not both; the kind follows from the provider")
	case k == KindLocalConfiguration:
		return 0, fault.Invalid("kind", "runners of kind RUNNER_KIND_LOCAL_CONFIGURATION are made by the system, one per organization")
	case k == 0 && p == 0:
		return 0, fault.Invalid("provider", "is required; RUNNER_PROVIDER_LINUX_HOST is a runner on a Linux host")
	case p == ProviderManaged && manager == "":
		return 0, fault.Invalid("runner_manager_id", "is required for RUNNER_PROVIDER_MANAGED")
	case p != ProviderManaged && manager != "":
		return 0, fault.Invalid("runner_manager_id", "is for RUNNER_PROVIDER_MANAGED only")
	case k != 0:
		return k, nil
	case p == ProviderLinuxHost, p == ProviderDesktopMac:
		return KindLocal, nil
	default:
		return KindRemote, nil
	}
}

// record writes down what was done to a runner.
func record(ctx context.Context, tx Tx, r *Runner, actor access.Subject, action string, op event.Operation) error {
	return change.Write(ctx, tx, change.Record{Actor: actor, Action: action, Object: r.Object(), Creator: r.Creator, Event: op})
}

// recordCredential writes down that a credential of a runner was handed out.
func recordCredential(ctx context.Context, tx Tx, r *Runner, actor access.Subject, action string) error {
	return change.Write(ctx, tx, change.Record{Actor: actor, Action: action, Object: r.Object(), Creator: r.Creator, Credential: true})
}

// emitStatus tells watchers that the status of a runner has changed.
func emitStatus(tx Tx, r *Runner) {
	tx.Emit(event.Event{Operation: event.StatusUpdated, Object: r.Object(), Creator: r.Creator})
}

// Check returns nil when a runner that was looked up is there and the caller may
// do something to it, or to what belongs to it.
func Check(c access.Caller, p access.Permission, r *Runner, found bool, want id.Runner) error {
	if !found {
		return fault.Missing("runner", string(want))
	}
	return access.Check(c, p, r.Object())
}

// CheckStays returns nil when a runner is not on its way out: what is being
// deleted takes nothing new, and nothing that belongs to it is changed.
func CheckStays(r *Runner) error {
	if r.DeletingAt.IsZero() {
		return nil
	}
	return fault.New(fault.FailedPrecondition, fault.RunnerGone, "The runner %q is being deleted, so nothing can be added to it or changed.", r.Name)
}

// Get returns a runner that the caller may see.
func (s *Service) Get(ctx context.Context, c access.Caller, want id.Runner) (Runner, error) {
	r, found, err := s.store.Runner(ctx, want)
	if err != nil {
		return Runner{}, fault.Wrap(err, "reading the runner")
	}
	return r, Check(c, access.RunnerRead, &r, found, want)
}

// List returns the runners that the caller may see, oldest first.
func (s *Service) List(ctx context.Context, c access.Caller, q Query, p page.Request) ([]Runner, string, error) {
	q.Organization, q.Reach = c.Organization, access.ReachOf(c)
	slices.Sort(q.Creators)
	slices.Sort(q.Kinds)
	slices.Sort(q.Providers)
	var err error
	binding := fmt.Sprintf("runners\x00%s\x00%v\x00%v\x00%v\x00%v", q.Organization, c.ID, q.Creators, q.Kinds, q.Providers)
	if q.Page, err = page.Parse(p, binding); err != nil {
		return nil, "", err
	}
	rows, err := s.store.Runners(ctx, q)
	if err != nil {
		return nil, "", fault.Wrap(err, "listing runners")
	}
	rows, next := page.Cut(q.Page, rows, func(r Runner) page.Cursor {
		return page.Cursor{Key: page.TimeKey(r.CreatedAt), ID: string(r.ID)}
	})
	return rows, next, nil
}
