package agent

import (
	"context"
	"log/slog"
	"math"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	linkv1 "github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/internal/agent/credentials"
	"github.com/musterhq/muster/internal/agent/scmhost"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/scmurl"
	"github.com/musterhq/muster/internal/seal"
)

// maxAccesses is how many hosts one search may ask.
const maxAccesses = 20

// maxReply bounds a reply, in bytes: those that are too large for a frame would end
// the link.
const maxReply = 1 << 20

// sourceHosts are the source code hosts of a runner; *scmhost.Hosts is them.
type sourceHosts interface {
	hostQuestions
	hostSignIns
	// Refresh is for the renewal of credentials.
	Refresh(ctx context.Context, i scmurl.Integration, c scmhost.Client, refreshToken string) (scmhost.Grant, error)
	Close()
}

// hostQuestions are what is asked with somebody's credential.
type hostQuestions interface {
	Enter(ctx context.Context, i scmurl.Integration) (_ context.Context, leave func(), _ error)
	ParseContext(ctx context.Context, a scmhost.Account, url string) (scmhost.Context, error)
	CheckRepository(ctx context.Context, a scmhost.Account, url string) (yes bool, why string, err error)
	Authenticated(ctx context.Context, a scmhost.Account) (bool, error)
	Search(ctx context.Context, a scmhost.Account, q scmhost.Query) (scmhost.Repositories, error)
	Organizations(ctx context.Context, a scmhost.Account, q scmhost.OrganizationQuery) (scmhost.Organizations, error)
	Forget(integration string)
}

// codeHosts answers what the control plane asks about source code hosts, with the
// credentials of those who ask. It may be used by many at once.
type codeHosts struct {
	hosts       hostQuestions
	signIns     hostSignIns
	credentials *credentials.Manager
	// open opens what was sealed to the runner.
	open       func(s seal.Secret, purpose string) ([]byte, error)
	closeHosts func()
	log        *slog.Logger
	complaints *scmhost.Complaints
}

func newCodeHosts(r *runner) (*codeHosts, error) {
	hosts := r.cfg.hosts
	if hosts == nil {
		reached, err := scmhost.New(scmhost.Config{PrivateHosts: r.cfg.PrivateHosts, Issuers: r.cfg.IssuerHosts, CAs: r.network.Roots(), Log: r.log})
		if err != nil {
			return nil, err
		}
		hosts = reached
	}
	return &codeHosts{
		hosts: hosts, signIns: hosts, closeHosts: hosts.Close, log: r.log, complaints: scmhost.NewComplaints(r.log),
		open: func(s seal.Secret, purpose string) ([]byte, error) { return r.keys.Load().Open(s, purpose) },
		credentials: credentials.New(credentials.Config{
			Secrets: &r.vault, Refresh: hosts.Refresh, Log: r.log,
			Seal:   func(purpose string, plain []byte) (seal.Secret, error) { return r.keys.Load().Seal(purpose, plain) },
			Sealed: func(s seal.Secret) bool { return s.SealedTo(r.keys.Load().PublicKey) },
		}),
	}, nil
}

// answer answers a question.
func (c *codeHosts) answer(ctx context.Context, in *linkv1.Request) *linkv1.Reply {
	begun := time.Now()
	reply, err := c.ask(ctx, in)
	if err == nil && proto.Size(reply) > maxReply {
		err = fault.New(fault.FailedPrecondition, fault.LimitReached, "The answer has more than %d MiB. Ask for smaller pages, or fewer hosts.", maxReply>>20)
	}
	if err != nil {
		reply = &linkv1.Reply{Failure: c.failure(ctx, err)}
	}
	c.log.Debug("a question about a source code host was answered", "request", in.GetRequestId(), "took", time.Since(begun).String(),
		"failure", reply.GetFailure().GetReason())
	return reply
}

