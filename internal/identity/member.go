package identity

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
	"github.com/musterhq/muster/internal/page"
	"github.com/musterhq/muster/internal/resource"
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
	return user, nil
}

// Members lists the people of the caller's organization. count is the number of
// all that match, and -1 unless withCount is set.
func (s *Service) Members(ctx context.Context, c access.Caller, q UserQuery, r page.Request, withCount bool) (users []User, next string, count int64, err error) {
	if q.Organization != c.Organization {
		return nil, "", -1, fault.Missing("organization", string(q.Organization))
	}
	slices.Sort(q.IDs)
	slices.Sort(q.Statuses)
	slices.Sort(q.Roles)
	binding := fmt.Sprintf("members\x00%s\x00%q\x00%v\x00%v\x00%v\x00%d", q.Organization, q.Search, q.Statuses, q.Roles, q.IDs, q.Sort)
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

// AddMember makes a person with a first personal access token, which is
// returned once.
func (s *Service) AddMember(ctx context.Context, c access.Caller, name, email string, role resource.Role) (User, string, error) {
	now := time.Now().Truncate(time.Microsecond) // as it is stored and read back
	u := User{
		ID: id.User(id.New()), Organization: c.Organization, Name: name, Email: email,
		Role: role, Status: StatusActive, CreatedAt: now, UpdatedAt: now, Revision: 1,
	}
	owner := access.Subject{Principal: access.PrincipalUser, ID: string(u.ID)}
	secret, rec := s.personalToken(c.Organization, owner, c.Subject, NewPersonalToken{Description: "Made with the account"})
	err := s.store.Write(ctx, func(tx Tx) error {
		if err := tx.LockOrganization(ctx, c.Organization); err != nil {
			return err
		}
		other, taken, err := tx.UserByEmail(ctx, c.Organization, email)
		if err != nil {
			return err
		}
		if taken {
			return fault.New(fault.AlreadyExists, fault.AlreadyThere, "%s already is a member, as %q (%s).", other.Email, other.Name, other.ID)
		}
		if err := tx.InsertUser(ctx, u); err != nil {
			return err
		}
		if err := tx.InsertToken(ctx, rec); err != nil {
			return err
		}
		err = change.Write(ctx, tx, change.Record{
			Actor: c.Subject, Action: "personal_access_token.create", Object: patObject(rec), Creator: owner, Event: event.Created, Credential: true,
		})
		if err != nil {
			return err
		}
		return change.Write(ctx, tx, change.Record{Actor: c.Subject, Action: "member.add", Object: userObject(u), Creator: c.Subject, Event: event.Created})
	})
	if err != nil {
		return User{}, "", fault.Wrap(err, "adding the member")
	}
	return u, secret, nil
}

// SuspendMember refuses all tokens of a person until ResumeMember.
func (s *Service) SuspendMember(ctx context.Context, c access.Caller, u id.User) error {
	return s.changeStatus(ctx, c, u, StatusSuspended, "member.suspend")
}

// ResumeMember lifts a suspension.
func (s *Service) ResumeMember(ctx context.Context, c access.Caller, u id.User) error {
	return s.changeStatus(ctx, c, u, StatusActive, "member.resume")
}

// RemoveMember deletes all tokens of a person for good.
func (s *Service) RemoveMember(ctx context.Context, c access.Caller, u id.User) error {
	return s.changeStatus(ctx, c, u, StatusLeft, "member.remove")
}

func (s *Service) changeStatus(ctx context.Context, c access.Caller, u id.User, to Status, action string) error {
	subject := access.Subject{Principal: access.PrincipalUser, ID: string(u)}
	err := s.store.Write(ctx, func(tx Tx) error {
		if err := tx.LockOrganization(ctx, c.Organization); err != nil {
			return err
		}
		user, ok, err := tx.User(ctx, c.Organization, u)
		switch {
		case err != nil:
			return err
		case !ok:
			return fault.Missing("member", string(u))
		case user.Status == to:
			return nil
		case user.Status == StatusLeft:
			return fault.New(fault.FailedPrecondition, fault.ReasonImmutable, "%s has left the organization. Add them anew with \"muster member add\".", user.Name)
		}
		if user.Role == resource.RoleOrgAdmin && user.Status == StatusActive {
			admins, err := tx.CountUsers(ctx, UserQuery{Organization: c.Organization, Roles: []resource.Role{resource.RoleOrgAdmin}, Statuses: []Status{StatusActive}})
			if err != nil {
				return err
			}
			if admins <= 1 {
				return fault.New(fault.FailedPrecondition, fault.LastAdmin, "%s is the last active admin; without one nobody could manage this organization. Add another admin first.", user.Name)
			}
		}
		user.Status, user.UpdatedAt = to, time.Now()
		if ok, err := tx.UpdateUser(ctx, user); err != nil || !ok {
			return lost(ok, err)
		}
		if to == StatusLeft {
			if err := tx.DeleteTokensOf(ctx, subject); err != nil {
				return err
			}
		}
		return change.Write(ctx, tx, change.Record{Actor: c.Subject, Action: action, Object: userObject(user), Event: event.Updated})
	})
	if err != nil {
		return fault.Wrap(err, "changing the member")
	}
	if to != StatusActive {
		s.Revoked("", subject)
	}
	return nil
}

func lost(ok bool, err error) error {
	if err == nil && !ok {
		return fault.ErrLost
	}
	return err
}
