package hosts

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"

	"github.com/musterhq/muster/internal/agent/scmhost"
	"github.com/musterhq/muster/internal/agent/scmhost/fakehost"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/scmurl"
)

// gitHubPaths are those of GitHub's description that are looked at. The rest of it
// is not read, since that takes long: a request to another path fails.
var gitHubPaths = []string{
	"/user", "/user/memberships/orgs", "/search/repositories",
	"/repos/{owner}/{repo}", "/repos/{owner}/{repo}/commits/{ref}",
	"/repos/{owner}/{repo}/pulls/{pull_number}", "/repos/{owner}/{repo}/issues/{issue_number}",
}

// description is GitHub's own one of its API at a URL.
type description struct{ router routers.Router }

func gitHubDescription(t *testing.T, file, at string) description {
	t.Helper()
	raw, err := os.ReadFile("node_modules/@octokit/openapi/generated/" + file)
	if err != nil {
		t.Fatalf("%v; npm ci installs it", err)
	}
	whole := decode[map[string]json.RawMessage](t, raw)
	paths := decode[map[string]any](t, whole["paths"])
	components := decode[map[string]map[string]any](t, whole["components"])
	used := map[string]any{}
	kept := map[string]map[string]any{}
	// keep takes over what a part of the description refers to.
	var keep func(part any)
	keep = func(part any) {
		switch part := part.(type) {
		case []any:
			for _, p := range part {
				keep(p)
			}
		case map[string]any:
			if ref, ok := part["$ref"].(string); ok {
				kind, name, _ := strings.Cut(strings.TrimPrefix(ref, "#/components/"), "/")
				if kept[kind] == nil {
					kept[kind] = map[string]any{}
				}
				if kept[kind][name] == nil {
					kept[kind][name] = components[kind][name]
					keep(components[kind][name])
				}
			}
			// The fake has no more of an answer than somebody needs, and nothing that
			// the description does not have.
			if _, ok := part["properties"].(map[string]any); ok {
				delete(part, "required")
				if _, ok := part["additionalProperties"]; !ok {
					part["additionalProperties"] = false
				}
			}
			for _, p := range part {
				keep(p)
			}
		}
	}
	for _, path := range gitHubPaths {
		p, ok := paths[path].(map[string]any)
		if !ok {
			t.Fatalf("%s does not have %s", file, path)
		}
		used[path] = map[string]any{"get": p["get"]}
		keep(used[path])
	}
	raw, err = json.Marshal(map[string]any{
		"openapi": "3.0.3", "info": map[string]any{"title": "GitHub", "version": "1"},
		"servers": []any{map[string]any{"url": at}}, "paths": used, "components": kept,
	})
	if err != nil {
		t.Fatal(err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(raw)
	if err != nil {
		t.Fatal(err)
	}
	router, err := legacy.NewRouter(doc, openapi3.DisableExamplesValidation())
	if err != nil {
		t.Fatal(err)
	}
	return description{router}
}

// check returns what of a request, and of its answer unless that is nil, is not as
// described.
func (d description) check(ctx context.Context, r *http.Request, resp *http.Response, body []byte) error {
	route, params, err := d.router.FindRoute(r)
	if err != nil {
		return err
	}
	described := map[string]bool{}
	for _, p := range append(route.PathItem.Parameters, route.Operation.Parameters...) {
		described[p.Value.In+" "+p.Value.Name] = true
	}
	for name := range r.URL.Query() {
		if !described["query "+name] {
			return fmt.Errorf("the parameter %q is not in the description", name)
		}
	}
	in := &openapi3filter.RequestValidationInput{
		Request: r, PathParams: params, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true, SkipSettingDefaults: true},
	}
	if err := openapi3filter.ValidateRequest(ctx, in); err != nil || resp == nil {
		return err
	}
	if resp.StatusCode == http.StatusUnauthorized || strings.Contains(resp.Header.Get("Content-Type"), ".sha") {
		return nil // the description leaves this status out of most paths, and ids of commits as text
	}
	out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: resp.StatusCode, Header: resp.Header, Options: in.Options}
	return openapi3filter.ValidateResponse(ctx, out.SetBodyBytes(body))
}

