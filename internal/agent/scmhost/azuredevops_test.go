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

// azureLayouts are the ways in which Azure DevOps is connected.
var azureLayouts = []struct {
	name, host, directory string
	server, oauth         bool
}{
	{name: "services", host: "dev.azure.com", oauth: true},
	{name: "services with a personal access token", host: "dev.azure.com"},
	{name: "one organization", host: "dev.azure.com/acme"},
	{name: "server", server: true, directory: "/tfs"},
	{name: "server at the root", server: true, directory: "/"},
}

// newFakeAzureDevOps serves a, at a host in a layout; base is what organizations are
// under.
func newFakeAzureDevOps(t *testing.T, a fakehost.AzureDevOps, host, directory string, oauth bool) (s *fakehost.Server, p Provider, base string) {
	t.Helper()
	a.User, a.PAT, a.Bearer = "ada", restToken, restToken
	credential := Credential{Token: restToken, OAuth: oauth}
	if host != "" {
		s = fakehost.NewNamed(t, "dev.azure.com", "app.vssps.visualstudio.com")
		a.Serve(s)
		return s, provider(t, scmurl.Integration{SCMID: scmurl.AzureDevOpsEntra, Host: host}, credential, s), "https://dev.azure.com"
	}
	a.Server, a.Directory = true, strings.TrimSuffix(directory, "/")
	s = fakehost.NewPlain(t)
	a.Serve(s)
	i := scmurl.Integration{SCMID: scmurl.AzureDevOpsServer, Host: s.Address(), VirtualDirectory: directory, Plain: true}
	return s, provider(t, i, credential, s), s.URL + a.Directory
}

