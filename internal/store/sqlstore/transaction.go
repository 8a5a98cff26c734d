package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
)

// transaction is one of PostgreSQL's, on a connection that nobody else uses
// meanwhile. The one of the package sql does not tell how far its COMMIT got.
type transaction struct{ *sql.Conn }

// begin begins a transaction. It must be ended.
func (r reconnecting) begin(ctx context.Context) (transaction, error) {
	conn, err := r.Conn(ctx)
	if err != nil {
		return transaction{}, err
	}
	if _, err := conn.ExecContext(ctx, "BEGIN ISOLATION LEVEL READ COMMITTED"); err != nil {
		transaction{conn}.end(ctx)
		return transaction{}, err
	}
	return transaction{conn}, nil
}

// errRolledBack is the answer to the COMMIT of a transaction that had failed.
var errRolledBack = errors.New("sqlstore: the server rolled the transaction back")

// commit ends the transaction. Its error is errInDoubt when COMMIT was sent and
// not answered.
func (t transaction) commit(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, statementLimit)
	defer cancel()
	return t.Raw(func(c any) error {
		conn := c.(connection).Conn.Conn()
		if conn.IsClosed() {
			return driver.ErrBadConn
		}
		tag, err := conn.Exec(ctx, "COMMIT")
		switch {
		case tag.String() == "COMMIT":
			return nil // answered, whatever became of the connection then
		case err == nil:
			return errRolledBack
		case unsent(err) || notCommitted(err):
			return err
		default:
			return fmt.Errorf("%w: %w", errInDoubt, err)
		}
	})
}

// unsent tells whether the driver is certain that nothing was sent. That it
// finds the connection closed proves nothing: it says so, too, when the
// connection ends while it waits for the answer.
func unsent(err error) bool {
	return pgconn.SafeToRetry(err) && !errors.Is(err, pgconn.ErrConnClosed)
}

// notCommitted tells whether the server said that it did not commit. What it says
// when it crashes, or what something between says of a lost connection, is no
// such word.
func notCommitted(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || e.SeverityUnlocalized == "PANIC" {
		return false
	}
	return e.Code != "57P02" && e.Code != "40003" && e.Code[:min(2, len(e.Code))] != "08"
}

// end gives the connection back, after a rollback if one is due.
func (t transaction) end(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), statementLimit)
	defer cancel()
	_ = t.Raw(func(c any) error {
		conn := c.(connection).Conn.Conn()
		if conn.IsClosed() {
			return driver.ErrBadConn
		}
		if conn.PgConn().TxStatus() == 'I' {
			return nil
		}
		if _, err := conn.Exec(ctx, "ROLLBACK"); err != nil {
			return driver.ErrBadConn
		}
		return nil
	})
	_ = t.Close() // it may be closed already
}
