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
	// warnBefore is how long before its end people are warned of it, and warnEvery
	// how often.
	warnBefore, warnEvery = 14 * 24 * time.Hour, 24 * time.Hour
)

// tokenEnd is when the token in use ends, as the control plane said last.
type tokenEnd struct {
	mu            sync.Mutex
	server, token string
	at            time.Time
}

func (e *tokenEnd) note(server, token, header string) {
	at, err := time.Parse(time.RFC3339, header)
	if err != nil {
		return // an older control plane, or a token that does not end
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.server, e.token, e.at = server, token, at
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
		r.ends.note(r.server, r.token, res.Header.Get(expiryHeader))
	}
	return res, err
}

// renewal says how somebody with such a token comes to the next. Access tokens of
// service accounts live for minutes, and whoever uses them gets the next by
// themselves.
func renewal(server, token string) (how string, warn bool) {
	switch {
	case strings.HasPrefix(token, "muster_saaccess_"):
		return `"muster service-account token create", by an organization admin`, false
	case strings.HasPrefix(token, "muster_sa_"):
		return `"muster service-account token create", by an organization admin`, true
	default:
		return fmt.Sprintf(`"muster pat create NAME", then "muster login --server %s"`, quote(server)), true
	}
}

// warnOfExpiry says once a day that the token in use ends soon: when it has ended,
// it is too late to make another one with it. Nothing fails because of it.
func warnOfExpiry(env *Env) {
	e := &env.ends
	end, now := e.time(), env.Now()
	how, warn := renewal(e.server, e.token)
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
	file := filepath.Join(filepath.Dir(login), "warned-"+hex.EncodeToString(sum[:8]))
	if text, err := os.ReadFile(file); err == nil { //nolint:gosec // the user's own
		last, err := time.Parse(time.RFC3339, strings.TrimSpace(string(text)))
		if err == nil && !last.After(now) && now.Sub(last) < warnEvery {
			return true
		}
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err == nil {
		_ = os.WriteFile(file, []byte(now.Format(time.RFC3339)+"\n"), 0o600)
	}
	return false
}
