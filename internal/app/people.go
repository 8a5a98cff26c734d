package app

import (
	"context"
	"fmt"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/identity"
	"github.com/musterhq/muster/internal/serviceaccount"
	"github.com/musterhq/muster/internal/signin"
)

// people knows what those are now who proved a while ago who they are: what they
// were given then, a logs token or a link, says only what they were.
type people struct {
	users    identity.Store
	accounts serviceaccount.Store
	standing *identity.Service
}

// callerNow returns the user or the service account of that id, whose own tokens
// would be accepted now, and a name for people.
func (p people) callerNow(ctx context.Context, o id.Organization, subject string) (c access.Caller, name string, err error) {
	c.Organization = o
	if c.Subject, name, err = p.active(ctx, o, subject); err != nil {
		return access.Caller{}, "", err
	}
	c.Standing, err = p.standing.StandingOf(ctx, o, c.Subject)
	return c, name, err
}

// PersonNow implements signin.People.
func (p people) PersonNow(ctx context.Context, o id.Organization, subject string) (signin.Person, error) {
	c, name, err := p.callerNow(ctx, o, subject)
	if err != nil {
		return signin.Person{}, err
	}
	org, _, err := p.users.Organization(ctx, o)
	if err != nil {
		return signin.Person{}, fault.Wrap(err, "reading the organization")
	}
	return signin.Person{Caller: c, Name: name, Organization: org.Name}, nil
}

func (p people) active(ctx context.Context, o id.Organization, subject string) (access.Subject, string, error) {
	u, found, err := p.users.User(ctx, o, id.User(subject))
	if err != nil {
		return access.Subject{}, "", fault.Wrap(err, "reading the user")
	}
	if found && u.Status == identity.StatusActive {
		return u.Subject(), fmt.Sprintf("%s (%s)", u.Name, u.Email), nil
	}
	if !found {
		a, found, err := p.accounts.ServiceAccount(ctx, o, id.ServiceAccount(subject))
		if err != nil {
			return access.Subject{}, "", fault.Wrap(err, "reading the service account")
		}
		if found && !a.Suspended() && time.Now().Before(a.ValidUntil) {
			return a.Subject(), fmt.Sprintf("%s (a service account)", a.Name), nil
		}
	}
	return access.Subject{}, "", fault.New(fault.Unauthenticated, fault.SuspendedPrincipal,
		"Whoever this was made for is not active in this organization any more. An organization admin can lift a suspension with \"muster member resume\".")
}
