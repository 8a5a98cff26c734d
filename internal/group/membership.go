package group

import (
	"context"
	"fmt"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/change"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/page"
)

// Principal is a user or a service account as far as groups need it.
type Principal struct {
	access.Subject
	Name string
	// Gone tells that it has left or was deleted, for good.
	Gone bool
	// Suspended tells that its tokens are refused at the moment.
	Suspended bool
	// ValidUntil is when its tokens end in any case; zero for never.
	ValidUntil time.Time
}

// Membership says that a subject belongs to a group.
type Membership struct {
	ID           string
	Organization id.Organization
	Group        id.Group
	// Subject is a user or a service account.
	Subject access.Subject
	// Name is the subject's; it is stored there and not here.
	Name      string
	CreatedAt time.Time
}

// member is the subject as permissions see it.
func (m *Membership) member() access.Object {
	return access.Object{Type: m.Subject.Principal.Type(), ID: m.Subject.ID, Organization: m.Organization, Name: m.Name}
}

// AddMember puts a user or a service account into a group.
func (s *Service) AddMember(ctx context.Context, c access.Caller, want id.Group, subject access.Subject) (Membership, error) {
	if err := checkSubject(subject); err != nil {
		return Membership{}, err
	}
	var m Membership
	err := s.store.Write(ctx, func(tx Tx) error {
		g, err := ordinary(ctx, tx, c, access.GroupMembers, want)
		if err != nil {
			return err
		}
		p, err := present(ctx, tx, c, subject)
		if err != nil {
			return err
		}
		if _, member, err := tx.FindMembership(ctx, g.ID, subject); err != nil {
			return err
		} else if member {
			return fault.New(fault.AlreadyExists, fault.AlreadyThere, "%s is in the group %q already.", p.Name, g.Name)
		}
		m, err = join(ctx, tx, c, &g, p)
		return err
	})
	if !fault.MayHaveHappened(err) {
		return Membership{}, fault.Wrap(err, "adding the member to the group")
	}
	s.changed(ctx, err, subject, "", nil)
	return m, err
}

// checkSubject tells who can be in a group.
func checkSubject(subject access.Subject) error {
	switch {
	case !id.Valid(subject.ID):
		return fault.Invalid("subject.id", "must name the user or the service account")
	case subject.Principal != access.PrincipalUser && subject.Principal != access.PrincipalServiceAccount:
		return fault.Invalid("subject.principal", "must be PRINCIPAL_USER or PRINCIPAL_SERVICE_ACCOUNT; nobody else can be in a group")
	default:
		return nil
	}
}

// present returns a user or a service account that has not left, and keeps it
// from leaving until the transaction ends.
func present(ctx context.Context, tx Tx, c access.Caller, subject access.Subject) (Principal, error) {
	here, err := tx.LockPrincipal(ctx, c.Organization, subject)
	if err != nil {
		return Principal{}, err
	}
	p, found, err := tx.Principal(ctx, c.Organization, subject)
	if err != nil {
		return Principal{}, err
	}
	if !here || !found {
		return Principal{}, fault.Missing(subject.Principal.String(), subject.ID)
	}
	return p, nil
}

func join(ctx context.Context, tx Tx, c access.Caller, g *Group, p Principal) (Membership, error) {
	m := Membership{
		ID: id.New(), Organization: g.Organization, Group: g.ID, Subject: p.Subject, Name: p.Name,
		CreatedAt: time.Now().Truncate(time.Microsecond),
	}
	if err := tx.InsertMembership(ctx, m); err != nil {
		return Membership{}, err
	}
	return m, change.WriteMembership(ctx, tx, c.Subject, "group.member.add", g.Object(), m.member())
}

// RemoveMember takes a member out of its group.
func (s *Service) RemoveMember(ctx context.Context, c access.Caller, membership string) error {
	var m Membership
	var was departed
	err := s.store.Write(ctx, func(tx Tx) error {
		var found bool
		var err error
		if m, found, err = tx.Membership(ctx, c.Organization, membership); err != nil {
			return err
		}
		if !found {
			return fault.Missing("membership", membership)
		}
		if _, err := lockedAgain(ctx, tx, c, m.Group); err != nil {
			return err
		}
		g, err := ordinary(ctx, tx, c, access.GroupMembers, m.Group)
		if err != nil {
			return err
		}
		if was, err = leave(ctx, tx, m.Subject, g.ID); err != nil {
			return err
		}
		ok, err := tx.DeleteMembership(ctx, m.ID)
		if err != nil {
			return err
		}
		if !ok {
			return fault.Missing("membership", membership)
		}
		return change.WriteMembership(ctx, tx, c.Subject, "group.member.remove", g.Object(), m.member())
	})
	if !fault.MayHaveHappened(err) {
		return fault.Wrap(err, "removing the member from the group")
	}
	s.left(ctx, err, was)
	return err
}

// Membership returns the membership of a subject in a group; false means that it
// is no member.
func (s *Service) Membership(ctx context.Context, c access.Caller, want id.Group, subject access.Subject) (Membership, bool, error) {
	if !id.Valid(subject.ID) || subject.Principal == access.PrincipalNone {
		return Membership{}, false, fault.Invalid("subject", "must have an id and a principal")
	}
	if _, err := s.Get(ctx, c, want); err != nil {
		return Membership{}, false, err
	}
	m, found, err := s.store.FindMembership(ctx, want, subject)
	return m, found, fault.Wrap(err, "reading the membership")
}

// Members lists the members of a group, those that came first first.
func (s *Service) Members(ctx context.Context, c access.Caller, q MemberQuery, r page.Request) ([]Membership, string, error) {
	if _, err := s.Get(ctx, c, q.Group); err != nil {
		return nil, "", err
	}
	var err error
	if q.Page, err = page.Parse(r, fmt.Sprintf("memberships\x00%s\x00%s\x00%s\x00%q", c.Organization, c.ID, q.Group, q.Search)); err != nil {
		return nil, "", err
	}
	rows, err := s.store.Memberships(ctx, q)
	if err != nil {
		return nil, "", fault.Wrap(err, "listing the members of the group")
	}
	rows, next := page.Cut(q.Page, rows, func(m Membership) page.Cursor {
		return page.Cursor{Key: page.TimeKey(m.CreatedAt), ID: m.ID}
	})
	return rows, next, nil
}
