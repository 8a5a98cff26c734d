package scmhost

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/musterhq/muster/internal/agent/scmhost/fakehost"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/scmurl"
)

func newFakeBitbucketServer(t *testing.T, b fakehost.BitbucketServer) (s *fakehost.Server, p Provider, base string) {
	t.Helper()
	b.User, b.Token = "ada", restToken
	s = fakehost.NewPlain(t)
	b.Serve(s)
	i := scmurl.Integration{SCMID: scmurl.BitbucketServer, Host: s.Address() + b.Context, Plain: true}
	return s, provider(t, i, Credential{Token: restToken}, s), s.URL + b.Context
}

func TestBitbucketServer(t *testing.T) {
	for _, context := range []string{"", "/bitbucket"} {
		git := fakehost.NewRepo(t)
		first := git.Commit("main", "first")
		widgets := &fakehost.BitbucketServerRepository{Project: "ACME", Slug: "widgets", Git: git}
		personal := &fakehost.BitbucketServerRepository{Project: "~ADA", Slug: "widgets", Git: git, Origin: widgets}
		widgets.PullRequests = []fakehost.BitbucketServerPullRequest{
			{ID: 1, Title: "Log in", Author: "ada", State: "OPEN", From: "feature/login", To: "main", Source: widgets, Commit: first},
			{ID: 2, Title: "Mine", Author: "ada", State: "MERGED", From: "fix", To: "main", Source: personal, Commit: first},
			{ID: 3, Title: "The fork is gone", Author: "bob", State: "DECLINED", From: "fix", To: "main", Commit: first},
			{ID: 5, Title: "Not yet", Author: "bob", State: "OPEN", Draft: true, From: "fix", To: "main", Source: widgets, Commit: first},
		}
		s, p, at := newFakeBitbucketServer(t, fakehost.BitbucketServer{Context: context, Repositories: []*fakehost.BitbucketServerRepository{
			widgets, personal,
			{Project: "ACME", Slug: "empty", Git: fakehost.NewRepo(t)},
			{Project: "ACME", Slug: "hidden", Git: git, Hidden: true},
		}})
		base := Repository{Owner: "ACME", Repo: "widgets", CloneURL: at + "/scm/acme/widgets.git"}
		head := Repository{Owner: "~ada", Repo: "widgets", CloneURL: at + "/scm/~ada/widgets.git", UpstreamURL: base.CloneURL}
		found, mine := base, head
		found.DefaultBranch, mine.DefaultBranch = "main", "main"
		pages := at + "/projects/ACME/repos/widgets/pull-requests/"
		check(t, s, p, []asked{
			{"viewer", viewer(), Viewer{Login: "ada"}, nil, 1},
			{"repository", repository("acme", "Widgets"), found, nil, 2},
			{"a fork in a personal space", repository("~ada", "widgets"), mine, nil, 2},
			{"without commits", repository("ACME", "empty"), Repository{Owner: "ACME", Repo: "empty", CloneURL: at + "/scm/acme/empty.git"}, nil, 2},
			{"no repository", repository("ACME", "nothing"), nil, wantMissing, 2},
			{"one that is not shown", repository("ACME", "hidden"), nil, wantMissing, 2},
			{"short commit", commit("ACME", "widgets", first[:7]), first, nil, 1},
			{"no commit", commit("ACME", "widgets", "0000000"), nil, wantMissing, 1},
			{"a branch", commit("ACME", "widgets", "main"), nil, wantMissing, 1},
			{"open", change("ACME", "widgets", "1"), Change{Number: "1", Title: "Log in", URL: pages + "1", Author: "ada", State: ChangeOpen, FromBranch: "feature/login", ToBranch: "main", Head: &base, Base: base, Commit: first}, nil, 1},
			{"merged, from a fork", change("ACME", "widgets", "2"), Change{Number: "2", Title: "Mine", URL: pages + "2", Author: "ada", State: ChangeMerged, FromBranch: "fix", ToBranch: "main", Head: &head, Base: base, Commit: first}, nil, 1},
			{"declined, the fork is gone", change("ACME", "widgets", "3"), Change{Number: "3", Title: "The fork is gone", URL: pages + "3", Author: "bob", State: ChangeClosed, FromBranch: "fix", ToBranch: "main", Base: base, Commit: first}, nil, 1},
			{"a draft", change("ACME", "widgets", "5"), Change{Number: "5", Title: "Not yet", URL: pages + "5", Author: "bob", State: ChangeOpen, Draft: true, FromBranch: "fix", ToBranch: "main", Head: &base, Base: base, Commit: first}, nil, 1},
			{"no pull request", change("ACME", "widgets", "4"), nil, wantMissing, 1},
			{"issue", issue("ACME", "widgets", "1"), nil, wantMissing, 0},
		})
	}
}

