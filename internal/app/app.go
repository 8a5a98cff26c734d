package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/auditlog"
	"github.com/musterhq/muster/internal/codehost"
	"github.com/musterhq/muster/internal/confirmed"
	"github.com/musterhq/muster/internal/departure"
	"github.com/musterhq/muster/internal/door"
	"github.com/musterhq/muster/internal/envclass"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/group"
	"github.com/musterhq/muster/internal/hosttoken"
	"github.com/musterhq/muster/internal/identity"
	"github.com/musterhq/muster/internal/idtoken"
	"github.com/musterhq/muster/internal/installation"
	"github.com/musterhq/muster/internal/keyring"
	"github.com/musterhq/muster/internal/lease"
	"github.com/musterhq/muster/internal/link"
	"github.com/musterhq/muster/internal/llm"
	"github.com/musterhq/muster/internal/retention"
	"github.com/musterhq/muster/internal/rpc"
	"github.com/musterhq/muster/internal/rpc/gitpodv1"
	"github.com/musterhq/muster/internal/rpc/oauth"
	"github.com/musterhq/muster/internal/scm"
	"github.com/musterhq/muster/internal/seal"
	"github.com/musterhq/muster/internal/sealed"
	"github.com/musterhq/muster/internal/serviceaccount"
	"github.com/musterhq/muster/internal/signin"
	"github.com/musterhq/muster/internal/store/sqlstore"
	"github.com/musterhq/muster/internal/token"
	"github.com/musterhq/muster/internal/vitals"
)

// Times of a shutdown.
const (
	// leaveTime is how long connected runners have to go elsewhere.
	leaveTime = time.Second
	// answerTime is how long calls have to be answered.
	answerTime = 10 * time.Second
)

// Run runs the control plane until ctx ends, and returns nil after an orderly
// stop.
func Run(ctx context.Context, cfg Config) (err error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if err := cfg.check(); err != nil {
		return err
	}
	bus := event.NewBus()
	store, belongs, err := openStore(ctx, &cfg, sqlstore.Options{Publish: bus.Publish})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeStore(store)) }()
	p := &plane{log: cfg.Logger, failed: make(chan error, 1), door: cfg.door()}
	if err := p.own(ctx, store, belongs); err != nil {
		if ctx.Err() != nil {
			return nil // it was asked to stop while it waited
		}
		return err
	}
	defer p.keeper.Leave(ctx)
	key, err := belongs.secretKey(cfg.SecretKeyFile)
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return fault.New(fault.FailedPrecondition, fault.InvalidField, "Cannot listen at %s: %s. Choose another address with --listen.", cfg.Listen, reason(err)).WithCause(err)
	}
	defer func() { _ = listener.Close() }()
	p.url = cfg.publicURL(listener.Addr())
	if err := p.build(ctx, &cfg, store, key, bus); err != nil {
		return err
	}
	// Last, so that no failed start has made a token that nobody saw.
	if err := p.bootstrap(ctx, &cfg, store); err != nil {
		return err
	}
	belongs.claim(p.installation, cfg.Logger)
	return p.run(ctx, &cfg, listener)
}

// reason is the innermost text of a network error, without addresses.
func reason(err error) string {
	var sys *os.SyscallError
	if errors.As(err, &sys) {
		return sys.Err.Error()
	}
	return "the address is not usable"
}

// plane is a built control plane.
type plane struct {
	confirmed  *confirmed.Clock
	audit      *auditlog.Service
	keys       *keyring.Service
	idTokens   *idtoken.Service
	readers    logReaders
	identity   *identity.Service
	accounts   *serviceaccount.Service
	fleet      *fleet.Service
	sealed     *sealed.Service
	classes    *envclass.Service
	scm        *scm.Service
	hosts      *hosttoken.Service
	signIn     *signin.Service
	pages      *oauth.Handler
	llm        *llm.Service
	retention  *retention.Service
	codeHosts  *codehost.Service
	groups     *group.Service
	hub        *link.Hub
	keeper     *lease.Keeper
	handler    *rpc.Handler
	server     *rpc.Server
	url        string
	first      firstToken
	log        *slog.Logger
	departures *departure.Service
	door       *door.Door
	health     *health
	vitals     *vitals.Watch
	// installation is the id that the database has.
	installation string
	// failed gets what must stop the process.
	failed chan error
}

