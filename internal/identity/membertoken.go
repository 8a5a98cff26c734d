package identity

import (
	"context"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/change"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/token"
)

// CreateMemberToken makes a personal access token for somebody else, who has lost
// theirs or let it lapse. What they have stays as it is, and they see the new one,
// and who made it, among their tokens.
//
// Whoever has the token acts as that person. So nobody makes one for a person who
// may do more than they may themselves, and it ends with the one who made it. Only
// people make them: a service account has no need to act as one.
func (s *Service) CreateMemberToken(ctx context.Context, c access.Caller, u id.User, validFor time.Duration) (string, token.Record, error) {
	if c.Principal != access.PrincipalUser {
		return "", token.Record{}, fault.New(fault.PermissionDenied, fault.NotAllowed, "Whoever has a token of a member acts as that member, so only a person makes one: an organization admin, and not a %s.", c.Principal)
	}
	if err := checkValidFor(validFor); err != nil {
		return "", token.Record{}, err
	}
	owner := access.Subject{Principal: access.PrincipalUser, ID: string(u)}
	secret, rec := s.personalToken(c.Organization, owner, c.Subject, NewPersonalToken{Description: token.ForMember, ValidFor: validFor})
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
		if err := insertPersonalToken(ctx, tx, rec, c.Subject); err != nil {
			return err
		}
		// The entry of the token does not say whose it is.
		return change.Write(ctx, tx, change.Record{Actor: c.Subject, Action: "member.token.create", Object: user.Object(), Credential: true})
	})
	if err != nil {
		return "", token.Record{}, fault.Wrap(err, "making the token")
	}
	return secret, rec, nil
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

// outlives refuses to end a person by a token that they made, and that would end
// with them: it may be the last one that works.
func outlives(c access.Caller, u *User) error {
	if c.Maker != u.Subject() {
		return nil
	}
	return fault.New(fault.PermissionDenied, fault.NotAllowed,
		"The token that this call was made with was made by %s, and would end with this. Make one of your own first, with \"muster pat create\", and call with that.", u.Name)
}
