package scmhost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musterhq/muster/internal/agent/scmhost/fakehost"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/scmurl"
)

// plainAPI is a provider whose every method is one call, so that what is shared
// by all providers can be seen alone. The host answers with the very values.
type plainAPI struct{ Site }

func (p plainAPI) GitAuth() string {
	if p.Credential.Token == "" {
		return ""
	}
	return basicAuth("x", p.Credential.Token)
}

// asking makes the call.
func asking[T any](ctx context.Context, p plainAPI, path ...string) (T, error) {
	var out struct {
		Value    T
		NoChange bool
	}
	for n := range path {
		path[n] = url.PathEscape(path[n])
	}
	_, err := p.getJSON(ctx, p.Base()+"/api/"+strings.Join(path, "/"), p.bearer(), &out)
	if out.NoChange {
		err = ErrIsChange
	}
	return out.Value, err
}

func (p plainAPI) Viewer(ctx context.Context) (Viewer, error) {
	return asking[Viewer](ctx, p, "viewer")
}

func (p plainAPI) Repository(ctx context.Context, owner, repo string) (Repository, error) {
	return asking[Repository](ctx, p, "repository", owner, repo)
}

func (p plainAPI) Commit(ctx context.Context, owner, repo, id string) (string, error) {
	return asking[string](ctx, p, "commit", owner, repo, id)
}

func (p plainAPI) Change(ctx context.Context, owner, repo, number string) (Change, error) {
	return asking[Change](ctx, p, "change", owner, repo, number)
}

func (p plainAPI) Issue(ctx context.Context, owner, repo, number string) (Issue, error) {
	return asking[Issue](ctx, p, "issue", owner, repo, number)
}

func (p plainAPI) Search(ctx context.Context, q Query) (Repositories, error) {
	return asking[Repositories](ctx, p, "search", q.Text)
}

func (p plainAPI) Organizations(ctx context.Context, q OrganizationQuery) (Organizations, error) {
	return asking[Organizations](ctx, p, "organizations", q.Text)
}

// plainHost is a host with plainAPI. Its credential is "planted".
type plainHost struct {
	*fakehost.Server
	Account Account
	t       *testing.T
}

func newPlainHost(t *testing.T, scmID, host string) *plainHost {
	t.Helper()
	name, _, _ := strings.Cut(host, "/")
	name, _, _ = strings.Cut(name, ":")
	return &plainHost{
		Server: fakehost.NewNamed(t, name), t: t,
		Account: Account{Integration: scmurl.Integration{ID: "id of " + host, SCMID: scmID, Host: host}, Credential: Credential{Token: "planted"}},
	}
}

// says mounts an answer of the API.
func (p *plainHost) says(value any, path ...string) {
	p.answers(map[string]any{"Value": value}, path...)
}

func (p *plainHost) answers(body any, path ...string) {
	for n := range path {
		path[n] = url.PathEscape(path[n])
	}
	p.Handle("/api/"+strings.Join(path, "/"), func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer planted" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if err := json.NewEncoder(w).Encode(body); err != nil {
			p.t.Error(err)
		}
	})
}

func (p *plainHost) clone(owner, repo string) string {
	return scmurl.Target{Owner: owner, Repo: repo}.CloneURL(p.Account.Integration)
}

// has puts a repository on the host, as its API and its git know it.
func (p *plainHost) has(r Repository, git *fakehost.Repo) {
	if r.CloneURL == "" {
		r.CloneURL = p.clone(r.Owner, r.Repo)
	}
	p.says(r, "repository", r.Owner, r.Repo)
	u, err := url.Parse(r.CloneURL)
	if err != nil {
		p.t.Fatal(err)
	}
	p.Git(u.Path, git, func(r *http.Request) bool { _, token, _ := r.BasicAuth(); return token == "planted" })
}