// Every request of the provider for GitHub is in GitHub's description of its API,
// and the fake answers nothing that is not in there.
func TestGitHubIsAskedAsItDescribes(t *testing.T) {
	for _, row := range []struct{ file, host, url, api string }{
		{"api.github.com.json", "github.com", "", "https://api.github.com"},
		{"ghes-3.19.json", "ghe.example.com", "https://ghe.example.com", "https://ghe.example.com/api/v3"},
	} {
		t.Run(row.file, func(t *testing.T) {
			d := gitHubDescription(t, row.file, row.api)
			s := fakehost.NewNamed(t, row.host, "api."+row.host)
			git := fakehost.NewRepo(t)
			id := git.Commit("main", "first")
			widgets := &fakehost.GitHubRepository{Owner: "acme", Name: "widgets", Private: true, Git: git, Issues: map[int]string{2: "It does not work"}}
			fork := &fakehost.GitHubRepository{Owner: "octocat", Name: "widgets", Git: git, Parent: widgets}
			widgets.Pulls = map[int]fakehost.GitHubPull{1: {Title: "Fix it", Author: "octocat", From: "fix", To: "main", Source: fork, Commit: id}}
			// One whose fork is gone is not here: the description does not know that its
			// repository is null then.
			fork.Pulls = map[int]fakehost.GitHubPull{1: {Title: "Merged", Author: "octocat", From: "fix", To: "main", Source: fork, Commit: id, Merged: true}}
			(&fakehost.GitHub{
				URL: row.url,
				Users: map[string]fakehost.GitHubUser{
					"octocat": {Login: "octocat", Organizations: []fakehost.GitHubMembership{{Organization: "acme", Role: "admin"}}},
					"narrow":  {Login: "hubot", Scopes: []string{"public_repo"}},
				},
				Repositories: []*fakehost.GitHubRepository{widgets, fork},
			}).Serve(s)
			asked := map[string]int{}
			see := func(r *http.Request, resp *http.Response, body []byte) {
				if err := d.check(t.Context(), r, resp, body); err != nil {
					t.Errorf("%s %s, %s: %v", r.Method, r.URL, resp.Status, err)
				}
				if route, _, err := d.router.FindRoute(r); err == nil && resp.StatusCode == http.StatusOK {
					asked[route.Path]++
				}
			}
			for _, token := range []string{"octocat", "narrow", "stale", ""} {
				p := provider(t, scmurl.Integration{SCMID: scmurl.GitHub, Host: row.host, PAT: true}, token, see, s)
				for _, owner := range []string{"acme", "octocat", "nobody"} {
					for name, ask := range questions(owner, "widgets", id[:7], "1", "2") {
						if _, err := ask(t.Context(), p); err != nil && fault.Is(err, fault.Unavailable) {
							t.Errorf("%s of %s: %v", name, owner, err)
						}
					}
				}
				_, _ = p.Search(t.Context(), scmhost.Query{Text: "is:private", Native: true, Page: 1, Size: 10})
			}
			for _, path := range gitHubPaths {
				if asked[path] == 0 {
					t.Errorf("%s was never asked for with success", path)
				}
			}
		})
	}
}

// What is held against the description must be able to fail.
func TestTheDescriptionRefuses(t *testing.T) {
	const api = "https://api.github.com"
	d := gitHubDescription(t, "api.github.com.json", api)
	for _, path := range []string{
		"/repos/o/r/pulls/1/bogus", "/bogus", "/repos/o/r/pulls/one", "/search/repositories", "/search/repositories?q=x&sort=bogus",
		"/user/memberships/orgs?per_page=many", "/user/memberships/orgs?page=1&bogus=1",
	} {
		if err := d.check(t.Context(), get(t, api+path), nil, nil); err == nil {
			t.Errorf("%s is let through", path)
		}
	}
	for body, fits := range map[string]bool{
		`{"user_view_type":"public","login":"octocat"}`:         true,
		`{"user_view_type":"public","login":"octocat","b":"x"}`: false,
		`{"user_view_type":"public","login":1}`:                 false,
		`[]`:                                                    false,
	} {
		resp := &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}}
		if err := d.check(t.Context(), get(t, api+"/user"), resp, []byte(body)); (err == nil) != fits {
			t.Errorf("the answer %s: %v", body, err)
		}
	}
}

func get(t *testing.T, address string) *http.Request {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Request{Method: http.MethodGet, URL: u, Host: u.Host, Header: http.Header{}}
}
