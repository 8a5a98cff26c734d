package scmhost

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net"

	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/scmurl"
)

// Config is what the operator of the runner decides.
type Config struct {
	// PrivateHosts may be reached at loopback and private addresses: "git.corp",
	// "git.corp:8443", or with the scheme when it is http instead of https:
	// "http://127.0.0.1:3000".
	PrivateHosts []string
	// Issuers are hosts of OpenID Connect issuers beside those of Entra ID.
	Issuers []string
	// CAs are trusted; nil means the system's.
	CAs *x509.CertPool
	// Dial takes the place of the network, also of its guard, in tests; nil for the
	// real one.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	Log  *slog.Logger
}

// Hosts answers questions about source code hosts. It may be used by many at
// once: no host waits for another.
type Hosts struct {
	network *network
	// questions and renewals are what is under way.
	questions, renewals *desk
	cache               *cache
	provider            func(Site) (Provider, error)
	signIns             signIns
	complaints          *Complaints
}

// New makes Hosts. The error names a setting that cannot be used.
func New(cfg Config) (*Hosts, error) {
	n, err := newNetwork(cfg)
	if err != nil {
		return nil, err
	}
	return &Hosts{
		network: n, questions: newDesk(maxQuestions), renewals: newDesk(maxRenewals), cache: newCache(), provider: NewProvider,
		complaints: NewComplaints(n.log),
	}, nil
}

// Close ends connections that nobody uses.
func (h *Hosts) Close() { h.network.transport.CloseIdleConnections() }

// Account is an integration and somebody's credential for it.
type Account struct {
	scmurl.Integration
	Credential Credential
}

// Context is what a URL points at.
type Context struct {
	// Host is the host as people know it, in canonical form.
	Host string
	Repository
	// Branch, Tag and Commit say which ref; all are empty for a repository without
	// commits.
	Branch, Tag, Commit string
	// Change and Issue are nil when the URL is not that of one.
	Change *Change
	Issue  *Issue
}

// ParseContext says what a URL of the integration points at.
func (h *Hosts) ParseContext(ctx context.Context, a Account, url string) (Context, error) {
	var found Context
	err := h.ask(ctx, a, func(ctx context.Context, q *inquiry) error {
		targets, err := q.read(url)
		if err != nil {
			return err
		}
		found, err = q.resolve(ctx, targets)
		return err
	})
	return found, err
}

// CheckRepository tells whether the repository of a URL can be read. When it
// cannot, why is a sentence for people. Without a credential it is asked whether
// anybody can, and if not the error is that of who is not signed in.
func (h *Hosts) CheckRepository(ctx context.Context, a Account, url string) (yes bool, why string, err error) {
	err = h.begin(ctx, a, func(ctx context.Context, q *inquiry) error {
		targets, err := q.read(url)
		if err != nil {
			return err
		}
		err = q.readable(ctx, targets)
		switch denied := fault.HasReason(err, fault.SignInRequired) || fault.Is(err, fault.PermissionDenied) || fault.Is(err, fault.NotFound); {
		case err == nil:
			yes = true
		case denied && a.Credential.Token == "":
			return q.notSignedIn()
		case denied:
			why = fault.From(err).Message
		default:
			return err
		}
		return nil
	})
	return yes, why, err
}

// Authenticated tells whether the host accepts a credential. A host that knows
// whose it is and does not let it look itself up, as with tokens of a single
// repository, accepts it. When the host cannot say, one that it has accepted within a day counts as accepted still; of others the
// error says why it is not known.
func (h *Hosts) Authenticated(ctx context.Context, a Account) (bool, error) {
	if a.Credential.Token == "" {
		return false, nil
	}
	before := false
	err := h.ask(ctx, a, func(ctx context.Context, q *inquiry) error {
		accepted := q.key("accepted")
		_, err := recall(ctx, h.cache, q.key("viewer"), viewerLife, q.provider.Viewer)
		switch err = q.faultOf(nil, err); {
		case err == nil, fault.Is(err, fault.PermissionDenied):
			h.cache.note(accepted, acceptedLife)
			return nil
		case fault.HasReason(err, fault.SignInRequired):
			h.cache.unnote(accepted)
		default:
			before = h.cache.has(accepted)
		}
		return err
	})
	switch {
	case fault.HasReason(err, fault.SignInRequired):
		return false, nil
	case before && (fault.HasReason(err, fault.HostUnavailable) || fault.HasReason(err, fault.HostLimited)):
		return true, nil
	}
	return err == nil, err
}

