package scmhost

import (
	"context"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musterhq/muster/internal/agent/scmhost/fakehost"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/scmurl"
)

// long is a text that a host may want to be remembered and sent on.
var long = strings.Repeat("x", 10_000)

func TestAnswersThatAreTooLong(t *testing.T) {
	repo := Repository{Owner: "acme", Repo: "widgets", CloneURL: "https://ghe.example.com/acme/widgets.git"}
	bad := map[string]Repository{"owner": repo, "name": repo, "clone URL": repo, "upstream": repo}
	for name, r := range bad {
		*map[string]*string{"owner": &r.Owner, "name": &r.Repo, "clone URL": &r.CloneURL, "upstream": &r.UpstreamURL}[name] = long
		bad[name] = r
	}
	id := strings.Repeat("a", 40)
	// parse asks for an issue or a change, and for the repository.
	parse := func(what string) func(context.Context, *Hosts, Account) error {
		return func(ctx context.Context, h *Hosts, a Account) error {
			_, err := h.ParseContext(ctx, a, "https://ghe.example.com/acme/widgets/"+what)
			return err
		}
	}
	search := func(ctx context.Context, h *Hosts, a Account) error {
		_, err := h.Search(ctx, a, Query{Text: "x", Page: 1, Size: 10})
		return err
	}
	list := func(ctx context.Context, h *Hosts, a Account) error {
		_, err := h.Organizations(ctx, a, OrganizationQuery{Text: "x", Size: 10})
		return err
	}
	type row struct {
		name  string
		says  any
		at    []string
		ask   func(context.Context, *Hosts, Account) error
		words string
	}
	const tooLong = "a text that is too long"
	rows := []row{
		{"number of an issue", Issue{Number: long}, []string{"issue", "acme", "widgets", "7"}, parse("issues/7"), tooLong},
		{"commit", long, []string{"commit", "acme", "widgets", "abcdef"}, parse("commit/abcdef"), "is not one of its API"},
		{"URL of a change", Change{Base: repo, URL: long}, []string{"change", "acme", "widgets", "7"}, parse("pull/7"), tooLong},
		{"number of a change", Change{Base: repo, Number: long}, []string{"change", "acme", "widgets", "7"}, parse("pull/7"), tooLong},
		{"author of a change", Change{Base: repo, Author: long}, []string{"change", "acme", "widgets", "7"}, parse("pull/7"), tooLong},
		{"name of what was found", Repositories{Rows: []FoundRepository{{Name: long}}}, []string{"search", "x"}, search, tooLong},
		{"URL of what was found", Repositories{Rows: []FoundRepository{{URL: long}}}, []string{"search", "x"}, search, tooLong},
		{"too many repositories", Repositories{Rows: make([]FoundRepository, maxRows+1)}, []string{"search", "x"}, search, "too many"},
		{"name of an organization", Organizations{Rows: []Organization{{Name: long}}}, []string{"organizations", "x"}, list, tooLong},
		{"URL of an organization", Organizations{Rows: []Organization{{URL: long}}}, []string{"organizations", "x"}, list, tooLong},
		{"cursor", Organizations{Cursor: long}, []string{"organizations", "x"}, list, tooLong},
		{"too many organizations", Organizations{Rows: make([]Organization, maxRows+1)}, []string{"organizations", "x"}, list, "too many"},
	}
	for name, r := range bad {
		head := Change{Number: "7", Base: repo, Head: &r, Commit: id}
		rows = append(rows,
			row{name + " of a repository", r, []string{"repository", "acme", "widgets"}, parse(""), tooLong},
			row{name + " of a base", Change{Number: "7", Base: r}, []string{"change", "acme", "widgets", "7"}, parse("pull/7"), tooLong},
			row{name + " of a head", head, []string{"change", "acme", "widgets", "7"}, parse("pull/7"), tooLong})
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			hub := newPlainHost(t, scmurl.GitHub, "ghe.example.com")
			hub.says(row.says, row.at...)
			if row.at[0] != "repository" {
				hub.says(repo, "repository", "acme", "widgets")
			}
			err := row.ask(t.Context(), hosts(t, hub), hub.Account)
			if !sameFault(err, wantGone) || !strings.Contains(err.Error(), row.words) || len(err.Error()) > 1000 {
				t.Errorf("the error is %.1000v", err)
			}
		})
	}
	hub := newPlainHost(t, scmurl.GitHub, "ghe.example.com")
	hub.says(Viewer{Login: long}, "viewer")
	if yes, err := hosts(t, hub).Authenticated(t.Context(), hub.Account); yes || !sameFault(err, wantGone) {
		t.Error(yes, err)
	}
}

