// Package relay serves a runner's logs and support bundle to people, over the
// link, since runners sit where nobody can dial them.
//
// Both are plain GET requests with a logs token. The token is checked here, to
// bother no runner with a wrong one, and again by the runner, which does not
// take the control plane's word for it. Whether its holder still may is asked
// here, before and while it reads.
package relay

import (
	"context"
	"crypto/ed25519"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/musterhq/muster/internal/audit"
	"github.com/musterhq/muster/internal/door"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/link"
	"github.com/musterhq/muster/internal/logtoken"
	"github.com/musterhq/muster/internal/rpc/rpcerr"
)

// Handler serves the streams of runners.
type Handler struct {
	Hub    *link.Hub
	Issuer string
	// Keys returns the keys that verify logs tokens, by "kid".
	Keys func(ctx context.Context) (map[string]ed25519.PublicKey, error)
	// MayRead returns nil when somebody who was given a logs token of a runner may
	// read the runner's logs now.
	MayRead func(ctx context.Context, r id.Runner, person string) error
}

// Routes are the patterns and handlers to mount.
func (h *Handler) Routes() map[string]http.Handler {
	return map[string]http.Handler{
		"GET /runners/{runner}/logs":           http.HandlerFunc(h.logs),
		"GET /runners/{runner}/support-bundle": http.HandlerFunc(h.bundle),
	}
}

// refuse answers a request that fails before its first byte, as the API does.
func refuse(w http.ResponseWriter, r *http.Request, err error) {
	// Write fails when the reader is gone, who then needs no answer.
	_ = connect.NewErrorWriter().Write(w, r, rpcerr.New(err, audit.RequestID(r.Context())))
}

// maxTail is the most lines that can be asked for.
const maxTail = 1_000_000

func (h *Handler) logs(w http.ResponseWriter, r *http.Request) {
	h.serve(w, r, logsAsked, "text/plain; charset=utf-8", "")
}

// logsAsked is which lines a request asks for.
func logsAsked(q url.Values) (source link.Source, err error) {
	var tail uint64
	if t := q.Get("tail"); t != "" {
		if tail, err = strconv.ParseUint(t, 10, 32); err != nil || tail > maxTail {
			return source, fault.Invalid("tail", "must be a number of lines from 0 to %d; 0 means all that the runner has kept", maxTail)
		}
	}
	follow := false
	if f := q.Get("follow"); f != "" {
		if follow, err = strconv.ParseBool(f); err != nil {
			return source, fault.Invalid("follow", "must be true or false")
		}
	}
	return link.Logs(uint32(tail), follow), nil
}

func (h *Handler) bundle(w http.ResponseWriter, r *http.Request) {
	h.serve(w, r, func(url.Values) (link.Source, error) { return link.SupportBundle(), nil }, "application/gzip",
		`attachment; filename="muster-runner-`+id.Canonical(safe(r.PathValue("runner")))+`.tar.gz"`)
}

// safe keeps what is no id out of a header.
func safe(runner string) string {
	if !id.Valid(runner) {
		return "unknown"
	}
	return runner
}

// firstBytes is how long the answer's status waits for the runner: it may still
// refuse. A quiet runner's follower gets its headers then.
const firstBytes = 2 * time.Second

// writeTimeout is how long a reader may make one write wait.
const writeTimeout = 30 * time.Second

func (h *Handler) serve(w http.ResponseWriter, r *http.Request, asked func(url.Values) (link.Source, error), contentType, disposition string) {
	runner := id.Runner(id.Canonical(r.PathValue("runner")))
	token, reader, leave, err := h.admit(r, runner)
	if err != nil {
		refuse(w, r, err)
		return
	}
	defer leave()
	source, err := asked(r.URL.Query())
	if err != nil {
		refuse(w, r, err)
		return
	}
	// What is read under a token ends with it, in good order.
	reading, cancelReading := context.WithDeadlineCause(r.Context(), reader.Until, io.EOF)
	defer cancelReading()
	reading, lose := context.WithCancelCause(reading)
	defer h.watch(reading, lose, runner, reader.Person)()
	stream, err := h.Hub.OpenStream(r.Context(), runner, token, source)
	if err != nil {
		refuse(w, r, err)
		return
	}
	defer stream.Close()

	ctx, cancel := context.WithTimeout(r.Context(), firstBytes)
	err = stream.Wait(ctx)
	cancel()
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, context.DeadlineExceeded) {
		refuse(w, r, err)
		return
	}
	head := w.Header()
	head.Set("Content-Type", contentType)
	head.Set("Cache-Control", "no-store")
	head.Set("X-Accel-Buffering", "no")
	head.Set("X-Content-Type-Options", "nosniff")
	if disposition != "" {
		head.Set("Content-Disposition", disposition)
	}
	w.WriteHeader(http.StatusOK)
	if err := copyStream(reading, w, stream); err != nil {
		// The status is sent. A reader learns of the early end by the connection's.
		panic(http.ErrAbortHandler)
	}
}

// checkEvery is how long somebody may go on reading who lost the right to. It
// bounds the check itself, too.
const checkEvery = 20 * time.Second

// watch calls lose with the reason when a reader may not read any more. It must
// be stopped.
func (h *Handler) watch(ctx context.Context, lose context.CancelCauseFunc, runner id.Runner, person string) (stop func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(checkEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			check, cancel := context.WithTimeout(ctx, checkEvery/2)
			err := h.MayRead(check, runner, person)
			cancel()
			if err != nil {
				lose(err)
				return
			}
		}
	}()
	return func() {
		lose(nil)
		<-done
	}
}

// copyStream passes bytes on as they come.
func copyStream(ctx context.Context, w http.ResponseWriter, stream *link.Stream) error {
	control := http.NewResponseController(w)
	buf := make([]byte, 32<<10)
	for {
		if err := control.Flush(); err != nil {
			return err
		}
		n, err := stream.Read(ctx, buf)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		// Not every writer has deadlines; those of net/http have.
		_ = control.SetWriteDeadline(time.Now().Add(writeTimeout))
		if _, err := w.Write(buf[:n]); err != nil {
			return err
		}
	}
}

// admit lets a reader in who may read, which leave ends.
func (h *Handler) admit(r *http.Request, runner id.Runner) (token string, reader logtoken.Reader, leave func(), err error) {
	visit := door.VisitOf(r)
	done, err := visit.Prove()
	if err != nil {
		return "", reader, nil, err
	}
	token, reader, err = h.authorize(r, runner)
	done()
	switch {
	case fault.Is(err, fault.Unauthenticated):
		return "", reader, nil, visit.Bad(err)
	case err != nil:
		return "", reader, nil, err
	}
	visit.Proved()
	leave, err = visit.Open(reader.Person)
	return token, reader, leave, err
}

func (h *Handler) authorize(r *http.Request, runner id.Runner) (token string, reader logtoken.Reader, err error) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", reader, fault.New(fault.Unauthenticated, fault.MissingToken,
			"Reading a runner's logs needs a logs token, as \"Authorization: Bearer <token>\". CreateRunnerLogsToken makes one; \"muster runner logs\" does it for you.")
	}
	keys, err := h.Keys(r.Context())
	if err != nil {
		return "", reader, err
	}
	reader, err = logtoken.NewTrust(h.Issuer, runner, keys).Verify(token)
	if err != nil {
		return "", reader, fault.New(fault.Unauthenticated, fault.UnknownToken, "%s.", capital(err.Error()))
	}
	return token, reader, h.MayRead(r.Context(), runner, reader.Person)
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