func TestAzureDevOps(t *testing.T) {
	git := fakehost.NewRepo(t)
	first := git.Commit("main", "first")
	git.Default("main")
	widgets := &fakehost.AzureDevOpsRepository{Organization: "acme", Project: "My Tools", Name: "My Widgets", Git: git}
	fork := &fakehost.AzureDevOpsRepository{Organization: "acme", Project: "ada", Name: "widgets-fork", Git: git, Parent: widgets}
	widgets.PullRequests = []fakehost.AzureDevOpsPullRequest{
		{ID: 1, Title: "Log in", Author: "ada@example.com", Status: "active", From: "feature/login", To: "main", Commit: first},
		{ID: 2, Title: "From a fork", Author: `ACME\bob`, Status: "completed", From: "fix", To: "main", Commit: first, Fork: fork},
		{ID: 3, Title: "The fork is gone", Status: "abandoned", From: "fix", To: "main", Commit: first, ForkGone: true},
		{ID: 4, Title: "Never merged", Status: "abandoned", From: "fix", To: "main"},
		{ID: 6, Title: "Not yet", Author: "ada@example.com", Status: "active", Draft: true, From: "fix", To: "main", Commit: first},
	}
	state := fakehost.AzureDevOps{
		Organizations: []fakehost.AzureDevOpsOrganization{{Name: "acme", Projects: []string{"My Tools", "ada", "plain"}}},
		Repositories: []*fakehost.AzureDevOpsRepository{
			widgets, fork,
			{Organization: "acme", Project: "plain", Name: "plain", Git: fakehost.NewRepo(t)},
			{Organization: "acme", Project: "plain", Name: "lib.git", Git: git},
		},
		WorkItems: []fakehost.AzureDevOpsWorkItem{{Organization: "acme", Project: "My Tools", ID: 42, Title: "It is broken"}},
	}
	for _, layout := range azureLayouts {
		t.Run(layout.name, func(t *testing.T) {
			s, p, at := newFakeAzureDevOps(t, state, layout.host, layout.directory, layout.oauth)
			base := Repository{Owner: "acme/My Tools", Repo: "My Widgets", CloneURL: at + "/acme/My%20Tools/_git/My%20Widgets"}
			head := Repository{Owner: "acme/ada", Repo: "widgets-fork", CloneURL: at + "/acme/ada/_git/widgets-fork"}
			pages := base.CloneURL + "/pullrequest/"
			found, forked := base, head
			found.DefaultBranch, forked.DefaultBranch, forked.UpstreamURL = "main", "main", base.CloneURL
			check(t, s, p, []asked{
				{"repository", repository("acme/My Tools", "My Widgets"), found, nil, 1},
				{"in another case", repository("ACME/my tools", "my widgets"), found, nil, 1},
				{"a fork", repository("acme/ada", "widgets-fork"), forked, nil, 1},
				{"without commits, named like its project", repository("acme/plain", "plain"), Repository{Owner: "acme/plain", Repo: "plain", CloneURL: at + "/acme/plain/_git/plain"}, nil, 1},
				{"a name that ends with .git", repository("acme/plain", "lib.git"), Repository{Owner: "acme/plain", Repo: "lib.git", CloneURL: at + "/acme/plain/_git/lib.git", DefaultBranch: "main"}, nil, 1},
				{"nothing is left out of names", repository("acme/plain", "plain.git"), nil, wantMissing, 1},
				{"no repository", repository("acme/plain", "nothing"), nil, wantMissing, 1},
				{"no project", repository("acme", "plain"), nil, wantMissing, 0},
				{"whole commit", commit("acme/My Tools", "My Widgets", first), first, nil, 1},
				{"short commit", commit("acme/My Tools", "My Widgets", first[:8]), first, nil, 1},
				{"no commit", commit("acme/My Tools", "My Widgets", "0000000"), nil, wantMissing, 1},
				{"a branch", commit("acme/My Tools", "My Widgets", "main"), nil, wantMissing, 1},
				{"active", change("acme/My Tools", "My Widgets", "1"), Change{Number: "1", Title: "Log in", URL: pages + "1", Author: "ada@example.com", State: ChangeOpen, FromBranch: "feature/login", ToBranch: "main", Head: &base, Base: base, Commit: first}, nil, 1},
				{"completed, from a fork", change("acme/My Tools", "My Widgets", "2"), Change{Number: "2", Title: "From a fork", URL: pages + "2", Author: `ACME\bob`, State: ChangeMerged, FromBranch: "fix", ToBranch: "main", Head: &head, Base: base, Commit: first}, nil, 1},
				{"abandoned, the fork is gone", change("acme/My Tools", "My Widgets", "3"), Change{Number: "3", Title: "The fork is gone", URL: pages + "3", State: ChangeClosed, FromBranch: "fix", ToBranch: "main", Base: base, Commit: first}, nil, 1},
				{"without a commit", change("acme/My Tools", "My Widgets", "4"), Change{Number: "4", Title: "Never merged", URL: pages + "4", State: ChangeClosed, FromBranch: "fix", ToBranch: "main", Head: &base, Base: base}, nil, 1},
				{"a draft", change("acme/My Tools", "My Widgets", "6"), Change{Number: "6", Title: "Not yet", URL: pages + "6", Author: "ada@example.com", State: ChangeOpen, Draft: true, FromBranch: "fix", ToBranch: "main", Head: &base, Base: base, Commit: first}, nil, 1},
				{"no pull request", change("acme/My Tools", "My Widgets", "5"), nil, wantMissing, 1},
				{"work item", issue("acme/My Tools", "My Tools", "42"), Issue{Number: "42", Title: "It is broken"}, nil, 1},
				{"work item of another project", issue("acme/plain", "plain", "42"), nil, wantMissing, 1},
			})
			for _, cloneURL := range []string{base.CloneURL, at + "/acme/_git/plain"} {
				if got := infoRefs(t, s, cloneURL, p.GitAuth()); got != http.StatusOK {
					t.Errorf("%s answers %d", cloneURL, got)
				}
			}
		})
	}
}

// An organization that is spelled in its own way is answered so, except where the
// runner may call it in the integration's way only.
func TestAzureDevOpsSpelling(t *testing.T) {
	state := fakehost.AzureDevOps{
		Organizations: []fakehost.AzureDevOpsOrganization{{Name: "Acme", Projects: []string{"Tools"}}},
		Repositories:  []*fakehost.AzureDevOpsRepository{{Organization: "Acme", Project: "Tools", Name: "Widgets"}},
	}
	for host, want := range map[string]string{"dev.azure.com": "Acme/Tools", "dev.azure.com/acme": "acme/Tools", "": "Acme/Tools"} {
		_, p, _ := newFakeAzureDevOps(t, state, host, "/tfs", true)
		found, err := p.Repository(t.Context(), "ACME/tools", "widgets")
		if err != nil || found.Owner != want || found.Repo != "Widgets" {
			t.Errorf("%s: %+v, %v", host, found, err)
		}
	}
}

// A host that does not take abbreviations has no such commit.
func TestAzureDevOpsCommitTooShort(t *testing.T) {
	s := answerAll(t, http.StatusBadRequest, nil, `{}`, "dev.azure.com")
	p := provider(t, scmurl.Integration{SCMID: scmurl.AzureDevOpsEntra, Host: "dev.azure.com"}, Credential{Token: "x"}, s)
	check(t, s, p, []asked{{"commit", commit("acme/tools", "widgets", "abcd"), nil, wantMissing, 1}})
}