func TestTitlesAreCutAndNumbersAreBounded(t *testing.T) {
	hub := newPlainHost(t, scmurl.GitHub, "ghe.example.com")
	repo := Repository{Owner: "acme", Repo: "widgets", CloneURL: hub.clone("acme", "widgets")}
	hub.says(repo, "repository", "acme", "widgets")
	titled := strings.Repeat("é", maxTitle)
	hub.says(Issue{Number: "7", Title: "x" + titled}, "issue", "acme", "widgets", "7")
	hub.says(Change{Number: "8", Title: "x" + titled, Base: repo}, "change", "acme", "widgets", "8")
	hub.says(Repositories{Pages: math.MaxInt64, Total: math.MaxInt64}, "search", "x")
	h := hosts(t, hub)
	want := "x" + strings.Repeat("é", maxTitle/2-1)
	if c, err := h.ParseContext(t.Context(), hub.Account, "https://ghe.example.com/acme/widgets/issues/7"); err != nil || c.Issue.Title != want {
		t.Errorf("an issue: %+v, %v", c.Issue, err)
	}
	if c, err := h.ParseContext(t.Context(), hub.Account, "https://ghe.example.com/acme/widgets/pull/8"); err != nil || c.Change.Title != want {
		t.Errorf("a change: %+v, %v", c.Change, err)
	}
	if r, err := h.Search(t.Context(), hub.Account, Query{Text: "x"}); err != nil || r.Pages != math.MaxInt32 || r.Total != math.MaxInt32 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestNamesOfRefs(t *testing.T) {
	for name, want := range map[string]bool{
		"main": true, "feature/login": true, "v1.0": true, "a@b": true, "é": true, "@/x": true, "feature/-x": true, "{": true, strings.Repeat("x", maxRefName): true,
		"": false, "@": false, "-x": false, "--upload-pack=touch /tmp/x": false, ".x": false, "a/.x": false, "a.lock": false, "a.lock/b": false, "a.": false,
		"a..b": false, "a@{b": false, "/a": false, "a/": false, "a//b": false, "a b": false, "a~b": false, "a^b": false, "a:b": false, "a?b": false, "a*b": false,
		"a[b": false, `a\b`: false, "a\x00b": false, "a\nb": false, "a\x7fb": false, "a\xffb": false, strings.Repeat("x", maxRefName+1): false,
	} {
		if got := isRefName(name); got != want {
			t.Errorf("%.40q: %v", name, got)
		}
	}
}

// What a host calls a branch goes into commands. An odd one is left out.
func TestOddBranchesAreLeftOut(t *testing.T) {
	const odd = "--upload-pack=touch"
	hub := newPlainHost(t, scmurl.GitHub, "ghe.example.com")
	id := strings.Repeat("a", 40)
	repo := Repository{Owner: "acme", Repo: "widgets", CloneURL: hub.clone("acme", "widgets"), DefaultBranch: odd}
	head := Repository{Owner: "mallory", Repo: "widgets", CloneURL: hub.clone("mallory", "widgets"), DefaultBranch: odd}
	hub.says(repo, "repository", "acme", "widgets")
	hub.says(Change{Number: "1", State: ChangeOpen, FromBranch: odd, ToBranch: odd, Head: &head, Base: repo, Commit: id}, "change", "acme", "widgets", "1")
	hub.says(Change{Number: "2", State: ChangeOpen, FromBranch: "b", ToBranch: "main", Head: &head, Base: repo, Commit: odd}, "change", "acme", "widgets", "2")
	hub.says(Issue{Number: "3"}, "issue", "acme", "widgets", "3")
	hub.Handle("/acme/widgets.git/info/refs", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(pkts("# service=git-upload-pack\n", "0000", id+" HEAD\x00symref=HEAD:refs/heads/"+odd+"\n", id+" refs/heads/"+odd+"\n", "0000"))
	})
	h := hosts(t, hub)
	repo.DefaultBranch, head.DefaultBranch = "", ""
	over := head
	over.UpstreamURL = repo.CloneURL
	for path, want := range map[string]Context{
		"":         {Repository: repo, Commit: id},
		"pull/1":   {Repository: over, Commit: id, Change: &Change{Number: "1", State: ChangeOpen, Head: &head, Base: repo, Commit: id}},
		"pull/2":   {Repository: over, Branch: "b", Change: &Change{Number: "2", State: ChangeOpen, FromBranch: "b", ToBranch: "main", Head: &head, Base: repo}},
		"issues/3": {Repository: repo, Issue: &Issue{Number: "3"}},
	} {
		want.Host = "ghe.example.com"
		got, err := h.ParseContext(t.Context(), hub.Account, "https://ghe.example.com/acme/widgets/"+path)
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("%q: %v\n%s", path, err, d)
		}
	}
}

