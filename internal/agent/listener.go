package agent

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/musterhq/muster/internal/door"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/logtoken"
)

// The paths below the advertised URL.
const (
	logsPath          = "/logs"
	supportBundlePath = "/support-bundle"
)

const (
	headerTimeout   = 10 * time.Second
	idleTimeout     = 2 * time.Minute
	writeTimeout    = 30 * time.Second
	shutdownTimeout = 2 * time.Second
	// maxStrangers is how many connections may be open on which nobody has shown a
	// logs token.
	maxStrangers = 64
)

// listen serves the logs and the support bundle to those who reach this host,
// if the operator wants that. It refuses whom the relay would refuse, too.
func (r *runner) listen() (closeListener func(), err error) {
	if r.advertised == nil {
		return func() {}, nil
	}
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", r.cfg.LogListen)
	if err != nil {
		return nil, fault.Invalid("--log-listen", "The address %s cannot be listened at: %s. Name a free address of this host, such as 0.0.0.0:7080.", r.cfg.LogListen, cause(err)).WithCause(err)
	}
	// There is no flag for proxies here, so whoever calls is whoever connects.
	r.door = door.New(door.Config{Limits: door.Limits{Strangers: maxStrangers}, Log: r.log})
	server := &http.Server{
		Handler:           http.HandlerFunc(r.serveHTTP),
		ConnContext:       r.door.Connected,
		ConnState:         r.door.State,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		ErrorLog:          slog.NewLogLogger(r.log.Handler(), slog.LevelDebug),
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		if err := server.Serve(r.vitals.Listener(l)); !errors.Is(err, http.ErrServerClosed) {
			r.log.Error("the logs are not served at this host any more", "error", err)
		}
	}()
	r.say("serving logs and support bundles at %s, advertised as %s", l.Addr(), r.advertised)
	return func() {
		close(r.closing) // ends those who follow
		ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
		defer cancel()
		if server.Shutdown(ctx) != nil {
			_ = server.Close()
		}
		<-served
	}, nil
}

func cause(err error) string {
	if op := new(net.OpError); errors.As(err, &op) {
		return op.Err.Error()
	}
	return err.Error()
}

func (r *runner) serveHTTP(w http.ResponseWriter, q *http.Request) {
	visit := r.door.Visit(q)
	token, _ := strings.CutPrefix(q.Header.Get("Authorization"), "Bearer ")
	reader, err := r.trust.Load().Verify(token)
	if err == nil {
		visit.Proved()
	} else if f := new(fault.Error); errors.As(visit.Turn(), &f) {
		r.noReader(&visit, err)
		w.Header().Set("Retry-After", "1")
		http.Error(w, f.Message, http.StatusTooManyRequests)
		return
	}
	// A reverse proxy may or may not cut off the path of the advertised URL.
	path := strings.TrimPrefix(q.URL.Path, r.advertised.Path)
	if path != logsPath && path != supportBundlePath {
		http.Error(w, "Logs are at "+logsPath+", the support bundle is at "+supportBundlePath+".", http.StatusNotFound)
		return
	}
	if q.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		http.Error(w, "Only GET is answered here.", http.StatusMethodNotAllowed)
		return
	}
	if !r.hold.held() {
		http.Error(w, "The runner has no confirmed link to its control plane at the moment, and so does not know whom to trust. Try again.", http.StatusServiceUnavailable)
		return
	}
	if err != nil {
		r.noReader(&visit, err)
		w.Header().Set("WWW-Authenticate", "Bearer")
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	}
	select {
	case r.readers <- struct{}{}:
		defer func() { <-r.readers }()
	default:
		http.Error(w, errTooMany.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	out := &direct{w: w, control: http.NewResponseController(w), hold: r.hold}
	if path == logsPath {
		r.serveLogs(out, q, reader)
		return
	}
	r.log.Info("a support bundle is made", "for", reader.Person)
	w.Header().Set("Content-Type", "application/gzip")
	w.Header().Set("Content-Disposition", `attachment; filename="support-bundle.tar.gz"`)
	if err := r.writeBundle(q.Context(), out); err != nil {
		panic(http.ErrAbortHandler) // so that nobody takes it for whole
	}
}

// noReader logs, seldom, that somebody came with a token that is none.
func (r *runner) noReader(visit *door.Visit, why error) {
	if may, left := r.strangers.Take(time.Now()); may {
		r.log.Warn("somebody without a good logs token was refused", "address", visit.Address().String(), "reason", why.Error(), "not_shown_before", left)
	}
}

func (r *runner) serveLogs(out *direct, q *http.Request, reader logtoken.Reader) {
	tail, follow := 0, false
	if s := q.URL.Query().Get("tail"); s != "" {
		n, err := strconv.ParseUint(s, 10, 31)
		if err != nil {
			http.Error(out.w, "tail: give a number of lines; 0 is all that are kept", http.StatusBadRequest)
			return
		}
		tail = int(n)
	}
	if s := q.URL.Query().Get("follow"); s != "" {
		var err error
		if follow, err = strconv.ParseBool(s); err != nil {
			http.Error(out.w, "follow: give true or false", http.StatusBadRequest)
			return
		}
	}
	until := nothingMore()
	if follow {
		var stop func()
		until, stop = followUntil(r.closing, reader.Until)
		defer stop()
	}
	r.log.Info("the logs are read", "by", reader.Person)
	out.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_ = out.control.Flush() // the reader of a quiet log learns that it works
	if err := r.writeLogs(q.Context(), out, tail, until); err != nil {
		panic(http.ErrAbortHandler)
	}
}

// direct writes an answer piece by piece, as long as the lease is held and the
// reader reads.
type direct struct {
	w       http.ResponseWriter
	control *http.ResponseController
	hold    *hold
}

var errNotHeld = errors.New("the lease is not held")

func (d *direct) Write(p []byte) (int, error) {
	if !d.hold.held() {
		return 0, errNotHeld
	}
	if err := d.control.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	n, err := d.w.Write(p)
	if err != nil {
		return n, err
	}
	return n, d.control.Flush()
}
