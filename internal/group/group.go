// Package group is the domain of groups, their members and the roles that
// groups have on resources: all that decides who may do what, as far as it is
// data. What a role allows is for package access to say.
//
// It knows nothing of the wire and nothing of SQL, and of the resources that
// roles are on only what package access sees of them.
package group

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/change"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/limit"
	"github.com/musterhq/muster/internal/page"
	"github.com/musterhq/muster/internal/resource"
)

// Group is a set of users and service accounts.
type Group struct {
	ID           id.Group
	Organization id.Organization
	// Name is unique in the organization.
	Name        string
	Description string
	// Direct is the only member of a group that exists to share something with
	// that one subject; zero for other groups.
	Direct access.Subject
	// Members is how many members there are.
	Members   int32
	CreatedAt time.Time
	UpdatedAt time.Time
	// Revision guards against lost updates of name and description.
	Revision int64
	// Grants are the roles that groups have on this group.
	Grants []access.Grant
}

// Object is the group as permissions see it.
func (g *Group) Object() access.Object {
	return access.Object{Type: resource.Group, ID: string(g.ID), Organization: g.Organization, Name: g.Name, Grants: g.Grants}
}

// isDirect tells whether the group exists to share something with one subject.
func (g *Group) isDirect() bool { return g.Direct.ID != "" }

// directPrefix begins the names of groups that exist to share something with
// one subject, and no other's.
const directPrefix = "direct-share-"

// Identities is what this package asks of package identity.
type Identities interface {
	// Changed is called after the commit of what changes who a subject, or every
	// member of a group, is in the organization; see identity.Service.Changed.
	Changed(ctx context.Context, subject access.Subject, g id.Group, left []access.Object)
	// ChangedMuch is Changed for the members of a group that is gone and reached more
	// than is looked at.
	ChangedMuch(g id.Group)
	// Regranting is called in the transaction that changes a role of a group on a
	// resource, and what it returns after the commit, with the resource as it was
	// and as it is.
	Regranting(g id.Group) (done func(was, is access.Object))
	// Doubted and DoubtedOf are called in its place when it is not known whether
	// the commit was made.
	Doubted(t id.Token, subject access.Subject)
	DoubtedOf(g id.Group)
	// StandingOf returns what a subject is in an organization, whether or not its
	// tokens are accepted.
	StandingOf(ctx context.Context, o id.Organization, subject access.Subject) (access.Standing, error)
}

// Service is the domain of groups.
type Service struct {
	store      Store
	identities Identities
	limits     limit.Limits
}

// New makes the service.
func New(store Store, identities Identities) *Service {
	return &Service{store: store, identities: identities, limits: limit.Default()}
}

// SetLimits replaces the default limits. It is called before anything else.
func (s *Service) SetLimits(l limit.Limits) { s.limits = l }

// Create makes an empty group.
func (s *Service) Create(ctx context.Context, c access.Caller, o id.Organization, name, description string) (Group, error) {
	if o != c.Organization {
		return Group{}, fault.Missing("organization", string(o))
	}
	if err := access.Check(c, access.GroupCreate, access.OrganizationObject(o)); err != nil {
		return Group{}, err
	}
	if err := checkName(name); err != nil {
		return Group{}, err
	}
	now := time.Now().Truncate(time.Microsecond) // as it is stored and read back
	g := Group{ID: id.Group(id.New()), Organization: o, Name: name, Description: description, CreatedAt: now, UpdatedAt: now, Revision: 1}
	err := s.store.Write(ctx, func(tx Tx) error {
		if err := tx.LockOrganization(ctx, o); err != nil {
			return err
		}
		n, err := tx.CountGroups(ctx, o)
		if err != nil {
			return err
		}
		if n >= s.limits.Groups {
			return limit.Reached("The organization has %d groups, and may have %d. Delete those that are not needed first; an operator can raise the limit with --max-groups.", n, s.limits.Groups)
		}
		if err := nameIsFree(ctx, tx, g); err != nil {
			return err
		}
		return insert(ctx, tx, c, &g)
	})
	if err != nil {
		return Group{}, fault.Wrap(err, "creating the group")
	}
	return g, nil
}

func insert(ctx context.Context, tx Tx, c access.Caller, g *Group) error {
	if err := tx.InsertGroup(ctx, *g); err != nil {
		return err
	}
	return change.Write(ctx, tx, change.Record{Actor: c.Subject, Action: "group.create", Object: g.Object(), Creator: c.Subject, Event: event.Created})
}

func checkName(name string) error {
	if strings.HasPrefix(name, directPrefix) {
		return fault.Invalid("name", "names that begin with %q are for groups that the control plane makes", directPrefix)
	}
	return nil
}