// Older versions tell of a repository without commits with an empty answer.
func TestBitbucketServerWithoutABranch(t *testing.T) {
	s := fakehost.NewPlain(t)
	s.Handle("/rest/api/latest/projects/K/repos/r", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"slug":"r","project":{"key":"K"}}`))
	})
	s.Handle("/rest/api/latest/projects/K/repos/r/default-branch", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	p := provider(t, scmurl.Integration{SCMID: scmurl.BitbucketServer, Host: s.Address(), Plain: true}, Credential{Token: "x"}, s)
	check(t, s, p, []asked{{"repository", repository("K", "r"), Repository{Owner: "K", Repo: "r", CloneURL: s.URL + "/scm/k/r.git"}, nil, 2}})
	s.Break(func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/default-branch") }, fakehost.Failing)
	check(t, s, p, []asked{{"half an answer", repository("K", "r"), nil, wantGone, 3}}) // it is asked again
}

// Who is signed in is in a header; a server that takes no notice of a credential
// does not send it.
func TestBitbucketServerAnswersNobody(t *testing.T) {
	for _, header := range []map[string]string{nil, {"X-AUSERNAME": "anonymous"}} {
		s := answerAll(t, http.StatusOK, header, `{"version":"9.4.0"}`)
		p := provider(t, scmurl.Integration{SCMID: scmurl.BitbucketServer, Host: s.Address()}, Credential{Token: "x"}, s)
		check(t, s, p, []asked{{"viewer", viewer(), nil, wantSignIn, 1}})
	}
}

func TestBitbucketServerSearch(t *testing.T) {
	b := fakehost.BitbucketServer{Context: "/bitbucket"}
	for i := range 9 { // every other is hidden
		b.Repositories = append(b.Repositories, &fakehost.BitbucketServerRepository{Project: "ACME", Slug: fmt.Sprintf("api-%d", i), Hidden: i%2 == 1})
	}
	b.Repositories = append(b.Repositories, &fakehost.BitbucketServerRepository{Project: "~ADA", Slug: "web"})
	s, p, at := newFakeBitbucketServer(t, b)
	rows := func(slugs ...string) []FoundRepository {
		found := []FoundRepository{}
		for _, slug := range slugs {
			row := FoundRepository{Name: "ACME/" + slug, URL: at + "/projects/ACME/repos/" + slug}
			if slug == "web" {
				row = FoundRepository{Name: "~ada/web", URL: at + "/users/ada/repos/web"}
			}
			found = append(found, row)
		}
		return found
	}
	check(t, s, p, []asked{
		{"everything", searching(Query{Page: 1, Size: 10}), Repositories{Rows: rows("api-0", "api-2", "api-4", "api-6", "api-8", "web"), Pages: 1, Total: 6}, nil, 1},
		{"first page", searching(Query{Text: "API", Page: 1, Size: 2}), Repositories{Rows: rows("api-0", "api-2"), More: true, Pages: -1, Total: -1}, nil, 1},
		{"second page", searching(Query{Text: "api", Page: 2, Size: 2}), Repositories{Rows: rows("api-4", "api-6"), More: true, Pages: -1, Total: -1}, nil, 1},
		{"last page", searching(Query{Text: "api", Page: 3, Size: 2}), Repositories{Rows: rows("api-8"), Pages: 3, Total: 5}, nil, 1},
		{"behind it", searching(Query{Text: "api", Page: 4, Size: 2}), Repositories{Rows: rows(), Pages: 3, Total: 5}, nil, 1},
		{"far behind", searching(Query{Text: "api", Page: 1 << 62, Size: 100}), Repositories{Rows: rows(), Pages: 1, Total: 5}, nil, 1},
		{"a query is a name", searching(Query{Text: "web", Native: true, Page: 1, Size: 2}), Repositories{Rows: rows("web"), Pages: 1, Total: 1}, nil, 1},
		{"no parameter", searching(Query{Text: "web&permission=REPO_ADMIN", Page: 1, Size: 2}), Repositories{}, nil, 1},
	})
	b.Most = 1 // then five calls are needed for all five
	s, p, at = newFakeBitbucketServer(t, b)
	check(t, s, p, []asked{
		{"short answers", searching(Query{Text: "api", Page: 3, Size: 2}), Repositories{Rows: rows("api-8"), Pages: 3, Total: 5}, nil, 5},
		{"too many calls", searching(Query{Page: 1, Size: 9}), Repositories{Rows: rows("api-0", "api-2", "api-4", "api-6", "api-8"), Pages: -1, Total: -1}, nil, 5},
	})
}

// A list that forgets to say where its next page begins has an end.
func TestBitbucketServerListsEnd(t *testing.T) {
	s := answerAll(t, http.StatusOK, nil, `{"isLastPage":false,"values":[{"key":"K","slug":"r","project":{"key":"K"}}],"start":0}`)
	p := provider(t, scmurl.Integration{SCMID: scmurl.BitbucketServer, Host: s.Address()}, Credential{Token: "x"}, s)
	check(t, s, p, []asked{
		{"search", searching(Query{Page: 1, Size: 1}), Repositories{Rows: []FoundRepository{{Name: "K/r", URL: "https://" + s.Address() + "/projects/K/repos/r"}}, Pages: 1, Total: 1}, nil, 1},
		{"organizations", organizations(OrganizationQuery{Size: 1}), Organizations{Rows: []Organization{{Name: "K", URL: "https://" + s.Address() + "/projects/K"}}}, nil, 1},
	})
}

func TestBitbucketServerOrganizations(t *testing.T) {
	s, p, at := newFakeBitbucketServer(t, fakehost.BitbucketServer{Projects: []fakehost.BitbucketServerProject{
		{Key: "ACME", Name: "Acme tools"}, {Key: "LIB", Name: "Libraries"}, {Key: "OPS", Name: "More tools"},
	}})
	row := func(key string) Organization { return Organization{Name: key, URL: at + "/projects/" + key} }
	check(t, s, p, []asked{
		{"first page", organizations(OrganizationQuery{Size: 2}), Organizations{Rows: []Organization{row("ACME"), row("LIB")}, Cursor: "2"}, nil, 1},
		{"last page", organizations(OrganizationQuery{Size: 2, Cursor: "2"}), Organizations{Rows: []Organization{row("OPS")}}, nil, 1},
		{"words", organizations(OrganizationQuery{Size: 1, Text: "tools"}), Organizations{Rows: []Organization{row("ACME")}, Cursor: "1"}, nil, 1},
		{"words, the next page does not begin at 2", organizations(OrganizationQuery{Size: 1, Text: "tools", Cursor: "1"}), Organizations{Rows: []Organization{row("OPS")}}, nil, 1},
		{"a cursor of nobody", organizations(OrganizationQuery{Size: 2, Cursor: "-1"}), nil, fault.New(fault.InvalidArgument, fault.InvalidPageToken, ""), 0},
	})
}
