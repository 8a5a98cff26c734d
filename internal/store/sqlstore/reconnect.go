package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"

	"github.com/jackc/pgx/v5/pgconn"
)

// reconnecting is a pool of connections to a server that may have restarted
// since they were last used. What is safe to repeat is repeated once, on a
// fresh connection.
type reconnecting struct{ *sql.DB }

// QueryContext reads rows.
func (r reconnecting) QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	rows, err := r.DB.QueryContext(ctx, text, args...)
	if broken(err) {
		r.forget()
		return r.DB.QueryContext(ctx, text, args...)
	}
	return rows, err
}

// QueryRowContext reads one row.
func (r reconnecting) QueryRowContext(ctx context.Context, text string, args ...any) *sql.Row {
	row := r.DB.QueryRowContext(ctx, text, args...)
	if broken(row.Err()) {
		r.forget()
		return r.DB.QueryRowContext(ctx, text, args...)
	}
	return row
}

// begin begins a transaction that lasts as long as txCtx. Waiting for a
// connection lasts as long as ctx.
func (r reconnecting) begin(ctx, txCtx context.Context) (*sql.Tx, *sql.Conn, error) {
	tx, conn, err := r.tryBegin(ctx, txCtx)
	if broken(err) {
		r.forget()
		return r.tryBegin(ctx, txCtx)
	}
	return tx, conn, err
}

func (r reconnecting) tryBegin(ctx, txCtx context.Context) (*sql.Tx, *sql.Conn, error) {
	conn, err := r.Conn(ctx)
	if err != nil {
		return nil, nil, err
	}
	tx, err := conn.BeginTx(txCtx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		_ = conn.Close() // it goes back to the pool, which looks at its state
		return nil, nil, err
	}
	return tx, conn, nil
}

// forget closes the connections that nobody uses: what broke one has most
// likely broken all.
func (r reconnecting) forget() {
	r.SetMaxIdleConns(0)
	r.SetMaxIdleConns(maxConnections)
}

// broken tells whether err is that of a connection that was good once.
func broken(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	var server *pgconn.PgError
	if errors.As(err, &server) {
		return server.Code == "57P01" || server.Code == "57P02" // the server was stopped, or crashed
	}
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) {
		return false
	}
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) || errors.Is(err, sql.ErrTxDone)
}