func nameIsFree(ctx context.Context, tx Tx, g Group) error {
	other, taken, err := tx.GroupByName(ctx, g.Organization, g.Name)
	if err == nil && taken && other.ID != g.ID {
		err = fault.New(fault.AlreadyExists, fault.AlreadyThere, "There is a group %q already (%s). Names of groups are unique in an organization.", g.Name, other.ID)
	}
	return err
}

// Get returns a group of the caller's organization.
func (s *Service) Get(ctx context.Context, c access.Caller, want id.Group) (Group, error) {
	g, found, err := s.store.Group(ctx, c.Organization, want)
	if err != nil {
		return Group{}, fault.Wrap(err, "reading the group")
	}
	return g, check(c, access.GroupRead, &g, found, string(want))
}

// GetByName returns the group with that name.
func (s *Service) GetByName(ctx context.Context, c access.Caller, name string) (Group, error) {
	g, found, err := s.store.GroupByName(ctx, c.Organization, name)
	if err != nil {
		return Group{}, fault.Wrap(err, "reading the group")
	}
	return g, check(c, access.GroupRead, &g, found, name)
}

// check returns nil when a group that was looked up is there and the caller may
// do something to it.
func check(c access.Caller, p access.Permission, g *Group, found bool, want string) error {
	if !found {
		return fault.Missing("group", want)
	}
	return access.Check(c, p, g.Object())
}

// List returns groups of the caller's organization, oldest first.
func (s *Service) List(ctx context.Context, c access.Caller, q Query, r page.Request) ([]Group, string, error) {
	if err := access.Check(c, access.GroupRead, access.OrganizationObject(c.Organization)); err != nil {
		return nil, "", err
	}
	q.Organization = c.Organization
	slices.Sort(q.IDs)
	direct := "any"
	if q.Direct != nil {
		direct = fmt.Sprint(*q.Direct)
	}
	var err error
	binding := fmt.Sprintf("groups\x00%s\x00%s\x00%q\x00%v\x00%s\x00%v\x00%d\x00%s", q.Organization, c.ID, q.Search, q.IDs, direct, q.SystemManaged, q.WithoutType, q.WithoutResource)
	if q.Page, err = page.Parse(r, binding); err != nil {
		return nil, "", err
	}
	if q.SystemManaged {
		return nil, "", nil
	}
	rows, err := s.store.Groups(ctx, q)
	if err != nil {
		return nil, "", fault.Wrap(err, "listing groups")
	}
	rows, next := page.Cut(q.Page, rows, func(g Group) page.Cursor {
		return page.Cursor{Key: page.TimeKey(g.CreatedAt), ID: string(g.ID)}
	})
	return rows, next, nil
}

// Update sets the name and the description of a group.
func (s *Service) Update(ctx context.Context, c access.Caller, want id.Group, name, description string) (Group, error) {
	if err := checkName(name); err != nil {
		return Group{}, err
	}
	var g Group
	err := s.store.Write(ctx, func(tx Tx) error {
		var err error
		if g, err = ordinary(ctx, tx, c, access.GroupUpdate, want); err != nil {
			return err
		}
		g.Name, g.Description, g.UpdatedAt = name, description, time.Now().Truncate(time.Microsecond)
		if err := nameIsFree(ctx, tx, g); err != nil {
			return err
		}
		ok, err := tx.UpdateGroup(ctx, g)
		if err != nil {
			return err
		}
		if !ok {
			return fault.ErrLost
		}
		g.Revision++
		return change.Write(ctx, tx, change.Record{Actor: c.Subject, Action: "group.update", Object: g.Object(), Event: event.Updated})
	})
	if err != nil {
		return Group{}, fault.Wrap(err, "changing the group")
	}
	return g, nil
}

// ordinary locks and returns a group that the caller may change, and that the
// control plane did not make for itself.
func ordinary(ctx context.Context, tx Tx, c access.Caller, p access.Permission, want id.Group) (Group, error) {
	g, err := locked(ctx, tx, c, want)
	if err != nil {
		return Group{}, err
	}
	if err := access.Check(c, p, g.Object()); err != nil {
		return Group{}, err
	}
	if g.isDirect() {
		return Group{}, fault.New(fault.FailedPrecondition, fault.SystemManaged,
			"The group %q exists to share something with one %s, and the control plane keeps it. Share more with that %s, or take shares back; it goes with the last.", g.Name, g.Direct.Principal, g.Direct.Principal)
	}
	return g, guard(ctx, tx, c, &g)
}
