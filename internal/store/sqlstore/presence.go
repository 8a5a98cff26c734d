package sqlstore

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// presence is a lock that PostgreSQL lets go of as soon as this process is gone:
// one of a session, on a connection that does nothing else. There is none through a
// pooler, whose sessions do not end with their clients.
type presence struct {
	config *pgx.ConnConfig
	key    int64 // never 0

	mu   sync.Mutex
	stop context.CancelFunc // nil while nothing is held
	done chan struct{}
}

func newPresence(config *pgx.ConnConfig) *presence {
	return &presence{config: config, key: 1 + rand.Int64N(1<<62)} //nolint:gosec // it need only differ
}

// hold takes the lock, if it has not yet, and keeps it until release is called. The
// key is 0 where none can be held.
func (p *presence) hold(ctx context.Context) (key int64, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stop != nil {
		return p.key, nil
	}
	conn, err := p.take(ctx)
	if err != nil || conn == nil {
		return 0, err
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	p.stop, p.done = stop, make(chan struct{})
	go func() {
		defer close(p.done)
		p.keep(background, conn)
	}()
	return p.key, nil
}

// take takes the lock on a fresh connection; nil when that is one of a pooler, which
// shows in that another process of the server answers than was promised.
func (p *presence) take(ctx context.Context) (*pgx.Conn, error) {
	conn, err := pgx.ConnectConfig(ctx, p.config)
	if err != nil {
		return nil, err
	}
	var process uint32
	err = conn.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&process)
	pooled := process != conn.PgConn().PID()
	if err == nil && !pooled {
		_, err = conn.Exec(ctx, "SELECT pg_advisory_lock($1)", p.key)
	}
	if err != nil || pooled {
		leave(conn)
		return nil, err
	}
	return conn, nil
}

// retakeEvery is how often the lock of a connection that broke is tried to be taken
// again. It is well below the time between two looks of whoever takes over.
const retakeEvery = 200 * time.Millisecond

// keep takes the lock again whenever its connection breaks.
func (p *presence) keep(ctx context.Context, conn *pgx.Conn) {
	for {
		_, _ = conn.WaitForNotification(ctx) // none is sent: it returns when the connection breaks
		leave(conn)
		for conn = nil; conn == nil; {
			select {
			case <-ctx.Done():
				return
			case <-time.After(retakeEvery):
				conn, _ = p.take(ctx) // as long as it fails, others may take this process for gone
			}
		}
	}
}

// leave closes a connection, which a server that has gone need not hear of.
func leave(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx)
}

func (p *presence) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stop != nil {
		p.stop()
		<-p.done
		p.stop = nil
	}
}
