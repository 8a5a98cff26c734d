// Package agent is the runner: what `muster join` runs.
//
// It redeems an exchange token once, keeps the identity in its data directory,
// and from then on keeps one link to the control plane: it renews its lease,
// reports what it is, applies its configuration, and serves its logs and a
// support bundle to people who hold a logs token, which it verifies itself. It
// answers questions about source code hosts with the credentials of those who
// ask, which it alone can open. It dials; nothing needs to reach it.
//
// It does no work unless it holds its lease. After a suspension it proves its
// lease again first; when a newer host takes its identity it stands by.
//
// The package knows the link's protocol and nothing of the control plane's
// insides.
package agent

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/musterhq/muster/internal/agent/credentials"
	"github.com/musterhq/muster/internal/agent/dial"
	"github.com/musterhq/muster/internal/agent/gateway"
	"github.com/musterhq/muster/internal/agent/home"
	"github.com/musterhq/muster/internal/agent/host"
	"github.com/musterhq/muster/internal/agent/logbook"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/logtoken"
	"github.com/musterhq/muster/internal/pace"
	"github.com/musterhq/muster/internal/vitals"
)

// The newest log lines that are kept in memory.
const (
	logLines = 10_000
	logBytes = 4 << 20
)

// maxReaders is how many people may read logs and bundles at the same time.
const maxReaders = 16

// Run is a runner until it is deleted or ctx ends, which are no errors. The
// errors of Run are faults whose message says what to do.
func Run(ctx context.Context, cfg Config) error {
	a, err := cfg.parse()
	if err != nil {
		return err
	}
	h, err := home.Open(cfg.DataDir)
	if err != nil {
		return err
	}
	defer func() { _ = h.Close() }()
	r, err := newRunner(cfg, a, h)
	if err != nil {
		return err
	}
	return r.run(ctx)
}

func newRunner(cfg Config, a addresses, h *home.Home) (*runner, error) {
	network, err := dial.New(cfg.CAFile, cfg.Dial)
	if err != nil {
		return nil, err
	}
	level := cfg.LogLevel
	if level == nil {
		level = new(slog.LevelVar)
	}
	hostName := cfg.HostName
	if hostName == "" {
		// Only people read it, so an unknown name is no reason to stop.
		hostName, _ = os.Hostname()
	}
	book := logbook.New(logLines, logBytes)
	log := slog.New(book.Handler(level, cfg.LogHandler))
	if flaw := h.Flaw(); flaw != nil {
		log.Warn("another user could replace the runner's identity", "data_dir", h.Dir(), "why", flaw.Why, "hint", flaw.Remedy)
	}
	r := &runner{
		cfg: cfg, addresses: a, home: h, network: network,
		log: log, book: book, level: level, baseLevel: level.Level(),
		bootID: id.New(), hostName: printable(hostName, maxHostName), system: host.Details(os.DirFS("/")),
		prober:    gateway.New(network.Client(), log),
		hold:      newHold(),
		strangers: pace.NewLines(2*time.Second, 20),
		vitals:    vitals.New(log, vitals.Descriptors(), vitals.DataDisk(cfg.DataDir), vitals.LogDisk(), vitals.Goroutines()),
		readers:   make(chan struct{}, maxReaders),
		closing:   make(chan struct{}),
	}
	if r.codeHosts, err = newCodeHosts(r); err != nil {
		return nil, err
	}
	r.trust.Store(new(logtoken.Trust))
	r.publish()
	return r, nil
}