// hosts knows plain hosts only.
func hosts(t *testing.T, of ...*plainHost) *Hosts {
	t.Helper()
	var servers []*fakehost.Server
	for _, p := range of {
		servers = append(servers, p.Server)
	}
	h, err := New(Config{CAs: fakehost.Trust(servers...), Dial: fakehost.Network(servers...)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	h.provider = func(s Site) (Provider, error) { return plainAPI{s}, nil }
	return h
}

// knows makes the first contact with a host, so that calls can be counted.
func (h *Hosts) knows(p *plainHost) {
	site := h.site(p.Account.Integration, p.Account.Credential)
	h.cache.note(h.cache.key(site, "", "version 2"), protocolLife)
}

// none matches names of what is missing, one for each question.
var none = regexp.MustCompile(`none\d`)

func TestWhatURLsPointAt(t *testing.T) {
	hub := newPlainHost(t, scmurl.GitHub, "ghe.example.com")
	git := fakehost.NewRepo(t)
	first := git.Commit("main", "first")
	second := git.Commit("feature/login", "second")
	git.Ref("refs/heads/rel", first)
	git.Tag("v1", second)
	git.Ref("refs/tags/rel", second)
	git.Ref("refs/tags/rel2/1.0", second)
	git.Ref("refs/heads/beef", first)
	base := hub.Account.Base()
	widgets := Repository{Owner: "Acme", Repo: "Widgets", DefaultBranch: "main", CloneURL: base + "/Acme/Widgets.git"}
	forked := Repository{Owner: "octo", Repo: "widgets", DefaultBranch: "main", CloneURL: base + "/octo/widgets.git", UpstreamURL: widgets.CloneURL}
	hub.has(widgets, git)
	hub.has(forked, git)
	hub.says(widgets, "repository", "acme", "widgets") // hosts do not mind capitals
	hub.Git("/acme/widgets.git", git, nil)
	hub.has(Repository{Owner: "acme", Repo: "empty", DefaultBranch: "main"}, fakehost.NewRepo(t))
	hub.says(widgets, "repository", "acme", "gadgets") // it was renamed
	hub.Handle("/acme/gadgets.git/", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/Acme/Widgets.git/"+r.URL.Path[len("/acme/gadgets.git/"):]+"?"+r.URL.RawQuery, http.StatusMovedPermanently)
	})
	closed := Repository{Owner: "acme", Repo: "closed", DefaultBranch: "main", CloneURL: base + "/acme/closed.git"}
	hub.says(closed, "repository", "acme", "closed")
	for _, id := range []string{second, second[:7]} {
		hub.says(second, "commit", "acme", "widgets", id)
		hub.says(second, "commit", "Acme", "Widgets", id)
	}
	hub.says(first, "commit", "Acme", "Widgets", "beef1")
	pull := Change{Number: "1", Title: "Login", State: ChangeOpen, FromBranch: "feature/login", ToBranch: "main", Head: &forked, Base: widgets, Commit: second}
	hub.says(pull, "change", "acme", "widgets", "1")
	same := pull
	same.Head = &widgets
	hub.says(same, "change", "acme", "widgets", "2")
	gone := pull
	gone.Head = nil
	hub.says(gone, "change", "acme", "widgets", "3")
	// Those that are over may have lost their branch.
	over := func(number, branch, commit string, state ChangeState, head Repository) Change {
		c := Change{Number: number, Title: "Over", State: state, FromBranch: branch, ToBranch: "main", Head: &head, Base: widgets, Commit: commit}
		hub.says(c, "change", "acme", "widgets", number)
		return c
	}
	deleted := over("4", "deleted", second, ChangeMerged, widgets)
	kept := over("5", "feature/login", second, ChangeClosed, forked)
	dropped := over("6", "feature/login", "", ChangeMerged, widgets)
	dropped.Commit = second
	lost := over("7", "deleted", "", ChangeClosed, widgets)
	unreadable := over("8", "feature/login", second, ChangeMerged, closed)
	unnameable := over("9", "a..b\nc", second, ChangeMerged, widgets)
	unnameable.FromBranch = ""
	odd := over("10", "deleted", second, ChangeUnknown, widgets)
	part := over("11", "feature", second, ChangeMerged, widgets)
	hub.says(Issue{Number: "42", Title: "It breaks"}, "issue", "acme", "widgets", "42")
	hub.answers(map[string]any{"NoChange": true}, "issue", "acme", "widgets", "1")

	context := func(r Repository, branch, tag, commit string) Context {
		return Context{Host: "ghe.example.com", Repository: r, Branch: branch, Tag: tag, Commit: commit}
	}
	ofPull := func(c Context, p Change, upstream string) Context {
		c.Change, c.UpstreamURL = &p, upstream
		return c
	}
	ofIssue := context(widgets, "main", "", "")
	ofIssue.Issue = &Issue{Number: "42", Title: "It breaks"}
	notFound := fault.NotFound
	for _, row := range []struct {
		path  string
		want  Context
		fails fault.Code // with the words; no error without words
		words string
		calls int
	}{
		{"acme/widgets", context(widgets, "main", "", first), 0, "", 2},
		{"acme/widgets.git", context(widgets, "main", "", first), 0, "", 2},
		{"acme/widgets/wiki", context(widgets, "main", "", first), 0, "", 2},
		{"octo/widgets", context(forked, "main", "", first), 0, "", 2},
		{"acme/widgets/tree/HEAD/src", context(widgets, "main", "", first), 0, "", 2},
		{"acme/widgets/tree/main", context(widgets, "main", "", first), 0, "", 2},
		{"acme/widgets/blob/feature/login/src/a%20file.go", context(widgets, "feature/login", "", second), 0, "", 2},
		{"acme/widgets/tree/feature%2Flogin", context(widgets, "feature/login", "", second), 0, "", 2},
		{"acme/widgets/tree/v1", context(widgets, "", "v1", second), 0, "", 2},
		{"acme/widgets/tree/rel/src", context(widgets, "rel", "", first), 0, "", 2},
		{"acme/widgets/tree/refs/tags/rel", context(widgets, "", "rel", second), 0, "", 2},
		{"acme/widgets/releases/tag/rel2%2F1.0", context(widgets, "", "rel2/1.0", second), 0, "", 2},
		{"acme/widgets/tree/beef/src", context(widgets, "beef", "", first), 0, "", 2},
		{"acme/widgets/tree/beef1/src", context(widgets, "", "", first), 0, "", 3},
		{"acme/widgets/tree/" + second[:7] + "/src", context(widgets, "", "", second), 0, "", 3},
		{"acme/widgets/tree/" + second + "/src", context(widgets, "", "", second), 0, "", 2},
		{"acme/widgets/commit/" + second, context(widgets, "", "", second), 0, "", 2},
		{"acme/widgets/commit/" + strings.ToUpper(second[:7]), context(widgets, "", "", second), 0, "", 2},
		{"acme/widgets/compare/main...octo:feature/login", context(forked, "feature/login", "", second), 0, "", 2},
		{"acme/widgets/pull/1/files", ofPull(context(forked, "feature/login", "", second), pull, widgets.CloneURL), 0, "", 1},
		{"acme/widgets/pull/2", ofPull(context(widgets, "feature/login", "", second), same, ""), 0, "", 1},
		{"acme/widgets/pull/8", ofPull(context(closed, "", "", second), unreadable, widgets.CloneURL), 0, "", 2},
		{"acme/widgets/pull/3", ofPull(context(widgets, "", "", second), gone, ""), 0, "", 1},
		{"acme/widgets/pull/4", ofPull(context(widgets, "", "", second), deleted, ""), 0, "", 2},
		{"acme/widgets/pull/5", ofPull(context(forked, "feature/login", "", second), kept, widgets.CloneURL), 0, "", 2},
		{"acme/widgets/pull/6", ofPull(context(widgets, "feature/login", "", second), dropped, ""), 0, "", 2},
		{"acme/widgets/pull/7", ofPull(context(widgets, "", "", ""), lost, ""), 0, "", 2},
		{"acme/widgets/pull/9", ofPull(context(widgets, "", "", second), unnameable, ""), 0, "", 1},
		{"acme/widgets/pull/10", ofPull(context(widgets, "", "", second), odd, ""), 0, "", 2},
		{"acme/widgets/pull/11", ofPull(context(widgets, "", "", second), part, ""), 0, "", 2},
		{"acme/widgets/issues/42", ofIssue, 0, "", 2},
		{"acme/widgets/pull/42", ofIssue, 0, "", 3},
		{"acme/widgets/issues/1", ofPull(context(forked, "feature/login", "", second), pull, widgets.CloneURL), 0, "", 3},
		{"acme/empty", context(Repository{Owner: "acme", Repo: "empty", DefaultBranch: "main", CloneURL: base + "/acme/empty.git"}, "", "", ""), 0, "", 2},
		{"acme/gadgets/tree/feature/login", context(widgets, "feature/login", "", second), 0, "", 5},
		{"acme/none1", Context{}, notFound, "no repository acme/none1", 2},
		{"acme/none2/tree/main", Context{}, notFound, "no repository acme/none2", 2},
		{"acme/none3/commit/" + second, Context{}, notFound, "no repository acme/none3", 2},
		{"acme/none4/issues/7", Context{}, notFound, "no repository acme/none4", 2},
		{"acme/none5/pull/7", Context{}, notFound, "no pull request 7 in acme/none5", 3},
		{"acme/widgets/pull/99", Context{}, notFound, "no pull request 99 in acme/widgets", 3},
		{"acme/widgets/issues/7", Context{}, notFound, "no issue 7 in acme/widgets", 2},
		{"acme/widgets/tree/nope/src", Context{}, notFound, `Acme/Widgets on ghe.example.com has no branch, tag or commit that "nope/src" begins with`, 2},
		{"acme/widgets/tree/nope", Context{}, notFound, `no branch, tag or commit "nope"`, 2},
		{"acme/widgets/tree/refs/heads/nope", Context{}, notFound, `no branch "nope"`, 2},
		{"acme/widgets/releases/tag/nope", Context{}, notFound, `no tag "nope"`, 2},
		{"acme/widgets/commit/0123456", Context{}, notFound, `no commit "0123456"`, 2},
		{"acme/widgets/tree/0123456", Context{}, notFound, `"0123456"`, 3},
		{"acme/widgets/compare/main...none9:x", Context{}, notFound, "no repository none9/widgets", 2},
		{"acme/closed/tree/main", Context{}, fault.PermissionDenied, "does not let it read the repository with git", 2},
		{"acme/widgets/commit/invalid", Context{}, fault.InvalidArgument, "The URL must name a commit", 0},
		{"acme", Context{}, fault.InvalidArgument, "The URL must name a repository", 0},
		{"settings/tokens", Context{}, fault.InvalidArgument, "The URL must name a repository", 0},
	} {
		t.Run(strings.ReplaceAll(row.path, "/", " "), func(t *testing.T) {
			h := hosts(t, hub)
			h.knows(hub)
			hub.TakeCalls()
			got, err := h.ParseContext(t.Context(), hub.Account, base+"/"+row.path)
			if row.words == "" && err != nil || row.words != "" && (!fault.Is(err, row.fails) || !strings.Contains(err.Error(), row.words)) {
				t.Errorf("the error is %v", err)
			}
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			// Where the repository is missing, the other call may not have begun, or may
			// arrive later.
			all := slices.DeleteFunc(called(hub.Server), func(call string) bool {
				missing := none.FindString(call)
				return missing != "" && missing != none.FindString(row.path)
			})
			if len(all) > row.calls || len(all) < row.calls && !strings.Contains(row.path, "none") {
				t.Errorf("%d calls, not %d: %q", len(all), row.calls, all)
			}
			// Once more costs nothing.
			if _, err := h.ParseContext(t.Context(), hub.Account, base+"/"+row.path); (err == nil) != (row.words == "") {
				t.Error(err)
			}
			if all := called(hub.Server); len(all) > 0 && row.words == "" {
				t.Errorf("the same again took the calls %q", all)
			}
		})
	}
}

func TestFirstContactTakesOneMoreCall(t *testing.T) {
	hub := newPlainHost(t, scmurl.GitHub, "ghe.example.com")
	git := fakehost.NewRepo(t)
	git.Commit("main", "first")
	hub.has(Repository{Owner: "acme", Repo: "a", DefaultBranch: "main"}, git)
	hub.has(Repository{Owner: "acme", Repo: "b", DefaultBranch: "main"}, git)
	h := hosts(t, hub)
	for n, repo := range []string{"a", "b"} {
		if _, err := h.ParseContext(t.Context(), hub.Account, "https://ghe.example.com/acme/"+repo+"/tree/main"); err != nil {
			t.Fatal(err)
		}
		if all := called(hub.Server); len(all) != 3-n {
			t.Errorf("repository %d took %q", n, all)
		}
	}
}

func TestTextThatCanBeReadInSeveralWays(t *testing.T) {
	lab := newPlainHost(t, scmurl.GitLab, "gitlab.example.com/git")
	git := fakehost.NewRepo(t)
	id := git.Commit("main", "first")
	lab.Handle("/git/", func(w http.ResponseWriter, r *http.Request) {
		http.StripPrefix("/git", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.EscapedPath() != "/api/repository/group%2Fsub/issues" {
				w.WriteHeader(http.StatusNotFound)
				return
			}
			_ = json.NewEncoder(w).Encode(map[string]any{"Value": Repository{Owner: "group/sub", Repo: "issues", CloneURL: lab.clone("group/sub", "issues")}})
		})).ServeHTTP(w, r)
	})
	lab.Git("/git/group/sub/issues.git", git, nil)
	h := hosts(t, lab)
	h.knows(lab)
	u := "https://gitlab.example.com/git/group/sub/issues"
	c, err := h.ParseContext(t.Context(), lab.Account, u)
	if err != nil || c.Owner != "group/sub" || c.Repo != "issues" || c.Commit != id {
		t.Fatalf("%+v, %v", c, err)
	}
	if all := called(lab.Server); len(all) != 3 { // one for the wrong reading
		t.Errorf("it took %q", all)
	}
	if yes, why, err := h.CheckRepository(t.Context(), lab.Account, u); !yes {
		t.Error(why, err)
	}
	_, err = h.ParseContext(t.Context(), lab.Account, "https://gitlab.example.com/git/group/none/issues")
	if !fault.Is(err, fault.NotFound) || !strings.Contains(err.Error(), "no repository group/none") {
		t.Errorf("the error is not that of the likeliest reading: %v", err)
	}
}

