package app

import (
	"context"
	"errors"
	"log/slog"
	"syscall"

	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/identity"
	"github.com/musterhq/muster/internal/store/sqlstore"
)

// Reset is what ResetAdmin made.
type Reset struct {
	// Organization is the name of the organization.
	Organization string
	// Name and Email are those of the admin whose token it is.
	Name, Email string
	Token       string
}

// ResetAdmin makes a token for an admin of an organization, which is named by its
// name or id and otherwise the first one. It works on the database that cfg names
// and needs no control plane; a SQLite database must not be in use by one.
func ResetAdmin(ctx context.Context, cfg Config, organization string) (Reset, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if err := cfg.checkDatabase(); err != nil {
		return Reset{}, err
	}
	store, _, err := openStore(ctx, &cfg, sqlstore.Options{})
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return Reset{}, fault.New(fault.FailedPrecondition, fault.StorageUnavailable,
			"The data directory %q is in use. Stop the control plane first, then run this again, and start it afterwards.", cfg.DataDir)
	}
	if err != nil {
		return Reset{}, err
	}
	defer closeAfter(store, cfg.Logger)
	return resetAdmin(ctx, identity.New(store.Identity(), nobody{}, cfg.Logger), organization)
}

func resetAdmin(ctx context.Context, s *identity.Service, organization string) (Reset, error) {
	o, err := s.FindOrganization(ctx, organization)
	if err != nil {
		return Reset{}, err
	}
	u, secret, err := s.ResetAdmin(ctx, o.ID)
	return Reset{Organization: o.Name, Name: u.Name, Email: u.Email, Token: secret}, err
}

// nobody stands for the links of a process that serves none.
type nobody struct{}

func (nobody) SecretsChanged(id.Runner, ...string) {}
