package cli

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/proto"

	"github.com/musterhq/muster/internal/cli/out"
)

// report tells people why a command failed: the sentence as the server wrote
// it, and on a second line what to look for in the documentation and in the
// server's log.
func report(ctx context.Context, env *Env, err error) {
	if connect.CodeOf(err) == connect.CodeUnauthenticated {
		env.ends.forget() // the token has ended, whenever it was to end
	}
	interrupted := ctx.Err() != nil && isCanceled(err)
	_, lost := errors.AsType[*unanswered](err)
	switch {
	case interrupted && lost:
		fmt.Fprintln(env.Stderr, "muster: interrupted. "+noAnswer)
	case interrupted:
		fmt.Fprintln(env.Stderr, "muster: interrupted")
		return
	default:
		fmt.Fprintf(env.Stderr, "muster: %s\n", sentence(err))
	}
	var more *advised
	if errors.As(err, &more) {
		fmt.Fprintln(env.Stderr, more.advice)
	}
	info := detail(err)
	if lost || info.GetReason() == outcomeUnknown {
		fmt.Fprintln(env.Stderr, howToLook)
	}
	if info == nil {
		return
	}
	note := "reason " + info.GetReason()
	if id := info.GetMetadata()["request_id"]; id != "" {
		note += ", request " + id
	}
	fmt.Fprintf(env.Stderr, "        (%s)\n", out.Clean(note))
}

// outcomeUnknown is the reason of a change of which the control plane does not
// know whether it was made.
const outcomeUnknown = "outcome-unknown"

const (
	noAnswer  = "It is not known whether the control plane did what it was asked."
	howToLook = `        Look before you run the command again, or it may be done twice: "list" and "get" show what
        there is, "muster audit list" what was done.`
)

// unanswered is the error of a call that was sent and whose answer did not come.
type unanswered struct{ error }

func (u *unanswered) Error() string {
	return clause(u.error.Error()) + ". " + noAnswer
}

func (u *unanswered) Unwrap() error { return u.error }

// sentence is an error for people: what the server wrote, without its code.
func sentence(err error) string {
	var wire *connect.Error
	if errors.As(err, &wire) && connect.IsWireError(wire) {
		return out.Clean(wire.Message())
	}
	return err.Error()
}

// clause is a sentence that another one goes on with.
func clause(sentence string) string { return strings.TrimRight(sentence, ".?!") }

// detail is what a server's error says for programs: its stable reason and the
// id of the request.
func detail(err error) *errdetails.ErrorInfo {
	var plain *refusal
	if errors.As(err, &plain) {
		return plain.info
	}
	var wire *connect.Error
	if !errors.As(err, &wire) {
		return nil
	}
	for _, d := range wire.Details() {
		m, err := d.Value()
		if err != nil {
			continue
		}
		if info, ok := m.(*errdetails.ErrorInfo); ok {
			return info
		}
	}
	return nil
}

// retrying says that something is tried again, and when.
func retrying(env *Env, err error, wait time.Duration) {
	fmt.Fprintf(env.Stderr, "muster: %s; trying again in %s\n", clause(sentence(err)), wait.Round(100*time.Millisecond))
}

// toldToWait is how long a server's error says to wait, within bounds; 0 when it
// does not say.
func toldToWait(err error) time.Duration {
	var told time.Duration
	var plain *refusal
	var wire *connect.Error
	switch {
	case errors.As(err, &plain):
		told = plain.wait
	case errors.As(err, &wire):
		for _, d := range wire.Details() {
			m, err := d.Value()
			if info, ok := m.(*errdetails.RetryInfo); ok && err == nil {
				told = info.GetRetryDelay().AsDuration()
			}
		}
		if told == 0 {
			told = seconds(wire.Meta().Get("Retry-After"))
		}
	}
	return min(max(told, 0), maxTold)
}

// seconds reads the value of a Retry-After; 0 when it is none.
func seconds(value string) time.Duration {
	n, err := strconv.ParseUint(value, 10, 32)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}

func isCanceled(err error) bool {
	return errors.Is(err, context.Canceled) || connect.CodeOf(err) == connect.CodeCanceled
}

