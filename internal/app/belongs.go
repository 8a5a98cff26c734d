package app

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"path/filepath"

	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/installation"
	"github.com/musterhq/muster/internal/seal"
	"github.com/musterhq/muster/internal/store/sqlstore"
)

// belonging is to which installation the data directory and the database belong.
type belonging struct {
	dir string
	// id is that of the directory; empty when it has none.
	id       string
	database installation.Database
}

// openStore opens the database that cfg names, unless it does not belong to the
// data directory. Nothing was changed then.
func openStore(ctx context.Context, cfg *Config, o sqlstore.Options) (*sqlstore.Store, *belonging, error) {
	b := &belonging{dir: cfg.DataDir}
	if cfg.DataDir != "" {
		var err error
		if b.id, err = installation.Read(cfg.DataDir); err != nil {
			return nil, nil, err
		}
	}
	judge := func(d installation.Database) error {
		b.database = d
		if cfg.AcceptDatabase {
			return nil
		}
		return installation.Check(cfg.DataDir, b.id, d)
	}
	if cfg.DatabaseURL == "" && cfg.DataDir != "" && !sqlstore.Initialized(cfg.DataDir) {
		// Opening would make the file.
		if err := judge(installation.Database{Name: filepath.Join(cfg.DataDir, sqlstore.DatabaseFile)}); err != nil {
			return nil, nil, err
		}
	}
	o.DataDir, o.URL, o.Logger, o.Admit = cfg.DataDir, cfg.DatabaseURL, cfg.Logger, judge
	store, err := sqlstore.Open(ctx, o)
	return store, b, err
}

// closeStore closes a database. What was acknowledged is safe in any case.
func closeStore(store *sqlstore.Store) error {
	err := store.Close()
	if err == nil {
		return nil
	}
	return fault.New(fault.FailedPrecondition, fault.StorageUnavailable,
		"The database could not be closed in order: another program reads it, or its disk fails. With SQLite, what was written last may still be in muster.db-wal: keep the two files together. The next orderly stop makes them one.").WithCause(err)
}

// closeAfter closes a database for a command whose work is done: what it has to
// show is worth more than how it closed.
func closeAfter(store *sqlstore.Store, log *slog.Logger) {
	if err := closeStore(store); err != nil {
		log.Error("the database could not be closed in order", "error", err)
	}
}

// secretKey reads the secret-key file. A first start makes it.
func (b *belonging) secretKey(path string) (*seal.Key, error) {
	load := seal.LoadKey
	if b.database.Filled {
		load = seal.OpenKey
	}
	key, err := load(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.New(fault.FailedPrecondition, fault.KeyMismatch,
			"There is no secret-key file %s, and a new one would not open what is in the database %s. Copy it from the other control plane or from a backup, or point --secret-key-file at it.", path, b.database.Name).WithCause(err)
	}
	if err != nil {
		return nil, fault.New(fault.FailedPrecondition, fault.KeyMismatch, "%s.", err)
	}
	return key, nil
}

// claim notes in the data directory to which installation it belongs. A directory
// that does not say so is taken for one from before there was such an id, so that a
// failure ends nothing.
func (b *belonging) claim(id string, log *slog.Logger) {
	installation.RemoveLeftovers(b.dir)
	if b.id == id {
		return
	}
	if b.id != "" {
		log.Warn("the data directory now belongs to another installation, as --accept-database says; leave the flag out from now on", "was", b.id, "is", id)
	}
	if err := installation.Write(b.dir, id); err != nil {
		log.Error("the data directory could not be marked as part of the installation; the next start tries again", "installation", id, "error", err)
	}
}