// Search looks for repositories.
func (h *Hosts) Search(ctx context.Context, a Account, q Query) (Repositories, error) {
	var found Repositories
	err := h.ask(ctx, a, func(ctx context.Context, i *inquiry) (err error) {
		found, err = i.provider.Search(ctx, q)
		return err
	})
	return found, err
}

// Merge makes one page of those of several hosts, of which each has an error or
// nil. What is found on one host comes before what is found on the next. A host
// that failed is left out, unless all did.
func Merge(pages []Repositories, errs []error) (Repositories, error) {
	var found Repositories
	failed := 0
	for n, p := range pages {
		if errs[n] != nil {
			failed++
			p = Repositories{Pages: -1, Total: -1}
		}
		found.Rows = append(found.Rows, p.Rows...)
		found.More = found.More || p.More
		found.Pages = both(found.Pages, p.Pages, max(found.Pages, p.Pages))
		found.Total = both(found.Total, p.Total, found.Total+p.Total)
	}
	if failed > 0 && failed == len(pages) {
		return Repositories{}, errs[0]
	}
	return found, nil
}

// both is what two numbers make when both are known.
func both(a, b, made int) int {
	if a < 0 || b < 0 {
		return -1
	}
	return made
}

// Organizations lists the organizations of whoever the credential belongs to.
func (h *Hosts) Organizations(ctx context.Context, a Account, q OrganizationQuery) (Organizations, error) {
	var found Organizations
	err := h.ask(ctx, a, func(ctx context.Context, i *inquiry) (err error) {
		found, err = i.provider.Organizations(ctx, q)
		return err
	})
	return found, err
}

// SignIn says how people sign in to a host, with http where the operator said
// that it speaks that.
func (h *Hosts) SignIn(i scmurl.Integration) scmurl.SignIn { return h.site(i, Credential{}).SignIn() }

// Forget drops what is remembered of an integration.
func (h *Hosts) Forget(integration string) { h.cache.forget(integration) }

// site is an integration and a credential with the way to its host.
func (h *Hosts) site(i scmurl.Integration, c Credential) Site {
	i.Plain = h.network.plain(i)
	return Site{Integration: i, Credential: c, HTTP: h.network.client(i)}
}

// inquiry is one question to one host with one credential.
type inquiry struct {
	refLister
	provider Provider
}

// ask begins a question of somebody who is signed in.
func (h *Hosts) ask(ctx context.Context, a Account, question func(context.Context, *inquiry) error) error {
	if a.Credential.Token == "" {
		return Site{Integration: a.Integration}.notSignedIn()
	}
	return h.begin(ctx, a, question)
}

// begin begins a question of anybody.
func (h *Hosts) begin(ctx context.Context, a Account, question func(context.Context, *inquiry) error) error {
	site := h.site(a.Integration, a.Credential)
	provider, err := h.provider(site)
	if err != nil {
		return err
	}
	i := &inquiry{refLister{Site: site, auth: provider.GitAuth(), cache: h.cache}, checked{provider, site}}
	return h.failed(ctx, site, h.questions.within(ctx, site, func(ctx context.Context) error { return question(ctx, i) }))
}

// read says what a URL can mean on the host.
func (q *inquiry) read(url string) ([]scmurl.Target, error) {
	at, err := scmurl.Parse(url)
	if err != nil {
		return nil, notOfRepository(err)
	}
	targets, err := scmurl.Read(at, q.Integration)
	if err != nil {
		return nil, notOfRepository(err)
	}
	return targets, nil
}

func notOfRepository(problem error) error {
	return fault.New(fault.InvalidArgument, fault.InvalidField, "The URL %s.", problem)
}

// key is that of something that only this credential was told.
func (q *inquiry) key(what ...string) cacheKey {
	return q.cache.key(q.Site, q.Credential.Token, what...)
}
