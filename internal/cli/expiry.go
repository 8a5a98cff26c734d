package cli

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/musterhq/muster/internal/cli/out"
)

const (
	// expiryHeader is the header in which a control plane says when the token that
	// a call came with ends.
	expiryHeader = "Muster-Token-Expires"
	// readOnlyHeader says that with the token nothing can be changed.
	readOnlyHeader = "Muster-Token-Read-Only"
	// warnBefore is how long before its end people are warned of it, and warnEvery
	// how often.
	warnBefore, warnEvery = 14 * 24 * time.Hour, 24 * time.Hour
)

// tokenEnd is when the token in use ends, as the control plane said last.
type tokenEnd struct {
	mu            sync.Mutex
	server, token string
	readOnly      bool
	at            time.Time
}

func (e *tokenEnd) note(server, token string, h http.Header) {
	at, err := time.Parse(time.RFC3339, h.Get(expiryHeader))
	if err != nil {
		return // an older control plane, or a token that does not end
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.server, e.token, e.at, e.readOnly = server, token, at, h.Get(readOnlyHeader) == "true"
}

// forget is called when the token works no more.
func (e *tokenEnd) forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.at = time.Time{}
}

// end is zero when it is not known that the token ends.
func (e *tokenEnd) time() time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.at
}

// expiryReader notes what the answers to calls say of the token.
type expiryReader struct {
	http.RoundTripper
	ends          *tokenEnd
	server, token string
}

// RoundTrip implements http.RoundTripper.
func (r *expiryReader) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := r.RoundTripper.RoundTrip(req)
	if err == nil && req.Header.Get("Authorization") != "" {
		r.ends.note(r.server, r.token, res.Header)
	}
	return res, err
}

// renewal says how somebody with such a token comes to the next. Access tokens of
// service accounts live for minutes, and whoever uses them gets the next by
// themselves.
func renewal(e *tokenEnd) (how string, warn bool) {
	server, token := e.server, e.token
	switch {
	case strings.HasPrefix(token, "muster_saaccess_"):
		return `"muster service-account token create", by an organization admin`, false
	case strings.HasPrefix(token, "muster_sa_"):
		return `"muster service-account token create", by an organization admin`, true
	case e.readOnly:
		return fmt.Sprintf(`"muster pat create NAME --read-only" with a token of yours that may write, since this one makes none, then "muster login --server %s"`, quote(server)), true
	default:
		return fmt.Sprintf(`"muster pat create NAME", then "muster login --server %s"`, quote(server)), true
	}
}

// warnOfExpiry says once a day that the token in use ends soon: when it has ended,
// it is too late to make another one with it. Nothing fails because of it.
func warnOfExpiry(env *Env) {
	e := &env.ends
	end, now := e.time(), env.Now()
	how, warn := renewal(e)
	if end.IsZero() || !warn || !end.After(now) || end.Sub(now) > warnBefore || warnedToday(e.server, e.token, now) {
		return
	}
	fmt.Fprintf(env.Stderr, "muster: your token for %s ends %s. Make a new one while it works: %s.\n", e.server, out.Time(now, timestamppb.New(end)), how)
}

// warnedToday tells whether the last warning is less than a day old, and notes that
// there is one now. Where that cannot be kept, there is a warning each time: better
// too many than none.
func warnedToday(server, token string, now time.Time) bool {
	login, err := loginFile()
	if err != nil {
		return false
	}
	sum := sha256.Sum256([]byte(server + "\n" + token))
	file := filepath.Join(filepath.Dir(login), warnedPrefix+hex.EncodeToString(sum[:8]))
	if text, err := os.ReadFile(file); err == nil { //nolint:gosec // the user's own
		last, err := time.Parse(time.RFC3339, strings.TrimSpace(string(text)))
		if err == nil && !last.After(now) && now.Sub(last) < warnEvery {
			return true
		}
	}
	forgetWarnings(filepath.Dir(file), now)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err == nil {
		_ = os.WriteFile(file, []byte(now.Format(time.RFC3339)+"\n"), 0o600)
	}
	return false
}

// warnedPrefix begins the names of the files that say when somebody was warned.
const warnedPrefix = "warned-"

// forgetWarnings removes what was noted for other tokens and says nothing any more.
func forgetWarnings(dir string, now time.Time) {
	files, _ := filepath.Glob(filepath.Join(dir, warnedPrefix+strings.Repeat("[0-9a-f]", 16)))
	for _, file := range files {
		if info, err := os.Lstat(file); err == nil && info.Mode().IsRegular() && now.Sub(info.ModTime()) >= warnEvery {
			_ = os.Remove(file)
		}
	}
}