func TestCandidatesOfPaths(t *testing.T) {
	for _, row := range []struct {
		ref  scmurl.Ref
		want []string
	}{
		{scmurl.Ref{Tail: []string{"a", "b c", "d"}}, []string{"refs/heads/a", "refs/tags/a"}},
		{scmurl.Ref{Tail: []string{"a", "b"}}, []string{"refs/heads/a/b", "refs/heads/a", "refs/tags/a/b", "refs/tags/a"}},
		{scmurl.Ref{Tail: []string{"a/b", "c"}, Kind: scmurl.Branch}, []string{"refs/heads/a/b/c", "refs/heads/a/b"}},
		{scmurl.Ref{Tail: []string{"a", "b"}, Kind: scmurl.Tag, Whole: true}, []string{"refs/tags/a/b"}},
		{scmurl.Ref{Tail: []string{"abcdef"}, Kind: scmurl.Commit}, nil},
		{scmurl.Ref{Tail: []string{"-x"}, Whole: true}, nil},
		{scmurl.Ref{Tail: []string{"a..b"}, Whole: true}, nil},
		{scmurl.Ref{Tail: []string{"a\nb"}, Whole: true}, nil},
		{scmurl.Ref{}, nil},
	} {
		if got := candidates(row.ref); !slices.Equal(got, row.want) {
			t.Errorf("%+v: %q", row.ref, got)
		}
	}
	long := scmurl.Ref{}
	for n := range 1000 {
		long.Tail = append(long.Tail, fmt.Sprint(n))
	}
	if n := len(candidates(long)); n > 2*maxCandidates {
		t.Errorf("a long path has %d candidates", n)
	}
}