func (r *runner) run(ctx context.Context) error {
	if err := r.identify(); err != nil {
		return err
	}
	closeListener, err := r.listen()
	if err != nil {
		return err
	}
	defer closeListener()

	var background sync.WaitGroup
	defer background.Wait()
	defer r.codeHosts.close()
	probing, stop := context.WithCancel(ctx)
	defer stop()
	background.Go(func() { r.prober.Run(probing) })
	background.Go(func() { r.vitals.Run(probing) })

	if !r.identity.Joined() {
		if err := r.join(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
	}
	if r.cfg.RotateKey {
		if err := r.rotateKey(); err != nil {
			return err
		}
	}
	return r.stayConnected(ctx)
}

// identify loads the identity and decides which control plane it belongs to.
func (r *runner) identify() error {
	var err error
	if r.identity, err = r.home.Load(); err != nil {
		return err
	}
	switch {
	case r.server == nil && r.identity.Server == "":
		return noServer()
	case r.server == nil:
		if r.server, err = parseServer("the server in the identity", r.identity.Server); err != nil {
			return err
		}
	case r.identity.Joined() && r.identity.Server != r.server.String():
		r.log.Warn("the identity was made at another address of the control plane; the new one is used", "old", r.identity.Server, "new", r.server.String())
	}
	return nil
}

// stayConnected opens one link after the other.
func (r *runner) stayConnected(ctx context.Context) error {
	var b backoff
	standby := false
	for {
		e := r.link(ctx, standby)
		b.after(e)
		if e.why != lost && e.why != drained && e.why != rotatedToken && !(e.why == refused && r.isForeign(e.installation)) {
			// The right to act as the runner is gone.
			r.vault.Close()
			r.codeHosts.credentials.Forget(credentials.Kinds)
		}
		stoodBy := standby
		standby = e.why == superseded || e.why == held || standby && !e.welcomed
		var wait time.Duration
		switch e.why {
		case stopped:
			r.say("stopped")
			return nil
		case deleted:
			r.say("this runner was deleted; its identity was removed from %s", r.home.Dir())
			return nil
		case fatal:
			return e.err
		case refused:
			if r.tryOtherToken(e.err) {
				continue
			}
			err := r.rejoin(ctx, e.err)
			switch {
			case err == nil:
				continue
			case ctx.Err() != nil:
				return nil
			case !r.isForeign(e.installation):
				return err
			}
			wait = b.wait(e)
			text := r.wrongPlane(e.installation, "refuses this runner")
			r.log.Warn("lost the link", "error", text, "refusal", e.err, "next", wait.String())
			r.say("lost the link: %s; next try in %s", text, seconds(wait))
		case superseded:
			r.log.Warn("another host took over this runner's identity; standing by", "host", e.host, "hint", adviceOnTwoHosts)
			r.say("the host %q took over this runner's identity; standing by until it leaves. %s", e.host, adviceOnTwoHosts)
			wait = r.standbyInterval()
		case held:
			r.hold.release()
			if !stoodBy {
				r.log.Warn("another host holds this runner's identity; standing by", "error", e.err, "hint", adviceOnTwoHosts)
				r.say("another host holds this runner's identity; standing by until it leaves: %v. %s", e.err, adviceOnTwoHosts)
			} else {
				r.log.Info("another host still holds this runner's identity; standing by", "error", e.err)
			}
			wait = r.standbyInterval()
		case rotatedToken:
			r.log.Info("reconnecting with the new access token")
			continue
		case drained:
			wait = b.wait(e)
			r.log.Info("reconnecting, as the control plane asked", "in", wait.String(), "why", e.err)
		case lost:
			wait = b.wait(e)
			r.log.Warn("lost the link", "error", e.err, "next", wait.String())
			r.say("lost the link: %v; next try in %s", e.err, seconds(wait))
		}
		select {
		case <-ctx.Done():
			r.say("stopped")
			return nil
		case <-time.After(wait):
		}
	}
}

const adviceOnTwoHosts = "If both are to be runners, join one of them with a data directory and an exchange token of its own."

// standbyInterval is about one lease, so that a host that stands by notices
// soon that the other is gone, and that two do not try in step.
func (r *runner) standbyInterval() time.Duration {
	lease := r.lastLease
	if lease <= 0 {
		lease = 30 * time.Second
	}
	return lease*3/4 + rand.N(lease/2) //nolint:gosec // jitter is no secret
}