// own makes this process the one that serves the database, or says which other
// one does. Nothing listens before that is decided.
func (p *plane) own(ctx context.Context, store *sqlstore.Store, b *belonging) error {
	var err error
	if p.installation, err = store.Installation(ctx, installation.Candidate(b.id, b.database)); err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	p.keeper = lease.New(lease.Config{
		Store: store.Lease(), HostName: host, Grace: link.Lease, Peer: p.refuseToShare, Log: p.log,
		// They are made later, and not needed before.
		EndSessions: func(ctx context.Context, replica string) (int, error) { return p.fleet.EndSessionsOf(ctx, replica) },
		Lost:        func(cause error) { p.hub.Lost(cause) },
		Beaten:      func(err error) { p.health.beaten(err) },
	})
	owner, err := p.keeper.Claim(ctx)
	if owner != nil {
		return shared(*owner)
	}
	return fault.Wrap(err, "registering this control plane")
}

// build makes the parts and writes what the first start needs.
func (p *plane) build(ctx context.Context, cfg *Config, store *sqlstore.Store, key *seal.Key, bus *event.Bus) error {
	url := p.url
	p.confirmed = confirmed.New(confirmed.Config{Store: store.Confirmed(), Log: cfg.Logger})
	if err := p.confirmed.Load(ctx); err != nil {
		return err
	}
	if err := p.loadKeys(ctx, store, key); err != nil {
		return err
	}
	p.audit = auditlog.New(store.AuditLog(), auditSigner{p.keys.Ring(keyring.Audit)}, p.confirmed.Now, cfg.Logger)
	p.hub = link.New(link.Config{Gateways: cfg.gateways(), Issuer: url, Keys: p.verificationKeys, Welcome: p.door.Welcome, Log: cfg.Logger})
	p.identity = identity.New(store.Identity(), p.hub, cfg.Logger)
	p.accounts = serviceaccount.New(store.ServiceAccounts(), p.hub, p.identity)
	p.groups = group.New(store.Groups(), p.identity)
	p.identity.SetLimits(cfg.Maxima)
	p.accounts.SetLimits(cfg.Maxima)
	p.groups.SetLimits(cfg.Maxima)
	p.departures = departure.New(store.Departures(), p.hub, p.accessChanged, cfg.Logger)
	people := people{store.Identity(), store.ServiceAccounts(), p.identity}
	p.readers = logReaders{store.Fleet(), people}
	p.fleet = fleet.New(fleet.Config{
		Store: store.Fleet(), Links: p.hub, Asker: p.hub, Revoker: p.identity, Reconnect: p.identity.Shortened, Key: key, Log: cfg.Logger, PublicURL: url,
		Sign: p.signLogsToken, Limits: cfg.Maxima,
	})
	p.health = newHealth(store.Check, p.keeper.Held, cfg.Logger)
	p.vitals = vitals.New(cfg.Logger, cfg.resources(store)...)
	p.sealed = sealed.New(store.Sealed(), p.hub)
	p.classes = envclass.New(store.EnvClass(), gitpodv1.ParseSchema)
	p.scm = scm.New(store.SCM(), p.hub, gitpodv1.ParseSchema)
	p.hosts = hosttoken.New(store.HostTokens(), p.hub)
	p.signIn = signin.New(signin.Config{Store: store.SignIn(), Runners: p.hub, Tokens: p.hosts, People: people, Key: key, PublicURL: url})
	p.llm = llm.New(store.LLM(), p.hub)
	p.retention = retention.New(store.Retention(), p.fleet, p.confirmed.Now, cfg.Logger)
	p.codeHosts = codehost.New(store.CodeHosts(), p.hub, p.signIn)
	p.hub.SetFleet(p.fleet)
	p.hub.SetSecrets(p.sealed)
	p.hub.SetTokens(p.hosts)
	p.hub.SetReplica(p.keeper)
	p.hub.SetInstallation(p.installation)
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), fleetMetrics(p.hub, p.fleet), clockMetrics(p.confirmed), doorCollector{p.door}, vitalsCollector{p.vitals, p.health})
	var err error
	if p.pages, err = oauth.New(p.signIn, url, cfg.Logger); err != nil {
		return err
	}
	if p.handler, err = rpc.New(p.rpcConfig(cfg, bus, registry)); err != nil {
		return err
	}
	p.handler.SetInstallation(p.installation)
	p.server, err = rpc.NewServer(rpc.ServerConfig{Handler: p.handler, CertFile: cfg.TLSCert, KeyFile: cfg.TLSKey, Logger: cfg.Logger})
	if err != nil {
		return fault.New(fault.FailedPrecondition, fault.InvalidField, "--tls-cert and --tls-key cannot be used: %s.", err)
	}
	return nil
}

