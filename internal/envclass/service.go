package envclass

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/change"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/page"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/runnerschema"
)

// Service is the domain of environment classes.
type Service struct {
	store Store
	parse func([]byte) (runnerschema.Schema, error)
}

// New makes the service. parse reads a schema in the form in which
// fleet.Runner.Schema has it; no bytes are the zero Schema.
func New(store Store, parse func([]byte) (runnerschema.Schema, error)) *Service {
	return &Service{store: store, parse: parse}
}

// Change is what a caller asks of Update. A nil field leaves things as they are.
type Change struct {
	DisplayName *string
	Description *string
	Enabled     *bool
}

// Create adds a class to a runner and returns its id. The class is enabled.
func (s *Service) Create(ctx context.Context, c access.Caller, runner id.Runner, d Draft) (string, error) {
	now := time.Now().Truncate(time.Microsecond) // as it is stored and read back
	class := Class{
		ID: id.New(), Organization: c.Organization, Runner: runner, DisplayName: d.DisplayName, Description: d.Description,
		Configuration: d.Configuration, Enabled: true, CreatedAt: now, UpdatedAt: now, Revision: 1,
	}
	err := s.store.Write(ctx, func(tx Tx) error {
		// Before it is read, so that a deletion of the runner takes the class along.
		if err := tx.LockRunner(ctx, runner); err != nil {
			return err
		}
		r, found, err := tx.Runner(ctx, runner)
		if err != nil {
			return err
		}
		if err := fleet.Check(c, access.ConfigurationWrite, &r, found, runner); err != nil {
			return err
		}
		if err := fleet.CheckStays(&r); err != nil {
			return err
		}
		wrong, err := s.check(&r, d)
		if err != nil {
			return err
		}
		if err := wrong.err(); err != nil {
			return err
		}
		if err := tx.InsertEnvironmentClass(ctx, class); err != nil {
			return err
		}
		return record(ctx, tx, c, &class, &r, "environment_class.create", event.Created)
	})
	if err != nil {
		return "", fault.Wrap(err, "creating the environment class")
	}
	return class.ID, nil
}

// Get returns a class of a runner that the caller may see, enabled or not.
func (s *Service) Get(ctx context.Context, c access.Caller, want string) (Class, error) {
	class, _, err := find(ctx, s.store, c, access.ConfigurationRead, want)
	return class, fault.Wrap(err, "reading the environment class")
}

// find reads a class, and its runner, that the caller may do something to.
func find(ctx context.Context, from reader, c access.Caller, p access.Permission, want string) (Class, fleet.Runner, error) {
	class, found, err := from.EnvironmentClass(ctx, want)
	if err != nil {
		return class, fleet.Runner{}, err
	}
	var r fleet.Runner
	if found {
		if r, found, err = from.Runner(ctx, class.Runner); err != nil {
			return class, r, err
		}
	}
	if !found {
		return class, r, fault.Missing(resource.EnvironmentClass.Words(), want)
	}
	return class, r, access.Check(c, p, class.object(&r))
}

// Update renames, describes, enables or disables a class. What exists of it is
// not touched.
func (s *Service) Update(ctx context.Context, c access.Caller, want string, ch Change) error {
	err := s.store.Write(ctx, func(tx Tx) error {
		class, r, err := find(ctx, tx, c, access.ConfigurationWrite, want)
		if err != nil {
			return err
		}
		set(&class.DisplayName, ch.DisplayName)
		set(&class.Description, ch.Description)
		set(&class.Enabled, ch.Enabled)
		wrong := Errors{DisplayName: textProblem(class.DisplayName, maxDisplayName), Description: textProblem(class.Description, maxDescription)}
		if err := wrong.err(); err != nil {
			return err
		}
		class.UpdatedAt = time.Now()
		ok, err := tx.UpdateEnvironmentClass(ctx, class)
		if err != nil {
			return err
		}
		if !ok {
			return fault.ErrLost
		}
		return record(ctx, tx, c, &class, &r, "environment_class.update", event.Updated)
	})
	return fault.Wrap(err, "updating the environment class")
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// record writes down what was done to a class.
func record(ctx context.Context, tx Tx, c access.Caller, class *Class, r *fleet.Runner, action string, op event.Operation) error {
	return change.Write(ctx, tx, change.Record{Actor: c.Subject, Action: action, Object: class.object(r), Event: op})
}

// Filter is what a caller asks of List; see Query.
type Filter struct {
	Runners   []id.Runner
	Enabled   *bool
	Kinds     []fleet.Kind
	Providers []fleet.Provider
	// Usable selects the classes that the caller can make environments of.
	Usable *bool
}

// List returns the classes of the runners that the caller may see, oldest first.
func (s *Service) List(ctx context.Context, c access.Caller, f Filter, p page.Request) ([]Class, string, error) {
	q := Query{
		Organization: c.Organization, Reach: access.ReachOf(c), Enabled: f.Enabled, Usable: f.Usable, Use: useOf(c),
		Runners:   slices.Sorted(slices.Values(f.Runners)),
		Kinds:     slices.Sorted(slices.Values(f.Kinds)),
		Providers: slices.Sorted(slices.Values(f.Providers)),
	}
	binding := fmt.Sprintf("environment_classes\x00%s\x00%s\x00%v\x00%v\x00%v\x00%s\x00%s",
		q.Organization, c.ID, q.Runners, q.Kinds, q.Providers, choice(q.Enabled), choice(q.Usable))
	var err error
	if q.Page, err = page.Parse(p, binding); err != nil {
		return nil, "", err
	}
	rows, err := s.store.EnvironmentClasses(ctx, q)
	if err != nil {
		return nil, "", fault.Wrap(err, "listing environment classes")
	}
	rows, next := page.Cut(q.Page, rows, func(class Class) page.Cursor {
		return page.Cursor{Key: page.TimeKey(class.CreatedAt), ID: class.ID}
	})
	return rows, next, nil
}

// choice is a filter by yes or no, as a text.
func choice(b *bool) string {
	if b == nil {
		return "any"
	}
	return fmt.Sprint(*b)
}

// useOf says which runners a caller may use. It agrees with access.Check for
// RunnerUse.
func useOf(c access.Caller) Use {
	if c.Principal == access.PrincipalRunner {
		return Use{}
	}
	return Use{
		All:     slices.ContainsFunc(c.Grants, func(g access.Grant) bool { return access.Allows(g.Role, access.RunnerUse) }),
		Subject: c.ID, Roles: access.RolesAllowing(resource.Runner, access.RunnerUse),
	}
}

// Runner returns a runner whose configuration the caller may read, with the
// schema that it last published.
func (s *Service) Runner(ctx context.Context, c access.Caller, want id.Runner) (fleet.Runner, error) {
	r, found, err := s.store.Runner(ctx, want)
	if err != nil {
		return fleet.Runner{}, fault.Wrap(err, "reading the runner")
	}
	return r, fleet.Check(c, access.ConfigurationRead, &r, found, want)
}
