package app

import (
	"context"
	"os"

	"github.com/musterhq/muster/internal/durable"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/store/sqlstore"
	"github.com/musterhq/muster/internal/token"
)

// bootstrap makes what the first start makes. A token that nobody chose, and
// that is not to be printed, is on disk before the database knows it: a start
// that is killed in between is repeated with another one, and none that works is
// ever lost.
func (p *plane) bootstrap(ctx context.Context, cfg *Config, store *sqlstore.Store) error {
	if cfg.TokenFile == "" || cfg.BootstrapToken != "" {
		var err error
		p.token, err = p.identity.Bootstrap(ctx, cfg.BootstrapToken)
		return err
	}
	_, exists, err := store.OperatingOrganization(ctx)
	if err != nil {
		return err
	}
	if exists {
		if _, err := os.Lstat(cfg.TokenFile); err == nil {
			p.log.Warn("the token of the first admin is still in a file; log in with it, keep it in a safe place, and remove the file", "file", cfg.TokenFile)
		}
		return nil
	}
	secret, _ := token.New(token.Personal)
	if err := durable.Write(cfg.TokenFile, []byte(secret+"\n")); err != nil {
		return fault.New(fault.FailedPrecondition, fault.StorageUnavailable,
			"The token of the first admin cannot be written to %s, and there is no terminal to show it on. Fix the permissions of the directory, or choose a token in MUSTER_BOOTSTRAP_TOKEN. Nothing was made.", cfg.TokenFile).WithCause(err)
	}
	if _, err := p.identity.Bootstrap(ctx, secret); err != nil {
		return err
	}
	if _, err := p.identity.Authenticate(ctx, secret); fault.Is(err, fault.Unauthenticated) {
		// Another first start on the same database was faster, and has its own.
		return os.Remove(cfg.TokenFile)
	}
	p.tokenFile = cfg.TokenFile
	return nil
}
