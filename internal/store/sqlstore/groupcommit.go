package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"

	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
)

// maxBatch is how many calls share a commit, at most.
const maxBatch = 128

// groupCommitter commits the calls of many goroutines together, because a
// commit waits for the disk and the calls themselves do not. All calls that
// came in while one commit was under way make up the next.
//
// The calls of a batch run one after the other, each on its own goroutine when
// its turn comes and each in a savepoint: one that fails, or panics, takes back
// what it did itself and nothing else.
type groupCommitter struct {
	dialect dialect
	publish func([]event.Event)
	cache   *runnerCache
	conn    *sql.Conn
	db      *statements
	calls   chan *groupCall
	stopped chan struct{}
}

// groupCall is one call of write.
type groupCall struct {
	ctx context.Context //nolint:containedctx // a call is a message that carries its own context
	fn  func(*Tx) error
	// turn lets the call run; ran tells that it did, and how it went; done tells
	// whether it was committed.
	turn chan *Tx
	ran  chan error
	done chan error
}

// errAbandoned is the result of a function that ended without returning.
var errAbandoned = errors.New("sqlstore: the function of a transaction panicked")

// newGroupCommitter starts to serve on a connection.
func newGroupCommitter(conn *sql.Conn, d dialect, cache *runnerCache, publish func([]event.Event)) *groupCommitter {
	g := &groupCommitter{
		dialect: d, cache: cache, publish: publish, conn: conn, db: newStatements(conn),
		calls: make(chan *groupCall), stopped: make(chan struct{}),
	}
	go g.serve()
	return g
}

// close calls last with the connection, which nothing uses any more. It may be
// called when no call of write is under way or comes.
func (g *groupCommitter) close(last func(*sql.Conn) error) error {
	close(g.calls)
	<-g.stopped
	return errors.Join(g.db.close(), last(g.conn), g.conn.Close())
}

func (g *groupCommitter) write(ctx context.Context, fn func(*Tx) error) error {
	if err := ctx.Err(); err != nil {
		return fault.Wrap(err, "waiting to write")
	}
	// done has room for the answer to a call that panicked and does not look.
	c := &groupCall{ctx: ctx, fn: fn, turn: make(chan *Tx), ran: make(chan error), done: make(chan error, 1)}
	select {
	case g.calls <- c:
	case <-ctx.Done():
		return fault.Wrap(ctx.Err(), "waiting to write")
	}
	for {
		select {
		case tx := <-c.turn:
			c.run(tx)
		case err := <-c.done:
			return err
		}
	}
}

func (c *groupCall) run(tx *Tx) {
	err := errAbandoned
	defer func() { c.ran <- err }()
	err = tx.run(c.fn)
}

func (g *groupCommitter) serve() {
	defer close(g.stopped)
	for c := range g.calls {
		g.commit(g.gather(c))
	}
}

// gather makes a batch of the first call and those that wait already. The
// callers of the batch before were answered a moment ago: letting them go first
// costs nothing, and brings their next calls into this batch and not the one
// after it.
func (g *groupCommitter) gather(first *groupCall) []*groupCall {
	runtime.Gosched()
	batch := []*groupCall{first}
	for len(batch) < maxBatch {
		select {
		case c, ok := <-g.calls:
			if !ok {
				return batch
			}
			batch = append(batch, c)
		default:
			return batch
		}
	}
	return batch
}

// commit runs a batch, commits it, and then answers each call. A call that
// failed is answered no sooner than the others: it may have failed because of
// what a call before it wrote, and that is true only once it is committed.
func (g *groupCommitter) commit(batch []*groupCall) {
	failures := make([]error, len(batch))
	var events []event.Event
	var changed []id.Runner
	changedAny := false
	err := g.exec("BEGIN IMMEDIATE")
	for i, c := range batch {
		if err != nil {
			break // the transaction is gone, and all in it
		}
		var tx *Tx
		tx, failures[i], err = g.call(c)
		if err == nil && failures[i] == nil {
			events = append(events, tx.events...)
			changed = append(changed, tx.changed...)
			changedAny = changedAny || tx.changedAny
		}
	}
	if err == nil {
		if err = g.exec("COMMIT"); inDoubt(err) {
			err = fmt.Errorf("%w: %w", errInDoubt, err)
		}
	}
	if err != nil {
		_ = g.exec("ROLLBACK") // there may be nothing left to roll back
		err = explained(g.dialect, err, "committing")
	}
	if changedAny {
		g.cache.forgetAll()
	}
	g.cache.forget(changed) // also when it is not known what became of them
	if fault.MayHaveHappened(err) && len(events) > 0 {
		g.publish(events)
	}
	for i, c := range batch {
		if err != nil {
			c.done <- err
			continue
		}
		c.done <- failures[i]
	}
}

// call runs one call in a savepoint. failure is the call's own; err is that of
// the whole transaction.
func (g *groupCommitter) call(c *groupCall) (tx *Tx, failure, err error) {
	if err := c.ctx.Err(); err != nil {
		return nil, fault.Wrap(err, "waiting to write"), nil
	}
	if err := g.exec("SAVEPOINT call"); err != nil {
		return nil, nil, err
	}
	for range attempts {
		tx = newTx(g.db, g.dialect)
		c.turn <- tx
		failure = <-c.ran
		if failure == nil {
			break
		}
		// When SQLite has given up the transaction by itself (a full disk, say),
		// the savepoint is gone and this fails.
		if err := g.exec("ROLLBACK TO call"); err != nil {
			return nil, nil, errors.Join(err, failure)
		}
		if !errors.Is(failure, fault.ErrLost) {
			break
		}
	}
	if errors.Is(failure, fault.ErrLost) {
		failure = conflict(failure)
	}
	return tx, failure, g.exec("RELEASE call")
}

func (g *groupCommitter) exec(statement string) error {
	_, err := g.db.ExecContext(context.Background(), statement)
	return err
}