func TestAzureDevOpsViewer(t *testing.T) {
	state := fakehost.AzureDevOps{Organizations: []fakehost.AzureDevOpsOrganization{{Name: "acme"}}}
	unknown := fault.New(fault.FailedPrecondition, fault.HostNotConfigured, "")
	for _, layout := range azureLayouts {
		s, p, _ := newFakeAzureDevOps(t, state, layout.host, layout.directory, layout.oauth)
		want := asked{layout.name, viewer(), Viewer{Login: "ada"}, nil, 1}
		if layout.host == "dev.azure.com" && !layout.oauth { // a token is good for one organization, but which
			want = asked{layout.name, viewer(), nil, unknown, 0}
		}
		check(t, s, p, []asked{want})
	}
	for body, want := range map[string]error{
		`{"authenticatedUser":{"descriptor":"System:PublicAccess;aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa","providerDisplayName":"Anonymous"}}`: wantSignIn,
		`{"authenticatedUser":{"providerDisplayName":"Ada"}}`:                                                                               nil,
	} {
		s := answerAll(t, http.StatusOK, nil, body, "dev.azure.com")
		p := provider(t, scmurl.Integration{SCMID: scmurl.AzureDevOpsEntra, Host: "dev.azure.com/acme"}, Credential{Token: "x"}, s)
		check(t, s, p, []asked{{body, viewer(), Viewer{Login: "Ada"}, want, 1}})
	}
}

func TestAzureDevOpsRefusesCredentials(t *testing.T) {
	for _, host := range []string{"dev.azure.com/acme", ""} {
		s, _, _ := newFakeAzureDevOps(t, fakehost.AzureDevOps{}, host, "/tfs", false)
		i := scmurl.Integration{SCMID: scmurl.AzureDevOpsEntra, Host: host}
		if host == "" {
			i = scmurl.Integration{SCMID: scmurl.AzureDevOpsServer, Host: s.Address(), VirtualDirectory: "/tfs", Plain: true}
		}
		bad := provider(t, i, Credential{Token: "bad"}, s)
		check(t, s, bad, []asked{{"repository", repository("acme/tools", "widgets"), nil, wantSignIn, 1}})
	}
}

func TestAzureDevOpsSearch(t *testing.T) {
	state := fakehost.AzureDevOps{}
	for i := range 5 {
		o := fmt.Sprintf("o%d", i)
		state.Organizations = append(state.Organizations, fakehost.AzureDevOpsOrganization{Name: o, Projects: []string{"Shop"}})
		state.Repositories = append(state.Repositories,
			&fakehost.AzureDevOpsRepository{Organization: o, Project: "Shop", Name: "web-app"},
			&fakehost.AzureDevOpsRepository{Organization: o, Project: "Shop", Name: "api"},
			&fakehost.AzureDevOpsRepository{Organization: o, Project: "Shop", Name: "old", Disabled: true})
	}
	for _, layout := range []struct {
		host  string
		calls int // to list the organizations
	}{{"dev.azure.com", 2}, {"", 1}} {
		s, p, at := newFakeAzureDevOps(t, state, layout.host, "/tfs", true)
		rows := func(names ...string) []FoundRepository {
			var found []FoundRepository
			for _, name := range names {
				i := strings.LastIndex(name, "/")
				found = append(found, FoundRepository{Name: name, URL: at + "/" + name[:i] + "/_git" + name[i:]})
			}
			return found
		}
		check(t, s, p, []asked{
			{"three of five organizations", searching(Query{Text: "WEB", Page: 1, Size: 2}), Repositories{Rows: rows("o0/Shop/web-app", "o1/Shop/web-app"), More: true, Pages: -1, Total: -1}, nil, layout.calls + 3},
			{"last page", searching(Query{Text: "shop web", Page: 2, Size: 2}), Repositories{Rows: rows("o2/Shop/web-app"), Pages: -1, Total: -1}, nil, layout.calls + 3},
			{"one that is left out", searching(Query{Text: "O4/shop", Page: 1, Size: 5}), Repositories{Rows: rows("o4/Shop/web-app", "o4/Shop/api"), Pages: 1, Total: 2}, nil, layout.calls + 1},
			{"a query", searching(Query{Text: "web", Native: true, Page: 1, Size: 5}), nil, fault.New(fault.Unimplemented, fault.ReasonUnimplemented, ""), 0},
		})
	}
	s, p, _ := newFakeAzureDevOps(t, state, "dev.azure.com/o1", "", false)
	one := FoundRepository{Name: "o1/Shop/api", URL: "https://dev.azure.com/o1/Shop/_git/api"}
	check(t, s, p, []asked{
		{"the organization of the integration", searching(Query{Text: "api", Page: 1, Size: 5}), Repositories{Rows: []FoundRepository{one}, Pages: 1, Total: 1}, nil, 1},
	})
	s, p, _ = newFakeAzureDevOps(t, fakehost.AzureDevOps{}, "dev.azure.com", "", true)
	check(t, s, p, []asked{{"no organization", searching(Query{Text: "api", Page: 1, Size: 5}), Repositories{Rows: nil}, nil, 2}})
}

