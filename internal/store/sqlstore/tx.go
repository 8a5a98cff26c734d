package sqlstore

import (
	"errors"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/identity"
	"github.com/musterhq/muster/internal/store/sqlstore/query"
)

// Tx is one transaction, for all nouns. It ends with the function that it was
// made for.
//
// A statement that fails fails the transaction, also when the function goes on:
// PostgreSQL does so, and SQLite would not.
type Tx struct {
	reads
	events  []event.Event
	changed []id.Runner // with their sessions
	// changedAny says that any number of runners changed.
	changedAny bool
	failure    error
}

var (
	_ identity.Tx = (*Tx)(nil)
	_ fleet.Tx    = (*Tx)(nil)
)

func newTx(db query.DBTX, d dialect) *Tx {
	tx := &Tx{}
	tx.reads = reads{q: query.New(db), explained: func(err error, doing string) error {
		err = explained(d, err, doing)
		if tx.failure == nil {
			tx.failure = err
		}
		return err
	}}
	return tx
}

// run calls fn and returns what became of it.
func (tx *Tx) run(fn func(*Tx) error) error {
	err := fn(tx)
	tx.q = nil // whoever keeps a Tx must not write into the transaction of another
	if tx.failure != nil && (err == nil || errors.Is(tx.failure, fault.ErrLost) || errors.Is(tx.failure, errBroken)) {
		return tx.failure
	}
	return err
}

// Emit keeps e until the transaction has committed.
func (tx *Tx) Emit(e event.Event) { tx.events = append(tx.events, e) }

func subject(principal int32, id string) access.Subject {
	return access.Subject{Principal: access.Principal(principal), ID: id}
}