func (c *codeHosts) ask(ctx context.Context, in *linkv1.Request) (*linkv1.Reply, error) {
	switch asked := in.GetRequest().(type) {
	case *linkv1.Request_ParseContext:
		return c.parseContext(ctx, asked.ParseContext)
	case *linkv1.Request_SearchRepositories:
		return c.searchRepositories(ctx, asked.SearchRepositories)
	case *linkv1.Request_ListOrganizations:
		return c.listOrganizations(ctx, asked.ListOrganizations)
	case *linkv1.Request_CheckAuthentication:
		return c.checkAuthentication(ctx, asked.CheckAuthentication)
	case *linkv1.Request_CheckRepository:
		return c.checkRepository(ctx, asked.CheckRepository)
	case *linkv1.Request_ProbeIntegration:
		return c.probeIntegration(ctx, asked.ProbeIntegration)
	case *linkv1.Request_BeginSignIn:
		return c.beginSignIn(asked.BeginSignIn)
	case *linkv1.Request_FinishSignIn:
		return c.finishSignIn(ctx, asked.FinishSignIn)
	default:
		return nil, fault.New(fault.Unimplemented, fault.RunnerIncapable, "This version of the runner does not know what was asked for. Update the runner.")
	}
}

func (c *codeHosts) parseContext(ctx context.Context, q *linkv1.ParseContext) (*linkv1.Reply, error) {
	parsed, err := withAccount(ctx, c, q.GetAccess(), func(ctx context.Context, a scmhost.Account) (scmhost.Context, error) {
		return c.hosts.ParseContext(ctx, a, q.GetUrl())
	})
	if err != nil {
		return nil, err
	}
	return &linkv1.Reply{Reply: &linkv1.Reply_ContextParsed{ContextParsed: &linkv1.ContextParsed{Context: contextMessage(parsed)}}}, nil
}

func contextMessage(p scmhost.Context) *gitpodv1.ParseContextURLResponse {
	m := &gitpodv1.ParseContextURLResponse{Git: &gitpodv1.ParseContextURLResponse_GitContext{
		CloneUrl: p.CloneURL, Branch: p.Branch, Commit: p.Commit, Tag: p.Tag,
		Host: p.Host, Owner: p.Owner, Repo: p.Repo, UpstreamRemoteUrl: p.UpstreamURL,
	}}
	if i := p.Issue; i != nil {
		m.Issue = &gitpodv1.ParseContextURLResponse_Issue{Id: i.Number, Title: i.Title}
	}
	if change := p.Change; change != nil {
		m.PullRequest = &gitpodv1.PullRequest{
			Id: change.Number, Title: change.Title, Url: change.URL, Author: change.Author, Draft: change.Draft, State: changeStates[change.State],
			FromBranch: change.FromBranch, ToBranch: change.ToBranch, HeadSha: change.Commit,
			Repository: &gitpodv1.PullRequest_Repository{
				CloneUrl: change.Base.CloneURL, Host: p.Host, Owner: change.Base.Owner, Name: change.Base.Repo,
			},
		}
	}
	return m
}

// changeStates are the states of changes on the wire.
var changeStates = map[scmhost.ChangeState]gitpodv1.PullRequest_State{
	scmhost.ChangeOpen:   gitpodv1.PullRequest_STATE_OPEN,
	scmhost.ChangeClosed: gitpodv1.PullRequest_STATE_CLOSED,
	scmhost.ChangeMerged: gitpodv1.PullRequest_STATE_MERGED,
}

func (c *codeHosts) searchRepositories(ctx context.Context, q *linkv1.SearchRepositories) (*linkv1.Reply, error) {
	if n := len(q.GetAccesses()); n == 0 || n > maxAccesses {
		return nil, fault.New(fault.InvalidArgument, fault.InvalidField, "A search takes from 1 to %d hosts, this one has %d.", maxAccesses, n)
	}
	query := scmhost.Query{Text: q.GetText(), Native: q.GetNative(), Page: max(int(q.GetPage()), 1), Size: pageSize(q.GetPageSize())}
	found, err := c.search(ctx, q.GetAccesses(), query)
	if err != nil {
		return nil, err
	}
	m := &linkv1.RepositoriesFound{More: found.More, TotalPages: count(found.Pages), TotalCount: count(found.Total)}
	for _, r := range found.Rows {
		m.Repositories = append(m.Repositories, &gitpodv1.SearchRepositoriesResponse_Repository{Name: r.Name, Url: r.URL})
	}
	return &linkv1.Reply{Reply: &linkv1.Reply_RepositoriesFound{RepositoriesFound: m}}, nil
}

