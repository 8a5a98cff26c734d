package identity

import (
	"context"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
)

// CreateMemberToken makes a personal access token for somebody else, who has lost
// theirs or let it lapse. What they have stays as it is, and they see the new one,
// and who made it, among their tokens.
//
// Whoever has the token acts as that person. So nobody makes one for a person who
// may do more than they may themselves.
func (s *Service) CreateMemberToken(ctx context.Context, c access.Caller, u id.User, validFor time.Duration) (string, error) {
	if err := checkValidFor(validFor); err != nil {
		return "", err
	}
	owner := access.Subject{Principal: access.PrincipalUser, ID: string(u)}
	secret, rec := s.personalToken(c.Organization, owner, c.Subject, NewPersonalToken{Description: "Made by an admin (muster member token)", ValidFor: validFor})
	err := s.store.Write(ctx, func(tx Tx) error {
		user, err := memberToChange(ctx, tx, c, u)
		switch {
		case err != nil:
			return err
		case user.Status == StatusLeft:
			return hasLeft(&user)
		case user.Status == StatusSuspended:
			return fault.New(fault.FailedPrecondition, fault.SuspendedPrincipal,
				"%s is suspended, so a token of theirs would be refused. Lift that first with \"muster member resume\"; the tokens that they had then work again.", user.Name)
		}
		if err := s.atLeast(ctx, tx, c, &user); err != nil {
			return err
		}
		if err := s.boundTokens(ctx, tx, c.Organization, owner, rec.CreatedAt); err != nil {
			return err
		}
		return insertPersonalToken(ctx, tx, rec, c.Subject)
	})
	if err != nil {
		return "", fault.Wrap(err, "making the token")
	}
	return secret, nil
}

// atLeast refuses a caller who may not do everything that a person may in their
// organization.
func (s *Service) atLeast(ctx context.Context, tx Tx, c access.Caller, u *User) error {
	st, err := standing(ctx, tx, u.Organization, u.Subject(), u.Role)
	if err != nil {
		return err
	}
	for _, g := range st.Grants {
		for _, p := range access.Permissions() {
			if access.Allows(g.Role, p) && !access.May(c, p, access.OrganizationObject(c.Organization)) {
				return fault.New(fault.PermissionDenied, fault.NotAllowed,
					"%s has the role %s, which allows what you may not (%q), and nobody gives more than they have. Somebody who has that role can make the token.", u.Name, g.Role.Words(), p)
			}
		}
	}
	return nil
}
