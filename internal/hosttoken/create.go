package hosttoken

import (
	"context"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/scmurl"
)

// NewToken is what a caller asks of Create.
type NewToken struct {
	Runner id.Runner
	// Subject is whose credential it is: the caller, also when it is zero or has
	// no principal.
	Subject access.Subject
	Host    string
	// Value is plain.
	Value  string
	Source Source
	// ExpiresAt is zero when it is not known or never.
	ExpiresAt time.Time
	// RefreshToken is plain; empty for none.
	RefreshToken string
	// Integration is an SCM integration of the runner with the same host; empty
	// for none.
	Integration string
	Scopes      []string
}

// Create stores a credential of the caller. Nobody makes one for somebody else:
// it would act under a name that its maker does not have.
func (s *Service) Create(ctx context.Context, c access.Caller, n NewToken) (Token, error) {
	if err := check(c, n); err != nil {
		return Token{}, err
	}
	made := Token{
		ID: id.New(), Organization: c.Organization, Runner: n.Runner, Host: n.Host, Subject: c.Subject, Source: n.Source,
		Integration: n.Integration, Scopes: n.Scopes, ExpiresAt: n.ExpiresAt.Truncate(time.Microsecond),
	}
	err := s.store.Write(ctx, func(tx Tx) error {
		r, err := admit(ctx, tx, c, n.Runner)
		if err != nil {
			return err
		}
		if err := belongs(ctx, tx, &r, &made); err != nil {
			return err
		}
		other, taken, err := tx.HostTokenOf(ctx, r.ID, n.Host, c.Subject)
		if err != nil {
			return err
		}
		if taken {
			return fault.New(fault.AlreadyExists, fault.AlreadyThere,
				"You have a credential for %s on the runner %q already (%s). Change that one, or delete it first.", other.Host, r.Name, other.ID)
		}
		if err := boundHeld(ctx, tx, &r, c.Subject); err != nil {
			return err
		}
		if made.Value, err = r.Seal(valueName(made.ID), n.Value); err != nil {
			return err
		}
		if made.RefreshToken, err = r.Seal(refreshName(made.ID), n.RefreshToken); err != nil {
			return err
		}
		return insert(ctx, tx, c, &r, &made)
	})
	if !fault.MayHaveHappened(err) {
		return Token{}, fault.Wrap(err, "storing the host token")
	}
	s.links.SecretsChanged(n.Runner, valueName(made.ID), refreshName(made.ID))
	return made, err
}

// admit locks a runner, and returns it when the caller may have a credential on
// it. Everybody locks the runner before the subject.
func admit(ctx context.Context, tx Tx, c access.Caller, want id.Runner) (fleet.Runner, error) {
	if err := tx.LockRunner(ctx, want); err != nil {
		return fleet.Runner{}, err
	}
	switch there, err := tx.LockSubject(ctx, c.Organization, c.Subject); {
	case err != nil:
		return fleet.Runner{}, err
	case !there:
		return fleet.Runner{}, fault.New(fault.Unauthenticated, fault.UnknownToken, "The %s that this token belongs to is gone.", c.Principal)
	}
	r, found, err := tx.Runner(ctx, want)
	if err != nil {
		return fleet.Runner{}, err
	}
	if err := fleet.Check(c, access.RunnerUse, &r, found, want); err != nil {
		return fleet.Runner{}, err
	}
	return r, fleet.CheckStays(&r)
}

// insert stores a new credential, which gets its times and its revision.
func insert(ctx context.Context, tx Tx, c access.Caller, r *fleet.Runner, t *Token) error {
	t.CreatedAt = time.Now().Truncate(time.Microsecond) // as it is stored and read back
	t.UpdatedAt, t.Revision = t.CreatedAt, 1
	if err := tx.InsertHostToken(ctx, *t); err != nil {
		return err
	}
	return record(ctx, tx, c, t, r, "host_authentication_token.create", event.Created)
}

// check refuses what is wrong whatever is stored.
func check(c access.Caller, n NewToken) error {
	switch {
	case c.Principal != access.PrincipalUser && c.Principal != access.PrincipalServiceAccount:
		return fault.New(fault.PermissionDenied, fault.NotAllowed, "A %s has no credentials for source code hosts; users and service accounts have.", c.Principal)
	case n.Subject.ID != "" && n.Subject.ID != c.ID,
		n.Subject.Principal != access.PrincipalNone && n.Subject.Principal != c.Principal:
		return fault.New(fault.PermissionDenied, fault.NotAllowed,
			"A credential for a source code host can be stored by its own %s alone, whose token this call must come with. Leave the subject out to store your own.", owner(n.Subject))
	case n.Value == "":
		return fault.Invalid("token", "is required")
	}
	if err := scmurl.CheckHost("", n.Host); err != nil {
		return fault.Invalid("host", "%s", err)
	}
	return nil
}

func owner(s access.Subject) access.Principal {
	if s.Principal == access.PrincipalServiceAccount {
		return s.Principal
	}
	return access.PrincipalUser
}

// maxHeld is how many credentials a subject has on one runner, at most.
const maxHeld = 100

// boundHeld refuses one more when the subject has maxHeld. The runner is locked.
func boundHeld(ctx context.Context, tx Tx, r *fleet.Runner, s access.Subject) error {
	held, err := tx.CountHostTokens(ctx, r.ID, s)
	if err != nil || held < maxHeld {
		return err
	}
	return fault.New(fault.FailedPrecondition, fault.LimitReached,
		"You have %d credentials on the runner %q, which is the most. Delete one that you do not need first.", held, r.Name)
}

// belongs checks the integration of a new credential. One of another runner is
// one that does not exist.
func belongs(ctx context.Context, tx Tx, r *fleet.Runner, t *Token) error {
	if t.Integration == "" {
		return nil
	}
	host, found, err := tx.IntegrationHost(ctx, r.ID, t.Integration)
	switch {
	case err != nil:
		return err
	case !found:
		return fault.New(fault.NotFound, fault.ReasonNotFound, "The runner %q has no %s %q.", r.Name, resource.RunnerSCMIntegration.Words(), t.Integration)
	case !scmurl.SameHost(host, t.Host):
		return fault.Invalid("integration_id", "is the integration with %s, and the credential is for %s", host, t.Host)
	}
	return nil
}