// accessChanged makes what a subject has open go by what it may do now.
func (p *plane) accessChanged(ctx context.Context, s access.Subject) {
	p.identity.Changed(ctx, s, "", nil)
}

// refuseToShare stops this process when another one is live on the same
// database: without a message bus, each would miss the other's events and
// runners.
func (p *plane) refuseToShare(other lease.Replica) {
	select {
	case p.failed <- shared(other):
	default:
	}
}

func shared(other lease.Replica) error {
	return fault.New(fault.FailedPrecondition, fault.StorageUnavailable,
		"Another control plane, on %q, is live on this database. This version runs one at a time: stop the other one first.", other.HostName)
}

// run serves until ctx ends, and then stops in order.
func (p *plane) run(ctx context.Context, cfg *Config, listener net.Listener) error {
	// The audit log stops last: it chains what the others write while they stop.
	defer inBackground(ctx, p.audit.Run)()
	defer inBackground(ctx, p.confirmed.Run, p.identity.Run, p.fleet.Run, p.fleet.WatchAccess, p.hub.Run, p.keeper.Run, p.retention.Run, p.keys.Run, p.departures.Run, p.health.run, p.vitals.Run)()
	served := make(chan error, 1)
	go func() { served <- p.server.Serve(p.vitals.Listener(listener)) }()
	p.log.Info("the control plane is up", "url", p.url, "listen", listener.Addr().String(), "version", cfg.Version)
	if cfg.Started != nil {
		cfg.Started(Started{URL: p.url, Token: p.first.secret, TokenFile: p.first.file, Listen: listener.Addr().String()})
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-p.failed:
	case err = <-served:
		return fmt.Errorf("app: the server stopped: %w", err)
	}
	p.log.Info("stopping: runners and watchers are asked to reconnect")
	p.leave(ctx)
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTime)
	defer cancel()
	if serr := p.server.Shutdown(closing); serr != nil {
		p.log.Warn("some calls were cut off", "error", serr)
	}
	return err
}

// inBackground runs parts until stop is called, which waits for them.
func inBackground(ctx context.Context, parts ...func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	for _, part := range parts {
		wg.Go(func() { part(ctx) })
	}
	return func() {
		cancel()
		wg.Wait()
	}
}

// leave lets runners and watchers go. The sessions stay in the database: the
// next start gives their runners one lease to come back.
func (p *plane) leave(ctx context.Context) {
	p.hub.Drain("the control plane is stopping")
	left, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTime)
	defer cancel()
	p.hub.WaitEmpty(left)
	p.handler.Drain()
	p.hub.Close()
}

// NewBootstrapToken makes a token for Config.BootstrapToken, for a program that
// must know it before the first start.
func NewBootstrapToken() string {
	secret, _ := token.New(token.Personal)
	return secret
}