// search asks several hosts at once; a page is that page of each of them.
func (c *codeHosts) search(ctx context.Context, accesses []*linkv1.HostAccess, q scmhost.Query) (scmhost.Repositories, error) {
	pages, errs := make([]scmhost.Repositories, len(accesses)), make([]error, len(accesses))
	var all sync.WaitGroup
	for n, access := range accesses {
		all.Go(func() {
			pages[n], errs[n] = withAccount(ctx, c, access, func(ctx context.Context, a scmhost.Account) (scmhost.Repositories, error) {
				return c.hosts.Search(ctx, a, q)
			})
		})
	}
	all.Wait()
	found, err := scmhost.Merge(pages, errs)
	for n, failed := range errs {
		if err == nil && failed != nil {
			c.complaints.Warn(ctx, "a search left a source code host out", accesses[n].GetHost().GetHost(), failed)
		}
	}
	return found, err
}

// count is a number on the wire; negative when it is not known.
func count(n int) int32 { return int32(min(max(n, -1), math.MaxInt32)) }

func (c *codeHosts) listOrganizations(ctx context.Context, q *linkv1.ListOrganizations) (*linkv1.Reply, error) {
	query := scmhost.OrganizationQuery{Text: q.GetQuery(), Cursor: q.GetCursor(), Size: pageSize(q.GetPageSize())}
	listed, err := withAccount(ctx, c, q.GetAccess(), func(ctx context.Context, a scmhost.Account) (scmhost.Organizations, error) {
		return c.hosts.Organizations(ctx, a, query)
	})
	if err != nil {
		return nil, err
	}
	m := &linkv1.OrganizationsListed{Cursor: listed.Cursor}
	for _, o := range listed.Rows {
		m.Organizations = append(m.Organizations, &gitpodv1.ListSCMOrganizationsResponse_SCMOrganization{
			Name: o.Name, Url: o.URL, IsAdmin: o.Admin, //nolint:staticcheck // old clients look at it
		})
	}
	return &linkv1.Reply{Reply: &linkv1.Reply_OrganizationsListed{OrganizationsListed: m}}, nil
}

func (c *codeHosts) checkRepository(ctx context.Context, q *linkv1.CheckRepository) (*linkv1.Reply, error) {
	type verdict struct {
		yes bool
		why string
	}
	check := func(ctx context.Context, a scmhost.Account) (v verdict, err error) {
		v.yes, v.why, err = c.hosts.CheckRepository(ctx, a, q.GetUrl())
		if err == nil && !v.yes && len(q.GetAccess().GetCredential().GetRefreshTokenSha256()) > 0 {
			// That the credential is refused is one of the reasons, and can be mended.
			if refused := c.authenticated(ctx, a); fault.HasReason(refused, fault.SignInRequired) {
				err = refused
			}
		}
		return v, err
	}
	var v verdict
	var err error
	if q.GetAccess().GetCredential() == nil {
		// A public repository can be read by everybody.
		v, err = check(ctx, scmhost.Account{Integration: hostOf(q.GetAccess().GetHost()).Integration})
	} else {
		v, err = withAccount(ctx, c, q.GetAccess(), check)
	}
	if err != nil {
		return nil, err
	}
	return &linkv1.Reply{Reply: &linkv1.Reply_RepositoryChecked{RepositoryChecked: &linkv1.RepositoryChecked{
		HasAccess: v.yes, ErrorMessage: printable(v.why, maxMessage),
	}}}, nil
}

func pageSize(n int32) int { return min(max(int(n), 1), 100) }

// close ends what is under way.
func (c *codeHosts) close() {
	c.credentials.Close()
	c.closeHosts()
}

// forget drops what hangs on secrets that have changed.
func (c *codeHosts) forget(names []string) {
	c.credentials.Forget(names...)
	for _, name := range names {
		if rest, ok := strings.CutPrefix(name, "scm_integration/"); ok {
			integration, _, _ := strings.Cut(rest, "/")
			c.hosts.Forget(integration)
		}
	}
}
