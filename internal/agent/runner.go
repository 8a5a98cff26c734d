package agent

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	linkv1 "github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/internal/agent/dial"
	"github.com/musterhq/muster/internal/agent/gateway"
	"github.com/musterhq/muster/internal/agent/home"
	"github.com/musterhq/muster/internal/agent/logbook"
	"github.com/musterhq/muster/internal/agent/vault"
	"github.com/musterhq/muster/internal/door"
	"github.com/musterhq/muster/internal/logtoken"
	"github.com/musterhq/muster/internal/pace"
	"github.com/musterhq/muster/internal/vitals"
)

// runner is what outlives the links. Unless said otherwise, its fields are
// used by the goroutine of Run only.
type runner struct {
	cfg Config
	addresses
	home     *home.Home
	identity home.Identity
	network  *dial.Network

	log       *slog.Logger // safe for all
	book      *logbook.Book
	level     *slog.LevelVar
	baseLevel slog.Level // in force when the configuration names none

	bootID, hostName, system string

	prober *gateway.Prober
	// hold gates all work; safe for all.
	hold *hold
	// trust says which logs tokens are good; safe for all.
	trust atomic.Pointer[logtoken.Trust]
	// readers has a value for everybody who reads; safe for all.
	readers chan struct{}
	// vitals watches what this process can run out of; safe for all.
	vitals *vitals.Watch
	// door bounds what comes to the listener, if there is one.
	door *door.Door
	// strangers bounds how often it is logged that one was refused.
	strangers *pace.Lines
	// closing is closed when the process stops serving its logs.
	closing chan struct{}

	// vault holds the secrets that were opened; safe for all.
	vault vault.Vault
	// keys is a copy of the key pair in use, from the first welcome on; safe for
	// all.
	keys atomic.Pointer[home.KeyPair]
	// codeHosts answers questions about source code hosts; safe for all.
	codeHosts *codeHosts
	// unsaved is set when the identity has changed and must be saved.
	unsaved bool

	// redeemed is set when the exchange token was used by this process.
	redeemed bool
	// mentioned is set when the unused exchange token was mentioned.
	mentioned bool
	lastLease time.Duration
	accessEnd accessEnd
	// swapped is set while the other one of two access tokens is tried.
	swapped  bool
	standing standing
	// published is a copy of standing for other goroutines.
	published atomic.Pointer[standing]
}

// standing is what a runner was told and what became of it.
type standing struct {
	runnerID, organizationID string
	epoch                    int64
	configuration            *linkv1.Configuration
	unsupported              []string
	// applied is the newest revision that is fully in force.
	applied int64
	// secretTrouble and diskTrouble are why the runner is DEGRADED.
	secretTrouble, diskTrouble string
}

// troubles lists why the runner is not well, in sentences.
func (s *standing) troubles() string {
	return strings.TrimSpace(s.secretTrouble + " " + s.diskTrouble)
}

// publish shows a copy of standing to other goroutines.
func (r *runner) publish() {
	s := r.standing
	r.published.Store(&s)
}

// say tells people how it goes.
func (r *runner) say(format string, args ...any) {
	if r.cfg.Out != nil {
		_, _ = io.WriteString(r.cfg.Out, fmt.Sprintf(format, args...)+"\n")
	}
}

// seconds is a duration as people say it.
func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// printable makes a text fit for a field of the link: valid UTF-8 without
// control characters, of at most so many bytes.
func printable(s string, maxBytes int) string {
	s = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(s, "\uFFFD"))
	if len(s) > maxBytes {
		s = strings.ToValidUTF8(s[:maxBytes], "")
	}
	return s
}
