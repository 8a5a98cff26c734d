package sqlstore

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/pressly/goose/v3"

	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/installation"
	"github.com/musterhq/muster/internal/store/migrations"
)

// Options say which database to open.
type Options struct {
	// DataDir is the directory of the SQLite database. It is made when it is not
	// there, and belongs to one process at a time.
	DataDir string
	// URL is that of a PostgreSQL database; when it is set, DataDir is not used.
	URL string
	// Beside opens a database that a control plane may have open, or start to use,
	// for a small change. It must have the schema of this program.
	Beside bool
	// Admit judges what is in the database before anything in it is changed. Nil
	// takes any.
	Admit func(installation.Database) error
	// Publish gets the events of committed transactions, in the order of their
	// commits and one call at a time. It must return soon: writes wait for it.
	// Nil drops the events.
	Publish func([]event.Event)
	// Logger is told of changes of the schema. Nil drops them.
	Logger *slog.Logger
}

// Initialized tells whether a data directory has a database.
func Initialized(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, DatabaseFile))
	return err == nil
}

// Open opens the database and brings its schema up to date. Its errors are
// faults that tell an operator what to do.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Publish == nil {
		o.Publish = func([]event.Event) {}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	e, err := openEngine(o)
	if err != nil {
		return nil, err
	}
	if err := admit(ctx, e, o.Admit); err != nil {
		return nil, errors.Join(err, e.close())
	}
	prepare := migrate
	if o.Beside {
		prepare = requireSchema
	}
	if err := prepare(ctx, e, o.Logger); err != nil {
		return nil, errors.Join(err, e.close())
	}
	if err := e.start(ctx); err != nil {
		return nil, errors.Join(explained(e, err, "opening the database"), e.close())
	}
	return &Store{reads: newReads(e.reader(), e), engine: e}, nil
}

func openEngine(o Options) (engine, error) {
	switch {
	case o.URL != "":
		return openPostgres(o.URL, o.Publish)
	case o.DataDir != "":
		return openSQLite(o.DataDir, o.Publish, o.Beside)
	default:
		return nil, unusable(nil, "There is no place for the data. Name a directory with --data-dir, or a PostgreSQL database with --database-url.")
	}
}

func admit(ctx context.Context, e engine, judge func(installation.Database) error) error {
	if judge == nil {
		return nil
	}
	d, err := contents(ctx, e)
	if err != nil {
		return err
	}
	return judge(d)
}

// migrate brings the schema up to date. A schema that is newer than this
// program is refused: this program does not know what it must not break.
func migrate(ctx context.Context, e engine, log *slog.Logger) error {
	unlock, err := e.lockMigrations(ctx)
	if err != nil {
		return explained(e, err, "waiting for others to finish changing the schema")
	}
	defer unlock()

	provider, current, newest, err := schema(ctx, e)
	if err != nil {
		return err
	}
	if current > newest {
		return unusable(nil, "The database has schema version %d and this muster knows versions up to %d: a newer muster has used the database. "+
			"Start that muster or a newer one, or restore the backup from before the upgrade.", current, newest)
	}
	done, err := provider.Up(ctx)
	if err = explained(e, err, "changing the schema"); errors.Is(err, errBroken) {
		return unavailable(err, "The connection to the database broke while its schema was being changed. Start muster again: it goes on from where it was.")
	}
	if err != nil {
		return err
	}
	if len(done) > 0 {
		log.InfoContext(ctx, "changed the database schema", "from", current, "to", newest)
	}
	return nil
}

// requireSchema refuses a schema that is not the one of this program.
func requireSchema(ctx context.Context, e engine, _ *slog.Logger) error {
	_, current, newest, err := schema(ctx, e)
	if err == nil && current != newest {
		err = unusable(nil, "The database has schema version %d and this muster works with version %d. Use the program of the version that serves; its next start brings an older schema up to date.", current, newest)
	}
	return err
}

func schema(ctx context.Context, e engine) (provider *goose.Provider, current, newest int64, err error) {
	db, dialect := e.migrationDB()
	if provider, err = goose.NewProvider(dialect, db, migrations.Files); err != nil {
		return nil, 0, 0, explained(e, err, "reading the schema changes")
	}
	current, newest, err = provider.GetVersions(ctx)
	return provider, current, newest, explained(e, err, "reading the version of the schema")
}
