package identity

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/change"
	"github.com/musterhq/muster/internal/departure"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/page"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/token"
)

// User returns a person of the caller's organization.
func (s *Service) User(ctx context.Context, c access.Caller, u id.User) (User, error) {
	user, ok, err := s.store.User(ctx, c.Organization, u)
	if err != nil {
		return User{}, fault.Wrap(err, "reading the user")
	}
	if !ok {
		return User{}, fault.Missing("user", string(u))
	}
	return user, access.Check(c, access.MemberRead, user.Object())
}

// Members lists the people of the caller's organization. count is the number of
// all that match, and -1 unless withCount is set.
func (s *Service) Members(ctx context.Context, c access.Caller, q UserQuery, r page.Request, withCount bool) (users []User, next string, count int64, err error) {
	if q.Organization != c.Organization {
		return nil, "", -1, fault.Missing("organization", string(q.Organization))
	}
	if err := access.Check(c, access.MemberRead, access.OrganizationObject(c.Organization)); err != nil {
		return nil, "", -1, err
	}
	slices.Sort(q.IDs)
	slices.Sort(q.NotIn)
	slices.Sort(q.Statuses)
	slices.Sort(q.Roles)
	binding := fmt.Sprintf("members\x00%s\x00%q\x00%v\x00%v\x00%v\x00%v\x00%d", q.Organization, q.Search, q.Statuses, q.Roles, q.IDs, q.NotIn, q.Sort)
	if q.Page, err = page.Parse(r, binding); err != nil {
		return nil, "", -1, err
	}
	if users, err = s.store.Users(ctx, q); err != nil {
		return nil, "", -1, fault.Wrap(err, "listing members")
	}
	users, next = page.Cut(q.Page, users, func(u User) page.Cursor {
		key := page.TimeKey(u.CreatedAt)
		if q.Sort == ByName || q.Sort == ByNameDescending {
			key = strings.ToLower(u.Name)
		}
		return page.Cursor{Key: key, ID: string(u.ID)}
	})
	if !withCount {
		return users, next, -1, nil
	}
	if count, err = s.store.CountUsers(ctx, q); err != nil {
		return nil, "", -1, fault.Wrap(err, "counting members")
	}
	return users, next, count, nil
}

func newUser(o id.Organization, name, email string, role resource.Role, now time.Time) User {
	now = now.Truncate(time.Microsecond) // as it is stored and read back
	return User{
		ID: id.User(id.New()), Organization: o, Name: name, Email: email,
		Role: role, Status: StatusActive, CreatedAt: now, UpdatedAt: now, Revision: 1,
	}
}

// AddMember makes a person with a first personal access token, which is
// returned once.
func (s *Service) AddMember(ctx context.Context, c access.Caller, name, email string, role resource.Role) (User, string, error) {
	if err := access.Check(c, access.MemberWrite, access.OrganizationObject(c.Organization)); err != nil {
		return User{}, "", err
	}
	u := newUser(c.Organization, name, email, role, time.Now())
	secret, rec := s.personalToken(c.Organization, u.Subject(), c.Subject, NewPersonalToken{Description: "Made with the account"})
	err := s.store.Write(ctx, func(tx Tx) error {
		if err := tx.LockOrganization(ctx, c.Organization); err != nil {
			return err
		}
		other, taken, err := tx.UserByEmail(ctx, c.Organization, email)
		if err != nil {
			return err
		}
		if taken {
			return fault.New(fault.AlreadyExists, fault.AlreadyThere, "%s already is a member, as %q (%s). If they have no token left that works, make one with \"muster member token\".", other.Email, other.Name, other.ID)
		}
		return insertUser(ctx, tx, u, rec, c.Subject)
	})
	if err != nil {
		return User{}, "", fault.Wrap(err, "adding the member")
	}
	return u, secret, nil
}

// insertUser adds a person with a token.
func insertUser(ctx context.Context, tx Tx, u User, rec token.Record, actor access.Subject) error {
	if err := tx.InsertUser(ctx, u); err != nil {
		return err
	}
	if err := insertPersonalToken(ctx, tx, rec, actor); err != nil {
		return err
	}
	return change.Write(ctx, tx, change.Record{Actor: actor, Action: "member.add", Object: u.Object(), Creator: actor, Event: event.Created})
}

