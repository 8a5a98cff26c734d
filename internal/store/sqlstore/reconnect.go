package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// reconnecting is a pool of connections to a server that may have restarted
// since they were last used. A query is repeated once, on a fresh connection.
type reconnecting struct{ *sql.DB }

// QueryContext reads rows.
func (r reconnecting) QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	rows, err := r.DB.QueryContext(ctx, text, args...)
	if broken(err) && ctx.Err() == nil {
		r.forget()
		return r.DB.QueryContext(ctx, text, args...)
	}
	return rows, err
}

// QueryRowContext reads one row.
func (r reconnecting) QueryRowContext(ctx context.Context, text string, args ...any) *sql.Row {
	row := r.DB.QueryRowContext(ctx, text, args...)
	if broken(row.Err()) && ctx.Err() == nil {
		r.forget()
		return r.DB.QueryRowContext(ctx, text, args...)
	}
	return row
}

// forget closes the connections that nobody uses: what broke one has most
// likely broken all.
func (r reconnecting) forget() {
	r.SetMaxIdleConns(0)
	r.SetMaxIdleConns(maxConnections)
}

// broken tells whether err is that of a connection and not of what was asked on
// it, so that asking on another one makes sense.
func broken(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch e.Code {
		case "57P01", "57P02", "57P03", // the server stops, crashed, or is not ready
			"57P05", "25P03", "25P04", // it ends connections or transactions that last too long
			"25006": // it takes no changes: another one may have become the primary
			return true
		}
		return strings.HasPrefix(e.Code, "08")
	}
	if errors.Is(err, pgconn.ErrConnClosed) || pgconn.SafeToRetry(err) {
		return true
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return true
	}
	_, network := errors.AsType[net.Error](err)
	return network || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone)
}
