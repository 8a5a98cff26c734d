package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/musterhq/muster/internal/store/sqlstore/query"
)

// statements prepares each statement of SQLite once, since parsing one costs
// more than running it. (The driver of PostgreSQL does that by itself.)
//
// A statement that has begun runs to its end: SQLite answers in microseconds,
// and interrupting a statement would roll back the whole transaction, with the
// calls of others in it.
type statements struct {
	db query.DBTX // a connection, or a pool of them

	mu       sync.RWMutex
	prepared map[string]*sql.Stmt
}

func newStatements(db query.DBTX) *statements {
	return &statements{db: db, prepared: map[string]*sql.Stmt{}}
}

// close lets go of the statements: a connection of SQLite stays open for as long as
// it has one, also when it was closed, and then nobody moves what the log has into
// the database file. No call may be under way or come.
func (s *statements) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, stmt := range s.prepared {
		errs = append(errs, stmt.Close())
	}
	clear(s.prepared)
	return errors.Join(errs...)
}

func (s *statements) statement(ctx context.Context, text string) (*sql.Stmt, error) {
	s.mu.RLock()
	stmt, ok := s.prepared[text]
	s.mu.RUnlock()
	if ok {
		return stmt, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if stmt, ok := s.prepared[text]; ok {
		return stmt, nil
	}
	stmt, err := s.db.PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	s.prepared[text] = stmt
	return stmt, nil
}

// ExecContext runs a prepared statement.
func (s *statements) ExecContext(ctx context.Context, text string, args ...any) (sql.Result, error) {
	stmt, err := s.statement(ctx, text)
	if err != nil {
		return nil, err
	}
	return stmt.ExecContext(toItsEnd(ctx), checked(args)...)
}

// QueryContext runs a prepared query.
func (s *statements) QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	stmt, err := s.statement(ctx, text)
	if err != nil {
		return nil, err
	}
	return stmt.QueryContext(toItsEnd(ctx), checked(args)...)
}

// QueryRowContext runs a prepared query for one row.
func (s *statements) QueryRowContext(ctx context.Context, text string, args ...any) *sql.Row {
	stmt, err := s.statement(ctx, text)
	if err != nil {
		return s.db.QueryRowContext(ctx, text, args...) // a Row is made by the package sql only; this one holds the error
	}
	return stmt.QueryRowContext(toItsEnd(ctx), checked(args)...)
}

// PrepareContext hands out a statement that the caller owns.
func (s *statements) PrepareContext(ctx context.Context, text string) (*sql.Stmt, error) {
	return s.db.PrepareContext(ctx, text)
}

// toItsEnd lets a statement finish, unless it is too late to begin.
func toItsEnd(ctx context.Context) context.Context {
	if ctx.Err() != nil {
		return ctx
	}
	return context.WithoutCancel(ctx)
}

// checked refuses the texts that PostgreSQL would refuse.
func checked(args []any) []any {
	for i, a := range args {
		if text, ok := a.(string); ok && (strings.IndexByte(text, 0) >= 0 || !utf8.ValidString(text)) {
			args[i] = refused{}
		}
	}
	return args
}

// refused is an argument that makes its statement fail.
type refused struct{}

func (refused) Value() (driver.Value, error) { return nil, errText }