// Whatever is asked, a host that does not answer is the one to blame.
func TestASlowHostIsBlamed(t *testing.T) {
	hub := newPlainHost(t, scmurl.GitHub, "ghe.example.com")
	hub.Break(nil, fakehost.Slow)
	half := newPlainHost(t, scmurl.GitHub, "half.example.com") // only its git is slow
	half.says(Repository{Owner: "acme", Repo: "widgets", CloneURL: half.clone("acme", "widgets")}, "repository", "acme", "widgets")
	half.Break(func(r *http.Request) bool { return strings.Contains(r.URL.Path, ".git/") }, fakehost.Slow)
	h := hosts(t, hub)
	parse := func(path string) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := h.ParseContext(ctx, hub.Account, "https://ghe.example.com/acme/widgets"+path)
			return err
		}
	}
	for name, ask := range map[string]func(context.Context) error{
		"a repository": parse(""), "a branch": parse("/tree/main"), "a commit": parse("/commit/abcdef"), "a whole commit": parse("/tree/" + strings.Repeat("a", 40)),
		"a change": parse("/pull/7"), "an issue": parse("/issues/7"),
		"whether it can be read": func(ctx context.Context) error {
			_, _, err := h.CheckRepository(ctx, hub.Account, "https://ghe.example.com/acme/widgets")
			return err
		},
		"a search": func(ctx context.Context) error { _, err := h.Search(ctx, hub.Account, Query{Text: "x"}); return err },
		"organizations": func(ctx context.Context) error {
			_, err := h.Organizations(ctx, hub.Account, OrganizationQuery{})
			return err
		},
		"the refs of a repository that is known": func(ctx context.Context) error {
			_, err := hosts(t, half).ParseContext(ctx, half.Account, "https://half.example.com/acme/widgets")
			return err
		},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		if err := ask(ctx); !sameFault(err, wantLate) || !strings.Contains(err.Error(), "did not answer in time") {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if yes, err := h.Authenticated(ctx, hub.Account); yes || !sameFault(err, wantLate) {
		t.Errorf("who cannot be tried: %v, %v", yes, err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if found, err := h.Probe(ctx, hub.Account.Integration, Client{}); found.Host != "did not answer in time" || err != nil {
		t.Errorf("a probe: %+v, %v", found, err)
	}
}

// A question that has a place takes no other one, and renewals have places of
// their own.
func TestQuestionsHaveOnePlace(t *testing.T) {
	hub := newPlainHost(t, scmurl.GitHub, "ghe.example.com")
	hub.says(Organizations{}, "organizations", "x")
	h := hosts(t, hub)
	var ctx context.Context
	for range maxQuestions {
		var leave func()
		var err error
		if ctx, leave, err = h.Enter(t.Context(), hub.Account.Integration); err != nil {
			t.Fatal(err)
		}
		defer leave()
	}
	list := func(ctx context.Context) error {
		_, err := h.Organizations(ctx, hub.Account, OrganizationQuery{Text: "x"})
		return err
	}
	if err := list(ctx); err != nil {
		t.Errorf("with a place: %v", err)
	}
	if err := list(t.Context()); !fault.HasReason(err, fault.RunnerRefused) {
		t.Errorf("without one: %v", err)
	}
	if _, _, err := h.Enter(t.Context(), hub.Account.Integration); !fault.HasReason(err, fault.RunnerRefused) {
		t.Errorf("one more: %v", err)
	}
	app := hub.Account.Integration
	app.OAuth = true
	if _, err := h.Refresh(t.Context(), app, application, oldRefresh); fault.HasReason(err, fault.RunnerRefused) {
		t.Errorf("a renewal: %v", err)
	}
}
