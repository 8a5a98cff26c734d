package scm_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// openEveryURL opens what people paste. Grace is Alice at the host, and Heidi is
// Bob.
func openEveryURL(t *testing.T, f *forge, grace, heidi person) {
	t.Helper()
	site := f.server.URL
	// git is the repository of an answer; the rest is put over it.
	git := func(repository string, rest object) object {
		owner, repo, _ := strings.Cut(repository, "/")
		g := object{"host": f.host, "owner": owner, "repo": repo, "cloneUrl": site + "/" + repository + ".git"}
		for k, v := range rest {
			g[k] = v
		}
		return g
	}
	commit := func(branch string) string { return f.server.Commits[branch] }
	at := func(repository, branch string) object {
		return git(repository, object{"branch": branch, "commit": commit(repository + "/" + branch)})
	}
	change := func(number, title, author, state, from, head, base, to string) object {
		owner, repo, _ := strings.Cut(base, "/")
		return object{
			"id": number, "title": title, "author": author, "state": "STATE_" + state, "url": site + "/" + base + "/pulls/" + number,
			"fromBranch": from, "toBranch": to, "headSha": head,
			"repository": object{"cloneUrl": site + "/" + base + ".git", "host": f.host, "owner": owner, "name": repo},
		}
	}
	main := at("acme/widgets", "main")
	sha := commit("acme/widgets/main")
	draft := change("1", "WIP: login form", "alice", "OPEN", "feature/login-form", commit("acme/widgets/feature/login-form"), "acme/widgets", "main")
	draft["draft"] = true
	typo := git("bob/pub", object{"branch": "fix/typo", "commit": commit("bob/pub/fix/typo"), "upstreamRemoteUrl": site + "/alice/pub.git"})
	gone := commit("carol/pub/gone")
	for _, tt := range []struct {
		as     person
		pasted string
		git    object
		change object
		issue  object
	}{
		{as: grace, pasted: site + "/acme/widgets", git: main},
		{as: grace, pasted: site + "/ACME/Widgets.git", git: main},
		{as: grace, pasted: "  " + site + "/acme/widgets/ ", git: main},
		{as: grace, pasted: strings.Replace(site, "http://", "http://me:battery-staple@", 1) + "/acme/widgets", git: main},
		{as: grace, pasted: "git@127.0.0.1:acme/widgets.git", git: main}, // ssh says no port of http
		{as: grace, pasted: "ssh://git@127.0.0.1:2222/acme/widgets.git", git: main},
		{as: grace, pasted: "LEVEL=debug/" + site + "/acme/widgets", git: main},
		{as: grace, pasted: "A=1,B=two/" + site + "/acme/widgets/src/branch/feature/login-form", git: at("acme/widgets", "feature/login-form")},
		{as: grace, pasted: site + "/acme/widgets/src/branch/feature/login-form/src/app.go", git: at("acme/widgets", "feature/login-form")},
		{as: grace, pasted: site + "/acme/widgets/src/branch/feature%2Flogin-form", git: at("acme/widgets", "feature/login-form")},
		{as: grace, pasted: site + "/acme/widgets/src/branch/release/1.x", git: at("acme/widgets", "release/1.x")},
		{as: grace, pasted: site + "/acme/widgets/src/tag/rel/1.0/src", git: git("acme/widgets", object{"tag": "rel/1.0", "commit": sha})},
		{as: grace, pasted: site + "/acme/widgets/releases/tag/v1", git: git("acme/widgets", object{"tag": "v1", "commit": sha})},
		{as: grace, pasted: site + "/acme/widgets/commit/" + sha, git: git("acme/widgets", object{"commit": sha})},
		{as: grace, pasted: site + "/acme/widgets/src/commit/" + sha[:10], git: git("acme/widgets", object{"commit": sha})},
		{as: grace, pasted: site + "/acme/widgets/pulls/1", git: at("acme/widgets", "feature/login-form"), change: draft},
		{as: grace, pasted: site + "/acme/widgets/pulls/1/files", git: at("acme/widgets", "feature/login-form"), change: draft},
		{as: grace, pasted: site + "/acme/widgets/issues/2", git: git("acme/widgets", object{"branch": "main"}), issue: object{"id": "2", "title": "Login is slow"}},
		{as: grace, pasted: site + "/alice/empty", git: git("alice/empty", nil)},
		{as: heidi, pasted: site + "/alice/pub/pulls/1", git: typo, change: change("1", "Fix a typo", "bob", "OPEN", "fix/typo", commit("bob/pub/fix/typo"), "alice/pub", "trunk")},
		{as: heidi, pasted: site + "/alice/pub/pulls/2", git: git("alice/pub", object{"commit": commit("alice/pub/done")}), change: change("2", "Done", "alice", "MERGED", "done", commit("alice/pub/done"), "alice/pub", "trunk")},
		{as: heidi, pasted: site + "/alice/pub/pulls/3", git: at("alice/pub", "never"), change: change("3", "Never mind", "alice", "CLOSED", "never", commit("alice/pub/never"), "alice/pub", "trunk")},
		{as: heidi, pasted: site + "/alice/pub/pulls/4", git: git("alice/pub", object{"commit": gone}), change: change("4", "Gone", "carol", "CLOSED", "gone", gone, "alice/pub", "trunk")},
		{as: heidi, pasted: site + "/bob/pub", git: git("bob/pub", object{"branch": "trunk", "commit": commit("alice/pub/trunk"), "upstreamRemoteUrl": site + "/alice/pub.git"})},
	} {
		t.Run(tt.pasted, func(t *testing.T) {
			opened := tt.as.muster(t, "scm", "open", tt.pasted, "-o", "json").ok(t)
			var got struct {
				Git         object
				PullRequest object
				Issue       object
				ScmID       string
			}
			if err := json.Unmarshal([]byte(opened.stdout), &got); err != nil {
				t.Fatalf("%v in %s", err, opened.stdout)
			}
			if d := cmp.Diff([]object{tt.git, tt.change, tt.issue}, []object{got.Git, got.PullRequest, got.Issue}); d != "" {
				t.Error(d)
			}
			if got.ScmID != "gitea" || strings.Contains(opened.stdout, "battery-staple") {
				t.Errorf("it says %s", opened.stdout)
			}
		})
	}
	for pasted, why := range map[string]string{
		site + "/alice/empty":                       "reason not-found", // of somebody else, and private
		site + "/acme/widgets":                      "reason not-found",
		site + "/acme/widgets/pulls/1":              "reason not-found",
		site + "/alice/pub/src/branch/nope":         "reason not-found",
		site + "/alice/pub/pulls/99":                "reason not-found",
		site + "/alice":                             "reason invalid-field",
		site + "/user/settings":                     "reason invalid-field",
		"https://elsewhere.example.com/alice/pub":   "no runner that you can see is connected to",
		"ftp://" + f.host + "/alice/pub":            "the URL ",
		"not a url":                                 "the URL ",
		"file:///etc/passwd":                        "the URL ",
		"https://me:battery-staple@[::1/alice/pub":  "the URL ",
		"http://169.254.169.254/latest/meta-data/x": "no runner that you can see",
	} {
		if got := heidi.muster(t, "scm", "open", pasted).fails(t, why); strings.Contains(got.stderr, "battery-staple") {
			t.Errorf("%s: it tells the password: %s", pasted, got.stderr)
		}
	}
	pull := site + "/alice/pub/pulls/1"
	heidi.muster(t, "scm", "open", pull).says(t, `^Repository: +bob/pub$`, `^Pull request: +#1 Fix a typo \(open\)$`, `^From: +fix/typo$`, `^Into: +trunk$`, `^Upstream: +`)
	heidi.muster(t, "scm", "open", pull, "-o", "yaml").says(t, `^pullRequest:$`, `^ +fromBranch: fix/typo$`)
	heidi.muster(t, "scm", "search", "pub", "-o", "json").says(t, `"name": "alice/pub"`)
	heidi.muster(t, "scm", "search", "pub", "--limit", "1").says(t, `^\S+/pub +`)
	heidi.muster(t, "scm", "check", pull, "-o", "json").says(t, `"hasAccess": true`)
	grace.muster(t, "scm", "orgs", f.host, "-o", "yaml").says(t, `name: acme$`)
}