func TestNobodyIsAskedWithoutACredential(t *testing.T) {
	hub := newPlainHost(t, scmurl.GitHub, "ghe.example.com")
	h := hosts(t, hub)
	a := hub.Account
	a.Credential = Credential{}
	ask := map[string]func() error{
		"ParseContext":  func() error { _, err := h.ParseContext(t.Context(), a, "https://ghe.example.com/a/b"); return err },
		"Search":        func() error { _, err := h.Search(t.Context(), a, Query{}); return err },
		"Organizations": func() error { _, err := h.Organizations(t.Context(), a, OrganizationQuery{}); return err },
	}
	for name, f := range ask {
		if err := f(); !fault.HasReason(err, fault.SignInRequired) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if yes, err := h.Authenticated(t.Context(), a); yes || err != nil {
		t.Error(yes, err)
	}
	if calls := called(hub.Server); len(calls) != 0 {
		t.Errorf("called: %q", calls)
	}
}

func TestProvidersOfUnknownKinds(t *testing.T) {
	h, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.ParseContext(t.Context(), Account{Integration: scmurl.Integration{SCMID: "svn", Host: "h"}, Credential: Credential{Token: "t"}}, "https://h/a/b")
	if !fault.HasReason(err, fault.RunnerIncapable) {
		t.Error(err)
	}
	if errors.Is(err, errNoRepository) {
		t.Error("another reading would be tried")
	}
}
