package identity

import (
	"context"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/change"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/page"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/token"
)

// ResetAdmin makes a personal access token for an admin of an organization, on
// behalf of whoever has the control plane's host. The admin is the oldest active
// one; when there is none, the oldest suspended one, who is resumed; when there is
// none either, a new one. Nobody needs to call with a token, so nothing that
// listens may call this.
func (s *Service) ResetAdmin(ctx context.Context, o id.Organization) (User, string, error) {
	var admin User
	var secret string
	err := s.store.Write(ctx, func(tx Tx) error {
		if err := tx.LockOrganization(ctx, o); err != nil {
			return err
		}
		var found bool
		var err error
		for _, status := range []Status{StatusActive, StatusSuspended} {
			if admin, found, err = oldestAdmin(ctx, tx, o, status); err != nil || found {
				break
			}
		}
		if err != nil {
			return err
		}
		var rec token.Record
		if !found {
			if admin, err = anotherAdmin(ctx, tx, o); err != nil {
				return err
			}
			secret, rec = s.personalToken(o, admin.Subject(), access.System, resetToken)
			return insertUser(ctx, tx, admin, rec, access.System)
		}
		if admin.Status == StatusSuspended {
			if err := resume(ctx, tx, &admin); err != nil {
				return err
			}
		}
		secret, rec = s.personalToken(o, admin.Subject(), access.System, resetToken)
		return insertPersonalToken(ctx, tx, rec, access.System)
	})
	if err != nil {
		return User{}, "", fault.Wrap(err, "making a token for an admin")
	}
	return admin, secret, nil
}

var resetToken = NewPersonalToken{Description: "Made by muster admin reset"}

func oldestAdmin(ctx context.Context, tx Tx, o id.Organization, st Status) (User, bool, error) {
	q := activeAdmins(o)
	q.Statuses, q.Page = []Status{st}, page.Query{Limit: 1}
	rows, err := tx.Users(ctx, q)
	if err != nil || len(rows) == 0 {
		return User{}, false, err
	}
	return rows[0], true, nil
}

// anotherAdmin is a person with an address that is free.
func anotherAdmin(ctx context.Context, tx Tx, o id.Organization) (User, error) {
	u := newUser(o, firstAdminName, firstAdminEmail, resource.RoleOrgAdmin, time.Now())
	_, taken, err := tx.UserByEmail(ctx, o, u.Email)
	if taken {
		u.Email = "admin-" + string(u.ID) + "@localhost"
	}
	return u, err
}

func resume(ctx context.Context, tx Tx, u *User) error {
	u.Status, u.UpdatedAt = StatusActive, time.Now()
	if ok, err := tx.UpdateUser(ctx, *u); err != nil || !ok {
		return fault.Lost(ok, err)
	}
	return change.Write(ctx, tx, change.Record{Actor: access.System, Action: "member.resume", Object: u.Object(), Event: event.Updated})
}

// FindOrganization finds an organization of the installation by its id or its
// name, for whoever has the control plane's host; the one whose admins operate
// the installation when nothing is named.
func (s *Service) FindOrganization(ctx context.Context, nameOrID string) (Organization, error) {
	if nameOrID == "" {
		org, ok, err := s.store.OperatingOrganization(ctx)
		if err == nil && !ok {
			return Organization{}, fault.New(fault.FailedPrecondition, fault.ReasonNotFound,
				"There is no organization yet. The first start of \"muster serve\" makes one, with an admin and a token.")
		}
		return org, fault.Wrap(err, "looking for the first organization")
	}
	var match []Organization
	for q := (page.Query{Limit: page.MaxSize}); ; {
		rows, err := s.store.Organizations(ctx, q)
		if err != nil {
			return Organization{}, fault.Wrap(err, "listing organizations")
		}
		rows, next := page.Cut(q, rows, organizationPosition)
		for _, o := range rows {
			if string(o.ID) == id.Canonical(nameOrID) || o.Name == nameOrID {
				match = append(match, o)
			}
		}
		if next == "" {
			break
		}
		after := organizationPosition(rows[len(rows)-1])
		q.After = &after
	}
	switch len(match) {
	case 0:
		return Organization{}, fault.New(fault.NotFound, fault.ReasonNotFound, "There is no organization %q on this control plane.", nameOrID)
	case 1:
		return match[0], nil
	default:
		return Organization{}, fault.New(fault.FailedPrecondition, fault.InvalidField,
			"There are %d organizations called %q; name one by its id, such as %s.", len(match), nameOrID, match[0].ID)
	}
}