// turnedAway is the error of a call that something answered and that no control plane
// took: nothing was done.
type turnedAway struct {
	message string
	cause   error
}

func (e *turnedAway) Error() string { return e.message }

func (e *turnedAway) Unwrap() error { return e.cause }

// turned tells whether a call was turned away, and says by whom. Only an HTTP status
// gives these codes to an error that is not the server's own.
func turned(server string, err error) error {
	var answer *connect.Error
	if !errors.As(err, &answer) || answered(err) {
		return nil
	}
	switch answer.Code() {
	case connect.CodeUnimplemented:
		return &turnedAway{fmt.Sprintf("the control plane at %s does not know this call: it is older than this program, or something else answers there", server), err}
	case connect.CodeUnauthenticated, connect.CodePermissionDenied:
		return &turnedAway{fmt.Sprintf("something in front of the control plane at %s refuses this call: %s", server, out.Clean(answer.Message())), err}
	default:
		return nil
	}
}

// unreachable puts into words why a request never reached a server. What a
// server answered passes unchanged.
func unreachable(server string, err error) error {
	if err == nil || isCanceled(err) || answered(err) {
		return err
	}
	if away := turned(server, err); away != nil {
		return away
	}
	// The innermost error is the one that says why; the outer ones repeat the URL.
	why := err
	var op *net.OpError
	var u *url.Error
	switch {
	case errors.As(err, &op):
		why = op.Err
	case errors.As(err, &u):
		why = u.Err
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nothing answers at %s. Is the control plane running there?", server)
	case strings.Contains(why.Error(), "certificate signed by unknown authority"):
		return fmt.Errorf("cannot reach %s: %w. If the authority is a private one, give its certificate with --ca-file", server, why)
	default:
		return fmt.Errorf("cannot reach %s: %w", server, why)
	}
}

// answered tells whether an error is an answer of the server.
func answered(err error) bool {
	var wire *connect.Error
	return errors.As(err, &wire) && connect.IsWireError(wire)
}

// permanent tells whether trying the same call again is pointless.
func permanent(err error) bool {
	if _, away := errors.AsType[*turnedAway](err); away {
		return true
	}
	if !answered(err) {
		return false
	}
	switch connect.CodeOf(err) {
	case connect.CodeUnavailable, connect.CodeDeadlineExceeded, connect.CodeAborted, connect.CodeResourceExhausted,
		connect.CodeInternal, connect.CodeUnknown, connect.CodeCanceled:
		return false
	default:
		return true
	}
}

// missing says that what was named does not exist.
type missing struct{ message string }

func (e *missing) Error() string { return e.message }

func isMissing(err error) bool {
	var local *missing
	return errors.As(err, &local) || answered(err) && connect.CodeOf(err) == connect.CodeNotFound
}

// hasReason tells whether the server gave a reason for an error.
func hasReason(err error, reason string) bool { return detail(err).GetReason() == reason }

// isThere tells whether something could not be made because it is there.
func isThere(err error) bool {
	return answered(err) && connect.CodeOf(err) == connect.CodeAlreadyExists
}

// refusal is the error of a plain HTTP response, such as that of a log URL.
type refusal struct {
	message string
	info    *errdetails.ErrorInfo
	// wait is when to try again; 0 when the server does not say.
	wait time.Duration
}

func (e *refusal) Error() string { return e.message }

// refused reads the error of a plain HTTP response, which has the JSON form of
// all errors.
func refused(resp *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	var said struct {
		Message string `json:"message"`
		Details []struct {
			Type  string `json:"type"`
			Value string `json:"value"`
		} `json:"details"`
	}
	if json.Unmarshal(body, &said) != nil || said.Message == "" {
		return fmt.Errorf("%s answered %s", resp.Request.URL.Redacted(), resp.Status)
	}
	r := &refusal{message: out.Clean(said.Message), wait: seconds(resp.Header.Get("Retry-After"))}
	for _, d := range said.Details {
		info := &errdetails.ErrorInfo{}
		raw, err := base64.RawStdEncoding.DecodeString(d.Value)
		if err == nil && d.Type == "google.rpc.ErrorInfo" && proto.Unmarshal(raw, info) == nil {
			r.info = info
		}
	}
	return r
}