func TestAzureDevOpsOrganizations(t *testing.T) {
	state := fakehost.AzureDevOps{Organizations: []fakehost.AzureDevOpsOrganization{
		{Name: "acme", Projects: []string{"My Tools", "plain", "shop"}}, {Name: "globex"}, {Name: "initech"},
	}}
	for _, layout := range []struct {
		host  string
		names []string
		calls int
	}{
		{"dev.azure.com", []string{"acme", "globex", "initech"}, 2},
		{"", []string{"acme", "globex", "initech"}, 1},
		{"dev.azure.com/acme", []string{"acme/My Tools", "acme/plain", "acme/shop"}, 1},
	} {
		s, p, at := newFakeAzureDevOps(t, state, layout.host, "/tfs", true)
		var rows []Organization
		for _, name := range layout.names {
			rows = append(rows, Organization{Name: name, URL: at + "/" + strings.ReplaceAll(name, " ", "%20")})
		}
		check(t, s, p, []asked{
			{"first page", organizations(OrganizationQuery{Size: 2}), Organizations{Rows: rows[:2], Cursor: "2"}, nil, layout.calls},
			{"last page", organizations(OrganizationQuery{Size: 2, Cursor: "2"}), Organizations{Rows: rows[2:]}, nil, layout.calls},
			{"all at once", organizations(OrganizationQuery{Size: 3}), Organizations{Rows: rows}, nil, layout.calls},
			{"behind the end", organizations(OrganizationQuery{Size: 3, Cursor: "9"}), Organizations{}, nil, layout.calls},
			{"a cursor of nobody", organizations(OrganizationQuery{Size: 2, Cursor: "x"}), nil, fault.New(fault.InvalidArgument, fault.InvalidPageToken, ""), 0},
			{"words", organizations(OrganizationQuery{Size: 2, Text: "ac"}), nil, wantInvalid, 0},
		})
	}
}

// Azure DevOps takes the name of an organization with any capitals. What is called
// is the organization as the integration spells it.
func TestOrganizationsHaveOneSpelling(t *testing.T) {
	git := fakehost.NewRepo(t)
	id := git.Commit("main", "first")
	azure := fakehost.AzureDevOps{
		User: "ada", Bearer: restToken,
		Organizations: []fakehost.AzureDevOpsOrganization{{Name: "acme", Projects: []string{"Tools"}}},
		Repositories:  []*fakehost.AzureDevOpsRepository{{Organization: "acme", Project: "Tools", Name: "Widgets", Git: git}},
	}
	s := fakehost.NewNamed(t, "dev.azure.com", "app.vssps.visualstudio.com")
	azure.Serve(s)
	h, err := New(Config{CAs: fakehost.Trust(s), Dial: fakehost.Network(s)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	for _, host := range []string{"dev.azure.com/acme", "acme.visualstudio.com", "Acme.visualstudio.com/DefaultCollection"} {
		a := Account{Integration: scmurl.Integration{SCMID: scmurl.AzureDevOpsEntra, Host: host}, Credential: Credential{Token: restToken, OAuth: true}}
		for _, u := range []string{
			"https://dev.azure.com/acme/Tools/_git/Widgets", "https://dev.azure.com/Acme/Tools/_git/Widgets", "https://ACME.visualstudio.com/Tools/_git/Widgets",
			"https://dev.azure.com/ACME/Tools/_git/Widgets?version=GBmain",
		} {
			c, err := h.ParseContext(t.Context(), a, u)
			if err != nil || c.Owner != "acme/Tools" || c.CloneURL != "https://dev.azure.com/acme/Tools/_git/Widgets" || c.Commit != id {
				t.Errorf("%s, %s: %+v, %v", host, u, c, err)
			}
			if yes, why, err := h.CheckRepository(t.Context(), a, u); !yes || err != nil {
				t.Errorf("%s, %s: %v, %q, %v", host, u, yes, why, err)
			}
		}
	}
}
