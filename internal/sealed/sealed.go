// Package sealed knows what is sealed to a runner, wherever it is stored: in the
// runner's own configuration, in integrations and in host tokens. It delivers
// secrets to the runner that they are sealed to, and tells people which ones a
// runner cannot open any more.
//
// It never sees a secret in the clear, and knows nothing of the wire, of SQL, and
// of how secrets come to be stored.
package sealed

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/change"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/seal"
)

// Item is a secret that is sealed to a runner.
type Item struct {
	// Type and ID are what the secret belongs to: the runner itself, an
	// integration, or a host token.
	Type resource.Type
	ID   string
	// Part tells the secrets of one thing apart: "client_secret", "header/NAME".
	Part string
	// About says more of what it belongs to, for people: a host, an endpoint;
	// may be empty.
	About string
	// Owner is whose host token it is; zero for other types.
	Owner  access.Subject
	Sealed seal.Secret
}

// kinds are the first parts of names.
var kinds = map[resource.Type]string{
	resource.Runner:                  "runner",
	resource.RunnerSCMIntegration:    "scm_integration",
	resource.HostAuthenticationToken: "host_authentication_token",
	resource.RunnerLLMIntegration:    "llm_integration",
}

// Name is what the secret is called, and the purpose that it is sealed for.
func (i *Item) Name() string { return seal.Name(kinds[i.Type], i.ID, i.Part) }

// parts say in words what the parts of things are.
var parts = map[string]string{
	"metrics.password":  "the metrics password",
	"honeycomb_api_key": "the honeycomb API key",
	"client_secret":     "the client secret",
	"token":             "the token",
	"refresh_token":     "the refresh token",
	"api_key":           "the API key",
}

// Description says what the secret is: "the client secret of the integration
// with github.com".
func (i *Item) Description() string {
	what, ok := parts[i.Part]
	if name, header := strings.CutPrefix(i.Part, "header/"); header {
		what, ok = "the request header "+name, true
	}
	if !ok {
		what = i.Part
	}
	switch i.Type {
	case resource.RunnerSCMIntegration:
		return what + " of the integration with " + i.About
	case resource.HostAuthenticationToken:
		return what + " of " + i.Owner.Principal.String() + " " + i.Owner.ID + " for " + i.About
	case resource.RunnerLLMIntegration:
		if i.About != "" {
			return what + " of the LLM integration at " + i.About
		}
		return what + " of the LLM integration " + i.ID
	default:
		return what + " of the runner"
	}
}

// object is what the secret belongs to, as permissions and the audit log see it.
func (i *Item) object(r *fleet.Runner) access.Object {
	if i.Type == resource.Runner {
		return r.Object()
	}
	o := r.Object().Of(i.Type, i.ID)
	o.Owner = i.Owner
	return o
}

// Store is what this package needs of a database.
type Store interface {
	Runner(ctx context.Context, r id.Runner) (fleet.Runner, bool, error)
	// Sealed returns the secrets of what belongs to a runner, in no particular
	// order. Those of its own configuration are not among them.
	Sealed(ctx context.Context, r id.Runner) ([]Item, error)
	// Write runs fn in one transaction; see identity.Store.
	Write(ctx context.Context, fn func(Tx) error) error
}

// Tx is what this package needs of a transaction.
type Tx interface {
	change.Tx
	Runner(ctx context.Context, r id.Runner) (fleet.Runner, bool, error)
	// SealedOf returns the secrets of one thing that belongs to a runner; none
	// when there is no such thing.
	SealedOf(ctx context.Context, r id.Runner, resourceID string) ([]Item, error)
}

// Asker asks connected runners; see fleet.Asker.
type Asker interface {
	// CheckSecrets makes the runner open secrets, at most MaxNames of them, and
	// returns the names of those that it could not open.
	CheckSecrets(ctx context.Context, r id.Runner, names []string) ([]string, error)
}

// MaxNames is how many secrets a runner is asked about at once: as many as it
// can fetch while the question waits, at the pace that it gets them.
const MaxNames = 250

// Service is the domain of what is sealed to runners.
type Service struct {
	store Store
	asker Asker
}

// New makes the service.
func New(store Store, asker Asker) *Service { return &Service{store: store, asker: asker} }

// own are the secrets of a runner's own configuration.
func own(r *fleet.Runner) []Item {
	items := []Item{{Type: resource.Runner, ID: string(r.ID), Part: "honeycomb_api_key", Sealed: r.Configuration.HoneycombAPIKey}}
	if m := r.Configuration.Metrics; m != nil {
		items = append(items, Item{Type: resource.Runner, ID: string(r.ID), Part: "metrics.password", Sealed: m.Password})
	}
	return items
}

// none tells whether there is nothing to deliver: no secret, or one that waits
// for the runner's first key.
func none(i Item) bool { return len(i.Sealed) == 0 || i.Sealed.Wrapped() }

