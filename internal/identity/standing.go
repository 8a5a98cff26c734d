package identity

import (
	"context"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/resource"
)

// StandingOf returns what a user, a service account or a runner is in an
// organization, as the check of one of its tokens finds it. It does not ask
// whether its tokens are accepted.
func (s *Service) StandingOf(ctx context.Context, o id.Organization, subject access.Subject) (access.Standing, error) {
	role := resource.RoleUnspecified
	if subject.Principal == access.PrincipalUser {
		u, found, err := s.store.User(ctx, o, id.User(subject.ID))
		if err != nil {
			return access.Standing{}, fault.Wrap(err, "reading the user")
		}
		if !found {
			return access.Standing{}, fault.Missing("user", subject.ID)
		}
		role = u.Role
	}
	return standing(ctx, s.store, o, subject, role)
}
