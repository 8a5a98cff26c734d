package app

import (
	"context"
	"os"
	"strings"

	"github.com/musterhq/muster/internal/durable"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/store/sqlstore"
	"github.com/musterhq/muster/internal/token"
)

// firstToken is the token of the first admin that this start made; zero for none.
type firstToken struct {
	secret string
	file   string // that has it
}

// bootstrap makes what the first start makes. A token that nobody chose is on disk
// before the database knows it: a start that is killed in between is repeated with
// another one, and none that works is ever lost.
func (p *plane) bootstrap(ctx context.Context, cfg *Config, store *sqlstore.Store) (err error) {
	if cfg.TokenFile == "" || cfg.BootstrapToken != "" {
		p.first.secret, err = p.identity.Bootstrap(ctx, cfg.BootstrapToken)
		return err
	}
	_, exists, err := store.OperatingOrganization(ctx)
	if err != nil {
		return err
	}
	if exists {
		p.remind(ctx, cfg.TokenFile)
		return nil
	}
	secret, _ := token.New(token.Personal)
	if err := durable.Write(cfg.TokenFile, []byte(secret+"\n")); err != nil {
		return fault.New(fault.FailedPrecondition, fault.StorageUnavailable,
			"The token of the first admin cannot be written to %s, which it is put in so that it is not lost. Fix the permissions of the directory, or choose a token in MUSTER_BOOTSTRAP_TOKEN. Nothing was made.", cfg.TokenFile).WithCause(err)
	}
	if _, err := p.identity.Bootstrap(ctx, secret); err != nil {
		return err
	}
	if _, err := p.identity.Authenticate(ctx, secret); fault.Is(err, fault.Unauthenticated) {
		// Another first start on the same database was faster, and has its own.
		return os.Remove(cfg.TokenFile)
	}
	p.first = firstToken{secret, cfg.TokenFile}
	return nil
}

// remind tells of a token that lies about.
func (p *plane) remind(ctx context.Context, file string) {
	secret, err := os.ReadFile(file) //nolint:gosec // it is in the data directory
	if err != nil {
		return
	}
	if _, err := p.identity.Authenticate(ctx, strings.TrimSpace(string(secret))); err == nil {
		p.log.Warn("the token of the first admin is still in a file; log in with it, keep it in a safe place, and remove the file", "file", file)
	}
}
