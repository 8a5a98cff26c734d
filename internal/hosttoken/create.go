package hosttoken

import (
	"context"
	"strings"
	"time"
	"unicode"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/resource"
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
	now := time.Now().Truncate(time.Microsecond) // as it is stored and read back
	made := Token{
		ID: id.New(), Organization: c.Organization, Runner: n.Runner, Host: n.Host, Subject: c.Subject, Source: n.Source,
		Integration: n.Integration, Scopes: n.Scopes, ExpiresAt: n.ExpiresAt.Truncate(time.Microsecond), CreatedAt: now, UpdatedAt: now, Revision: 1,
	}
	err := s.store.Write(ctx, func(tx Tx) error {
		switch there, err := tx.LockSubject(ctx, c.Organization, c.Subject); {
		case err != nil:
			return err
		case !there:
			return fault.New(fault.Unauthenticated, fault.UnknownToken, "The %s that this token belongs to is gone.", c.Principal)
		}
		if err := tx.LockRunner(ctx, n.Runner); err != nil {
			return err
		}
		r, found, err := tx.Runner(ctx, n.Runner)
		if err != nil {
			return err
		}
		if err := fleet.Check(c, access.RunnerUse, &r, found, n.Runner); err != nil {
			return err
		}
		if !r.DeletingAt.IsZero() {
			return fault.New(fault.FailedPrecondition, fault.RunnerGone, "The runner %q is being deleted.", r.Name)
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
		if made.Value, err = r.Seal(valueName(made.ID), n.Value); err != nil {
			return err
		}
		if made.RefreshToken, err = r.Seal(refreshName(made.ID), n.RefreshToken); err != nil {
			return err
		}
		if err := tx.InsertHostToken(ctx, made); err != nil {
			return err
		}
		return record(ctx, tx, c, &made, &r, "host_authentication_token.create", event.Created)
	})
	if err != nil {
		return Token{}, fault.Wrap(err, "storing the host token")
	}
	s.links.SecretsChanged(n.Runner, valueName(made.ID), refreshName(made.ID))
	return made, nil
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
	case n.Host == "":
		return fault.Invalid("host", "is required, such as \"github.com\"")
	case strings.Contains(n.Host, "://"), strings.ContainsFunc(n.Host, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }):
		return fault.Invalid("host", "must be a host name such as \"github.com\", not a URL")
	case strings.Contains(n.Host, "@"):
		return fault.Invalid("host", "must hold no user name and no password")
	}
	return nil
}

func owner(s access.Subject) access.Principal {
	if s.Principal == access.PrincipalServiceAccount {
		return s.Principal
	}
	return access.PrincipalUser
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
	case !strings.EqualFold(host, t.Host):
		return fault.Invalid("integration_id", "is the integration with %s, and the credential is for %s", host, t.Host)
	}
	return nil
}
