package link

import (
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/internal/codehost"
	"github.com/musterhq/muster/internal/scmurl"
)

// Bounds of what runners say of hosts, in bytes.
const (
	maxHostName = 512
	maxName     = 1024 // owners, repositories, refs, people
	maxURL      = 4096
	maxTitle    = 1024
	maxCursor   = 512
	maxScopes   = 64 // in number
)

// statement is what a runner says of a host, while it is read. A runner may be in
// wrong hands, and so may its host: what cannot be true makes all of it wrong.
type statement struct{ bad bool }

// wrong is the error of a statement that was not what was asked for.
func (s *statement) wrong() error {
	if s.bad {
		return wrongReply()
	}
	return nil
}

func (s *statement) must(ok bool) { s.bad = s.bad || !ok }

// name reads a text that means itself, so that nothing of it can be left out.
func (s *statement) name(text string, limit int) string {
	s.must(len(text) <= limit && utf8.ValidString(text) && !strings.ContainsFunc(text, unicode.IsControl))
	return text
}

// page reads the URL of a page or a repository, which may be empty. People click
// on it, and git clones from it.
func (s *statement) page(text string) string {
	if s.name(text, maxURL) != "" {
		u, err := url.Parse(text)
		s.must(err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil)
	}
	return text
}

func (s *statement) context(c *gitpodv1.ParseContextURLResponse) codehost.Context {
	g := c.GetGit()
	s.must(g.GetCloneUrl() != "" && g.GetOwner() != "" && g.GetRepo() != "")
	found := codehost.Context{Git: codehost.Git{
		CloneURL: s.page(g.GetCloneUrl()), Host: s.name(g.GetHost(), maxHostName), Owner: s.name(g.GetOwner(), maxName), Repo: s.name(g.GetRepo(), maxName),
		Branch: s.ref(g.GetBranch()), Tag: s.ref(g.GetTag()), Commit: s.commit(g.GetCommit()),
		UpstreamURL: s.page(g.GetUpstreamRemoteUrl()),
	}}
	if p := c.GetPullRequest(); p != nil {
		base := p.GetRepository()
		found.Change = &codehost.Change{
			ID: s.name(p.GetId(), maxName), Title: printable(p.GetTitle(), maxTitle),
			FromBranch: s.ref(p.GetFromBranch()), ToBranch: s.ref(p.GetToBranch()),
			URL: s.page(p.GetUrl()), Author: printable(p.GetAuthor(), maxName), Draft: p.GetDraft(), State: s.state(p.GetState()), HeadCommit: s.commit(p.GetHeadSha()),
			Base: codehost.Git{
				CloneURL: s.page(base.GetCloneUrl()), Host: s.name(base.GetHost(), maxHostName), Owner: s.name(base.GetOwner(), maxName), Repo: s.name(base.GetName(), maxName),
			},
		}
	}
	if i := c.GetIssue(); i != nil {
		found.Issue = &codehost.Issue{ID: s.name(i.GetId(), maxName), Title: printable(i.GetTitle(), maxTitle)}
	}
	return found
}

// ref reads the name of a branch or a tag, which may be empty. It becomes an
// argument of git, and so never looks like an option.
func (s *statement) ref(name string) string {
	s.must(name == "" || len(name) <= maxName && scmurl.IsRefName(name))
	return name
}

// commit reads a full hash, which may be empty.
func (s *statement) commit(hash string) string {
	s.must(hash == "" || (len(hash) == 40 || len(hash) == 64) && strings.Trim(hash, "0123456789abcdef") == "")
	return hash
}

func (s *statement) state(state gitpodv1.PullRequest_State) codehost.ChangeState {
	_, known := gitpodv1.PullRequest_State_name[int32(state)]
	s.must(known)
	return codehost.ChangeState(state)
}

func (s *statement) repositories(r *linkv1.RepositoriesFound, limit int) codehost.Repositories {
	s.must(r != nil && len(r.GetRepositories()) <= limit && r.GetTotalPages() >= -1 && r.GetTotalCount() >= -1)
	found := codehost.Repositories{More: r.GetMore(), Pages: int(r.GetTotalPages()), Total: int(r.GetTotalCount())}
	for _, row := range r.GetRepositories() {
		found.Rows = append(found.Rows, codehost.Repository{Name: s.name(row.GetName(), maxName), URL: s.page(row.GetUrl())})
	}
	return found
}

func (s *statement) organizations(o *linkv1.OrganizationsListed, limit int) codehost.Organizations {
	s.must(o != nil && len(o.GetOrganizations()) <= limit)
	found := codehost.Organizations{Cursor: s.name(o.GetCursor(), maxCursor)}
	for _, row := range o.GetOrganizations() {
		found.Rows = append(found.Rows, codehost.Organization{
			Name: s.name(row.GetName(), maxName), URL: s.page(row.GetUrl()),
			Admin: row.GetIsAdmin(), //nolint:staticcheck // old clients read it
		})
	}
	return found
}

func (s *statement) authentication(a *gitpodv1.CheckAuthenticationForHostResponse) codehost.Authentication {
	s.must(a != nil)
	answer := codehost.Authentication{Authenticated: a.GetAuthenticated(), Name: printable(a.GetScmName(), maxName)}
	if o := a.GetSupportsOauth2(); o != nil {
		answer.OAuth = &codehost.OAuth{DocsURL: s.page(o.GetDocsUrl())}
	}
	if p := a.GetSupportsPat(); p != nil {
		s.must(len(p.GetRequiredScopes()) <= maxScopes)
		answer.PAT = &scmurl.PAT{CreateURL: s.page(p.GetCreateUrl()), DocsURL: s.page(p.GetDocsUrl()), Example: s.name(p.GetExample(), maxName)}
		for _, scope := range p.GetRequiredScopes() {
			answer.PAT.Scopes = append(answer.PAT.Scopes, s.name(scope, maxName))
		}
	}
	return answer
}

func (s *statement) readable(r *linkv1.RepositoryChecked) codehost.Readable {
	s.must(r != nil)
	answer := codehost.Readable{Yes: r.GetHasAccess()}
	if !answer.Yes {
		answer.Why = printable(r.GetErrorMessage(), maxFailure)
	}
	return answer
}

func (s *statement) probed(p *linkv1.IntegrationProbed) codehost.Probed {
	s.must(p != nil)
	return codehost.Probed{Host: printable(p.GetHostError(), maxFailure), OAuth: printable(p.GetOauthError(), maxFailure)}
}
