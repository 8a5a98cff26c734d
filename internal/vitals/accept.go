package vitals

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/musterhq/muster/internal/pace"
)

// accepts are the connections that could not be accepted.
type accepts struct {
	failed atomic.Uint64
	lines  *pace.Lines
}

// Listener makes a listener tell when it cannot accept connections, which
// servers keep to themselves and try again.
func (w *Watch) Listener(l net.Listener) net.Listener { return &listener{l, w} }

// Failed is how often a connection could not be accepted.
func (w *Watch) Failed() uint64 { return w.accepts.failed.Load() }

type listener struct {
	net.Listener

	watch *Watch
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil && !errors.Is(err, net.ErrClosed) {
		l.watch.refused(err)
	}
	return c, err
}

func (w *Watch) refused(err error) {
	w.accepts.failed.Add(1)
	may, left := w.accepts.lines.Take(time.Now())
	if !may {
		return
	}
	attrs := []slog.Attr{slog.Any("error", err), slog.Int("failed_before", left)}
	for _, r := range w.resources {
		if r.Name != descriptors {
			continue
		}
		if reading, ok := r.Read(); ok {
			attrs = append(attrs, slog.Uint64("descriptors_used", reading.Used), slog.Uint64("descriptors_limit", reading.Limit))
		}
	}
	w.log.LogAttrs(context.Background(), slog.LevelError,
		"connections cannot be accepted, and their callers wait; it is tried again all the time", attrs...)
}