// SetRole makes a member an admin, or an admin a member. What they may do
// changes at once.
func (s *Service) SetRole(ctx context.Context, c access.Caller, o id.Organization, u id.User, role resource.Role) error {
	if o != c.Organization {
		return fault.Missing("organization", string(o))
	}
	if role != resource.RoleOrgAdmin && role != resource.RoleOrgMember {
		return fault.Invalid("role", "must be ORGANIZATION_ROLE_ADMIN or ORGANIZATION_ROLE_MEMBER")
	}
	changed := false
	err := s.store.Write(ctx, func(tx Tx) error {
		changed = false
		user, err := memberToChange(ctx, tx, c, u)
		if err != nil || user.Role == role {
			return err
		}
		if user.Status == StatusLeft {
			return hasLeft(&user)
		}
		if err := keepAnAdmin(ctx, tx, &user); err != nil {
			return err
		}
		changed = true
		user.Role, user.UpdatedAt = role, time.Now()
		if ok, err := tx.UpdateUser(ctx, user); err != nil || !ok {
			return fault.Lost(ok, err)
		}
		return change.Write(ctx, tx, change.Record{Actor: c.Subject, Action: "member.set_role", Object: user.Object(), Event: event.Updated})
	})
	if !fault.MayHaveHappened(err) {
		return fault.Wrap(err, "changing the role of the member")
	}
	subject := access.Subject{Principal: access.PrincipalUser, ID: string(u)}
	switch {
	case err != nil:
		s.Doubted("", subject)
	case changed:
		s.Changed(ctx, subject, "", nil)
	}
	return err
}

// SuspendMember refuses all tokens of a person until ResumeMember.
func (s *Service) SuspendMember(ctx context.Context, c access.Caller, u id.User) error {
	return s.changeStatus(ctx, c, u, StatusSuspended, "member.suspend")
}

// ResumeMember lifts a suspension.
func (s *Service) ResumeMember(ctx context.Context, c access.Caller, u id.User) error {
	return s.changeStatus(ctx, c, u, StatusActive, "member.resume")
}

// RemoveMember takes a person out of the organization: their tokens, their places
// in groups and their credentials for hosts end for good.
func (s *Service) RemoveMember(ctx context.Context, c access.Caller, u id.User) error {
	return s.changeStatus(ctx, c, u, StatusLeft, "member.remove")
}

func (s *Service) changeStatus(ctx context.Context, c access.Caller, u id.User, to Status, action string) error {
	var gone departure.Gone
	err := s.store.Write(ctx, func(tx Tx) error {
		gone = departure.Gone{}
		user, err := memberToChange(ctx, tx, c, u)
		switch {
		case err != nil:
			return err
		case user.Status == to:
			return nil
		case user.Status == StatusLeft:
			return hasLeft(&user)
		}
		if err := keepAnAdmin(ctx, tx, &user); err != nil {
			return err
		}
		if to != StatusActive {
			if err := outlives(c, &user); err != nil {
				return err
			}
		}
		if to == StatusLeft {
			if err := tx.LockLeaving(ctx, c.Organization, user.Subject()); err != nil {
				return err
			}
		}
		user.Status, user.UpdatedAt = to, time.Now()
		if ok, err := tx.UpdateUser(ctx, user); err != nil || !ok {
			return fault.Lost(ok, err)
		}
		if to == StatusLeft {
			if gone, err = departure.Subject(ctx, tx, c.Subject, c.Organization, user.Subject()); err != nil {
				return err
			}
		}
		return change.Write(ctx, tx, change.Record{Actor: c.Subject, Action: action, Object: user.Object(), Event: event.Updated})
	})
	if !fault.MayHaveHappened(err) {
		return fault.Wrap(err, "changing the member")
	}
	if to != StatusActive {
		subject := access.Subject{Principal: access.PrincipalUser, ID: string(u)}
		if err == nil {
			s.holds.cut(func(c access.Caller) bool { return c.Maker == subject }, makerRefusal(to))
		}
		s.ended(err, "", subject, refusal(to))
	}
	gone.Tell(s.links)
	return err
}

// memberToChange locks the organization of the caller and returns one of its
// people, if the caller may change them.
func memberToChange(ctx context.Context, tx Tx, c access.Caller, u id.User) (User, error) {
	if err := tx.LockOrganization(ctx, c.Organization); err != nil {
		return User{}, err
	}
	user, ok, err := tx.User(ctx, c.Organization, u)
	if err != nil {
		return User{}, err
	}
	if !ok {
		return User{}, fault.Missing("member", string(u))
	}
	return user, access.Check(c, access.MemberWrite, user.Object())
}

func hasLeft(u *User) error {
	return fault.New(fault.FailedPrecondition, fault.ReasonImmutable, "%s has left the organization. Add them anew with \"muster member add\".", u.Name)
}

// keepAnAdmin refuses to take the last active admin away. The organization is
// locked.
func keepAnAdmin(ctx context.Context, tx Tx, u *User) error {
	if u.Role != resource.RoleOrgAdmin || u.Status != StatusActive {
		return nil
	}
	admins, err := tx.CountUsers(ctx, activeAdmins(u.Organization))
	if err != nil {
		return err
	}
	if admins <= 1 {
		return fault.New(fault.FailedPrecondition, fault.LastAdmin, "%s is the last active admin; without one nobody could manage this organization. Make somebody else an admin first.", u.Name)
	}
	return nil
}

func activeAdmins(o id.Organization) UserQuery {
	return UserQuery{Organization: o, Roles: []resource.Role{resource.RoleOrgAdmin}, Statuses: []Status{StatusActive}}
}
