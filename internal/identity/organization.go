package identity

import (
	"context"
	"fmt"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/change"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/page"
	"github.com/musterhq/muster/internal/resource"
)

// Organization returns the caller's organization; any other is not found.
func (s *Service) Organization(ctx context.Context, c access.Caller, o id.Organization) (Organization, error) {
	if o != c.Organization {
		return Organization{}, fault.Missing("organization", string(o))
	}
	org, ok, err := s.store.Organization(ctx, o)
	if err != nil {
		return Organization{}, fault.Wrap(err, "reading the organization")
	}
	if !ok {
		return Organization{}, fault.Missing("organization", string(o))
	}
	return org, access.Check(c, access.OrganizationRead, access.OrganizationObject(o))
}

// RenameOrganization gives the caller's organization another name; an empty one
// leaves it.
func (s *Service) RenameOrganization(ctx context.Context, c access.Caller, o id.Organization, name string) (Organization, error) {
	if o != c.Organization {
		return Organization{}, fault.Missing("organization", string(o))
	}
	if err := access.Check(c, access.OrganizationUpdate, access.OrganizationObject(o)); err != nil {
		return Organization{}, err
	}
	var org Organization
	err := s.store.Write(ctx, func(tx Tx) error {
		if err := tx.LockOrganization(ctx, o); err != nil {
			return err
		}
		var ok bool
		var err error
		if org, ok, err = tx.Organization(ctx, o); err != nil {
			return err
		}
		if !ok {
			return fault.Missing("organization", string(o))
		}
		if name != "" {
			org.Name = name
		}
		org.UpdatedAt = time.Now().Truncate(time.Microsecond) // as it is stored and read back
		if err := tx.UpdateOrganization(ctx, org); err != nil {
			return err
		}
		return change.Write(ctx, tx, change.Record{Actor: c.Subject, Action: "organization.update", Object: access.OrganizationObject(o), Event: event.Updated})
	})
	if err != nil {
		return Organization{}, fault.Wrap(err, "changing the organization")
	}
	return org, nil
}

// CreateOrganization makes another organization with its first admin, and a
// personal access token for them, which is returned once. Only who operates the
// installation may.
func (s *Service) CreateOrganization(ctx context.Context, c access.Caller, name, adminName, adminEmail string) (Organization, User, string, error) {
	if err := access.Check(c, access.InstallationManage, access.OrganizationObject(c.Organization)); err != nil {
		return Organization{}, User{}, "", err
	}
	now := time.Now().Truncate(time.Microsecond) // as it is stored and read back
	org := Organization{ID: id.Organization(id.New()), Name: name, CreatedAt: now, UpdatedAt: now}
	admin := newUser(org.ID, adminName, adminEmail, resource.RoleOrgAdmin, now)
	secret, rec := s.personalToken(org.ID, admin.Subject(), c.Subject, NewPersonalToken{Description: "Made with the organization"})
	// The new organization's log begins with who made it; the operator's own says
	// so, too, since nobody there can read the other.
	theirs := access.OrganizationObject(org.ID)
	ours := theirs
	ours.Organization = c.Organization
	err := s.store.Write(ctx, func(tx Tx) error {
		if err := tx.InsertOrganization(ctx, org); err != nil {
			return err
		}
		if err := change.Write(ctx, tx, change.Record{Actor: c.Subject, Action: "organization.create", Object: ours}); err != nil {
			return err
		}
		if err := change.Write(ctx, tx, change.Record{Actor: c.Subject, Action: "organization.create", Object: theirs, Event: event.Created}); err != nil {
			return err
		}
		return insertUser(ctx, tx, admin, rec, c.Subject)
	})
	if err != nil {
		return Organization{}, User{}, "", fault.Wrap(err, "making the organization")
	}
	return org, admin, secret, nil
}

// Organizations lists all organizations of the installation, oldest first, for
// who operates it.
func (s *Service) Organizations(ctx context.Context, c access.Caller, r page.Request) ([]Organization, string, error) {
	if err := access.Check(c, access.InstallationManage, access.OrganizationObject(c.Organization)); err != nil {
		return nil, "", err
	}
	q, err := page.Parse(r, fmt.Sprintf("organizations\x00%s\x00%s", c.Organization, c.ID))
	if err != nil {
		return nil, "", err
	}
	rows, err := s.store.Organizations(ctx, q)
	if err != nil {
		return nil, "", fault.Wrap(err, "listing organizations")
	}
	rows, next := page.Cut(q, rows, organizationPosition)
	return rows, next, nil
}

func organizationPosition(o Organization) page.Cursor {
	return page.Cursor{Key: page.TimeKey(o.CreatedAt), ID: string(o.ID)}
}