// List returns everything that is sealed to a runner, in the order of types,
// ids and parts. The ids of a type are in the order of creation.
func (s *Service) List(ctx context.Context, want id.Runner) ([]Item, error) {
	r, found, err := s.store.Runner(ctx, want)
	if err != nil {
		return nil, fault.Wrap(err, "reading the runner")
	}
	if !found {
		return nil, fault.Missing("runner", string(want))
	}
	return s.list(ctx, &r)
}

func (s *Service) list(ctx context.Context, r *fleet.Runner) ([]Item, error) {
	items, err := s.store.Sealed(ctx, r.ID)
	if err != nil {
		return nil, fault.Wrap(err, "listing what is sealed to a runner")
	}
	items = slices.DeleteFunc(append(own(r), items...), none)
	slices.SortFunc(items, func(a, b Item) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Part, b.Part))
	})
	return items, nil
}

// Stale returns the secrets that are sealed to a key of the runner other than
// the one in use. They must be set again.
func (s *Service) Stale(ctx context.Context, c access.Caller, want id.Runner) ([]Item, error) {
	r, items, err := s.checked(ctx, c, want)
	return slices.DeleteFunc(items, func(i Item) bool { return i.Sealed.SealedTo(r.PublicKey) }), err
}

// checked lists what is sealed to a runner that the caller may look after.
func (s *Service) checked(ctx context.Context, c access.Caller, want id.Runner) (fleet.Runner, []Item, error) {
	r, found, err := s.store.Runner(ctx, want)
	if err != nil {
		return r, nil, fault.Wrap(err, "reading the runner")
	}
	if err := fleet.Check(c, access.RunnerKeys, &r, found, want); err != nil {
		return r, nil, err
	}
	items, err := s.list(ctx, &r)
	return r, items, err
}

// Deliver returns a secret to the runner that it is sealed to, the caller, and
// leaves an audit entry. The error is not_found for a name that means nothing
// sealed to this runner.
func (s *Service) Deliver(ctx context.Context, c access.Caller, name string) (seal.Secret, error) {
	var secret seal.Secret
	err := s.store.Write(ctx, func(tx Tx) error {
		r, found, err := tx.Runner(ctx, id.Runner(c.ID))
		if err != nil {
			return err
		}
		if err := fleet.Check(c, access.RunnerLink, &r, found, id.Runner(c.ID)); err != nil {
			return err
		}
		item, err := find(ctx, tx, &r, name)
		if err != nil {
			return err
		}
		secret = item.Sealed
		return change.Write(ctx, tx, change.Record{Actor: c.Subject, Action: "secret.deliver", Object: item.object(&r), Credential: true})
	})
	if err != nil {
		return nil, fault.Wrap(err, "delivering a secret")
	}
	return secret, nil
}

// find looks a secret of a runner up by its name.
func find(ctx context.Context, tx Tx, r *fleet.Runner, name string) (Item, error) {
	missing := fault.New(fault.NotFound, fault.ReasonNotFound, "Nothing of that name is sealed to this runner. It may have been deleted.")
	kind, rest, _ := strings.Cut(name, "/")
	resourceID, _, ok := strings.Cut(rest, "/")
	if !ok || !id.Valid(resourceID) {
		return Item{}, missing
	}
	items := own(r)
	if kind != kinds[resource.Runner] {
		var err error
		if items, err = tx.SealedOf(ctx, r.ID, resourceID); err != nil {
			return Item{}, err
		}
	}
	i := slices.IndexFunc(items, func(i Item) bool { return i.Name() == name && !none(i) })
	if i < 0 {
		return Item{}, missing
	}
	return items[i], nil
}

// Check asks a connected runner to open everything that is sealed to it. It
// returns how many secrets those were, and the ones that it could not open.
func (s *Service) Check(ctx context.Context, c access.Caller, want id.Runner) (checked int, unreadable []Item, err error) {
	r, items, err := s.checked(ctx, c, want)
	if err != nil {
		return 0, nil, err
	}
	err = s.store.Write(ctx, func(tx Tx) error {
		return change.Write(ctx, tx, change.Record{Actor: c.Subject, Action: "runner.secrets.check", Object: r.Object(), Credential: true})
	})
	if err != nil {
		return 0, nil, fault.Wrap(err, "checking the secrets of a runner")
	}
	chunks := slices.Collect(slices.Chunk(items, MaxNames))
	if len(chunks) == 0 {
		chunks = [][]Item{nil} // it must be connected, also to say that it was asked about nothing
	}
	for _, chunk := range chunks {
		byName := make(map[string]Item, len(chunk))
		names := make([]string, len(chunk))
		for i := range chunk {
			names[i] = chunk[i].Name()
			byName[names[i]] = chunk[i]
		}
		failed, err := s.asker.CheckSecrets(ctx, want, names)
		if err != nil {
			return 0, nil, err
		}
		for _, name := range failed {
			// A name that was not asked about, or comes twice, counts for nothing.
			if item, ok := byName[name]; ok {
				unreadable = append(unreadable, item)
				delete(byName, name)
			}
		}
	}
	return len(items), unreadable, nil
}
