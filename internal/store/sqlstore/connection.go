package sqlstore

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/jackc/pgx/v5/stdlib"
)

// statementLimit ends a statement of a database that has fallen silent.
const statementLimit = 30 * time.Second

// errSilent is what becomes of such a statement.
var errSilent = errors.New("sqlstore: the database did not answer in time")

// connector makes the connections of the pool.
type connector struct{ driver.Connector }

func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return connection{conn.(*stdlib.Conn)}, nil
}

// connection is one of the driver's whose queries are answered as a whole or
// not at all, so that one which broke off in the middle can be repeated like
// any other, and whose statements end.
type connection struct{ *stdlib.Conn }

// ExecContext runs a statement.
func (c connection) ExecContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Result, error) {
	limited, cancel := context.WithTimeout(ctx, statementLimit)
	defer cancel()
	result, err := c.Conn.ExecContext(limited, text, args)
	return result, reason(ctx, limited, err)
}

// QueryContext reads all rows of a query.
func (c connection) QueryContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Rows, error) {
	limited, cancel := context.WithTimeout(ctx, statementLimit)
	defer cancel()
	rows, err := c.Conn.QueryContext(limited, text, args)
	if err != nil {
		return nil, reason(ctx, limited, err)
	}
	all := &fetched{columns: rows.Columns()}
	for {
		row := make([]driver.Value, len(all.columns))
		if err = rows.Next(row); err != nil {
			break
		}
		all.rows = append(all.rows, row)
	}
	if errors.Is(err, io.EOF) {
		err = nil // the end; if it was that of the connection, Close says so
	}
	if err := errors.Join(err, rows.Close()); err != nil {
		return nil, reason(ctx, limited, err)
	}
	return all, nil
}

// reason is the error of a statement: that of its caller's context, or of its own
// limit, before what the driver made of it.
func reason(ctx, limited context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w", ctx.Err(), err)
	case limited.Err() != nil:
		return errSilent
	default:
		return err
	}
}

// fetched are rows that were read.
type fetched struct {
	columns []string
	rows    [][]driver.Value
}

// Columns implements driver.Rows.
func (f *fetched) Columns() []string { return f.columns }

// Next implements driver.Rows.
func (f *fetched) Next(dest []driver.Value) error {
	if len(f.rows) == 0 {
		return io.EOF
	}
	copy(dest, f.rows[0])
	f.rows = f.rows[1:]
	return nil
}

// Close implements driver.Rows.
func (*fetched) Close() error { return nil }
