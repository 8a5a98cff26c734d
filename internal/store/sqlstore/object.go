package sqlstore

import (
	"context"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/store/sqlstore/query"
	"github.com/musterhq/muster/internal/token"
)

// Object returns what permissions on a resource of an organization rest on: the
// same as the noun that it belongs to makes of it. Of a type that this control
// plane does not keep it finds none.
func (r reads) Object(ctx context.Context, o id.Organization, t resource.Type, resourceID string) (access.Object, bool, error) {
	switch t {
	case resource.Organization:
		org, found, err := r.Organization(ctx, o)
		object := access.OrganizationObject(o)
		object.Name = org.Name
		return object, found && string(o) == resourceID, err
	case resource.User, resource.ServiceAccount:
		return r.principalObject(ctx, o, t, resourceID)
	case resource.Group:
		g, found, err := r.Group(ctx, o, id.Group(resourceID))
		return g.Object(), found, err
	case resource.Runner:
		runner, found, err := r.Runner(ctx, id.Runner(resourceID))
		return runner.Object(), found && runner.Organization == o, err
	case resource.PersonalAccessToken:
		return r.tokenObject(ctx, o, t, token.Personal, resourceID)
	case resource.ServiceAccountToken:
		return r.tokenObject(ctx, o, t, token.ServiceAccount, resourceID)
	case resource.RoleAssignment:
		return r.assignmentObject(ctx, o, resourceID)
	case resource.EnvironmentClass, resource.RunnerSCMIntegration, resource.RunnerLLMIntegration, resource.HostAuthenticationToken:
		return r.belonging(ctx, o, t, resourceID)
	default:
		return access.Object{}, false, nil
	}
}

func (r reads) principalObject(ctx context.Context, o id.Organization, t resource.Type, resourceID string) (access.Object, bool, error) {
	row, err := r.q.GetPrincipal(ctx, string(o), resourceID)
	object, found, err := one(r, row, err, "reading a subject", func(row query.GetPrincipalRow) (access.Object, error) {
		return access.Object{Type: access.Principal(row.Principal).Type(), ID: row.ID, Organization: o, Name: row.Name}, nil
	})
	return object, found && object.Type == t, err
}

func (r reads) tokenObject(ctx context.Context, o id.Organization, t resource.Type, k token.Kind, resourceID string) (access.Object, bool, error) {
	row, err := r.q.GetTokenObject(ctx, query.GetTokenObjectParams{OrganizationID: string(o), ID: resourceID, Kind: string(k)})
	return one(r, row, err, "reading a token", func(row query.GetTokenObjectRow) (access.Object, error) {
		owner := access.Subject{Principal: access.PrincipalUser, ID: row.UserID.String}
		if row.ServiceAccountID.Valid {
			owner = access.Subject{Principal: access.PrincipalServiceAccount, ID: row.ServiceAccountID.String}
		}
		return access.Object{Type: t, ID: resourceID, Organization: o, Owner: owner}, nil
	})
}

func (r reads) assignmentObject(ctx context.Context, o id.Organization, resourceID string) (access.Object, bool, error) {
	a, found, err := r.Assignment(ctx, o, resourceID)
	if err != nil || !found {
		return access.Object{}, false, err
	}
	on, _, err := r.Object(ctx, o, a.Type, a.Resource)
	return a.Object(on), true, err
}

// belonging is what belongs to a runner.
func (r reads) belonging(ctx context.Context, o id.Organization, t resource.Type, resourceID string) (access.Object, bool, error) {
	row, err := r.q.GetBelonging(ctx, resourceID)
	row, found, err := one(r, row, err, "reading what belongs to a runner", func(row query.GetBelongingRow) (query.GetBelongingRow, error) { return row, nil })
	if err != nil || !found || resource.Type(row.ResourceType) != t {
		return access.Object{}, false, err
	}
	runner, found, err := r.Runner(ctx, id.Runner(row.RunnerID))
	object := runner.Object().Of(t, resourceID)
	object.Owner = subject(row.OwnerPrincipal, row.OwnerID)
	return object, found && runner.Organization == o, err
}
