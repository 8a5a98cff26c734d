package sqlstore

import (
	"database/sql"
	"errors"

	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/store/sqlstore/query"
)

// reads are the look-ups. They are the same inside and outside of a
// transaction.
type reads struct {
	q *query.Queries
	// explained turns what the driver returned into what callers get to see.
	explained func(err error, doing string) error
}

func newReads(db query.DBTX, d dialect) reads {
	return reads{q: query.New(db), explained: func(err error, doing string) error {
		err = explained(d, err, doing)
		if errors.Is(err, fault.ErrLost) { // a deadlock, or a standby that had to go on
			err = unavailable(err, "The database gave up a look-up in favour of others. Try again in a moment.")
		}
		return err
	}}
}

// one finishes the look-up of a row that need not be there.
func one[R, T any](r reads, row R, err error, doing string, convert func(R) (T, error)) (T, bool, error) {
	var none T
	if errors.Is(err, sql.ErrNoRows) {
		return none, false, nil
	}
	if err != nil {
		return none, false, r.explained(err, doing)
	}
	value, err := convert(row)
	if err != nil {
		return none, false, r.explained(err, doing)
	}
	return value, true, nil
}

// all finishes a list.
func all[R, T any](r reads, rows []R, err error, doing string, convert func(R) (T, error)) ([]T, error) {
	if err != nil {
		return nil, r.explained(err, doing)
	}
	values := make([]T, len(rows))
	for i, row := range rows {
		if values[i], err = convert(row); err != nil {
			return nil, r.explained(err, doing)
		}
	}
	return values, nil
}
