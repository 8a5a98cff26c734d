package scm_test

import (
	"errors"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musterhq/muster/internal/agent/scmhost/fakehost"
	"github.com/musterhq/muster/internal/store/pgtest"
	"github.com/musterhq/muster/test/muster"
)

// soon is a time that is well before the deadline of a question.
const soon = 4 * time.Second

// Two runners, of which one is connected to a host that does not answer.
func TestRunners(t *testing.T) {
	t.Parallel()
	l := newLab(t, muster.ServerOptions{DatabaseURL: pgtest.URL(t)})
	defer l.search(t)
	const token, slowToken = "glpat-planted0GitLab0123456789abcdef", "glpat-planted0SlowGitLab0123456789ab"
	l.plant("the token for the host", token)
	l.plant("the token for the slow host", slowToken)
	fine, slow := gitLab(t, token), gitLab(t, slowToken)
	lab, cellar := l.join(t, "lab", fine.Address(), slow.Address()), l.join(t, "cellar", fine.Address())
	class := map[string]string{}
	for _, r := range l.runners {
		l.admin.muster(t, "scm", "create", "--runner", r.name, "--kind", "gitlab", "--host", fine.Address(), "--pat").ok(t)
		class[r.name] = l.admin.call(t, "RunnerConfigurationService/CreateEnvironmentClass", object{
			"runnerId": r.id, "displayName": "of " + r.name, "description": "It tells the runners apart",
		}).text("id")
	}
	l.admin.muster(t, "scm", "create", "--runner", "lab", "--kind", "gitlab", "--host", slow.Address(), "--pat").ok(t)
	grace, heidi := l.member(t, "Grace", lab, cellar), l.member(t, "Heidi", cellar)
	project := fine.URL + "/acme/widgets"
	parse := func(p person, body object) reply {
		t.Helper()
		return p.ask(t, "RunnerService/ParseContextURL", body)
	}
	answeredBy := func(r *runner) {
		t.Helper()
		if got := parse(grace, object{"contextUrl": project}); got.text("recommendedEnvironmentClasses", "0") != class[r.name] {
			t.Errorf("it is not %s that answers, but %d %s", r.name, got.status, got.body)
		}
	}

	// Who is not signed in hears of the runners that they may use.
	for _, tt := range []struct {
		who     person
		runners []string
	}{{grace, []string{lab.id, cellar.id}}, {heidi, []string{cellar.id}}, {l.admin, []string{lab.id, cellar.id}}} {
		got := parse(tt.who, object{"contextUrl": project}).failed(t, "failed_precondition", "sign-in-required").signIn
		if d := cmp.Diff(tt.runners, got.GetRunnerIds()); d != "" || got.GetScmId() != "gitlab" || got.GetAuthenticationRequiredUrl() != "" {
			t.Errorf("%s hears %v: %s", tt.who.name, got, d)
		}
	}
	parse(heidi, object{"runnerId": lab.id, "contextUrl": project}).failed(t, "not_found", "not-found")
	grace.muster(t, "host", "login", fine.Address()).fails(t, "2 runners are connected to", lab.id, cellar.id)

	// The one on which somebody is signed in answers.
	login := func(p person, r *runner, host, token string) result {
		t.Helper()
		return p.musterWith(t, token+"\n", "host", "login", host, "--runner", r.name, "--token-stdin")
	}
	login(grace, cellar, fine.Address(), token).ok(t)
	answeredBy(cellar)
	grace.muster(t, "scm", "open", project).says(t, `^Runner: +cellar, because you are signed in to \S+ there$`, `^Classes: +of cellar$`)
	grace.muster(t, "scm", "open", project, "--runner", "lab").fails(t, "reason sign-in-required")

	// When it is away, who is signed in elsewhere is not bothered.
	cellar.Kill()
	muster.Until(t, muster.Patience, func() error {
		if parse(grace, object{"contextUrl": project}).status == http.StatusOK {
			return errors.New("the runner that was killed answers")
		}
		return nil
	})
	away := parse(grace, object{"contextUrl": project})
	away.failed(t, "unavailable", "runner-offline")
	if s, err := strconv.Atoi(away.header.Get("Retry-After")); err != nil || s < 1 || s > 60 {
		t.Errorf("Retry-After is %q", away.header.Get("Retry-After"))
	}
	login(grace, lab, fine.Address(), token).ok(t)
	answeredBy(lab)
	l.again(t, cellar)
	answeredBy(cellar) // on which she has been signed in for longer

	// A host that does not answer costs those who ask it a deadline, and nobody
	// else.
	login(grace, lab, slow.Address(), slowToken).ok(t)
	// How many there are is not known of this one.
	page := object{"runnerId": lab.id, "scmHost": slow.Address(), "searchString": "", "pagination": object{"pageSize": 1}}
	first := grace.call(t, "RunnerService/SearchRepositories", page)
	page["pagination"] = object{"pageSize": 1, "token": first.text("pagination", "nextToken")}
	second := grace.call(t, "RunnerService/SearchRepositories", page)
	if first.text("pagination", "nextToken") != "2/-1/-1" || first.at("lastPage") != nil || second.at("pagination", "nextToken") != nil ||
		first.text("repositories", "0", "name") != "acme/widgets" || second.text("repositories", "0", "name") != "acme/gadgets" {
		t.Errorf("the pages are %s and %s", first.body, second.body)
	}
	slow.Break(nil, fakehost.Slow)
	search := func(host string) reply {
		return grace.ask(t, "RunnerService/SearchRepositories", object{"runnerId": lab.id, "scmHost": host, "searchString": "widgets"})
	}
	slow.TakeCalls()
	stuck := make(chan reply, 1)
	go func() { stuck <- search(slow.Address()) }()
	asked(t, slow)
	answers := 0
	for ; len(stuck) == 0; answers++ {
		begun := time.Now()
		if got := search(fine.Address()); got.status != http.StatusOK || got.took > muster.Limit(t, soon, begun) {
			t.Errorf("beside a host that does not answer, another one costs %s: %d %s", got.took, got.status, got.body)
		}
	}
	late := <-stuck
	late.failed(t, "deadline_exceeded", "host-unavailable")
	if late.took > muster.Limit(t, 12*time.Second, time.Now().Add(-late.took)) || answers < 3 {
		t.Errorf("the deadline came after %s, with %d answers besides", late.took, answers)
	}

	// The runner goes away in the middle of a question.
	slow.TakeCalls()
	go func() { stuck <- search(slow.Address()) }()
	asked(t, slow)
	gone := time.Now()
	lab.Kill()
	lost := <-stuck
	lost.failed(t, "unavailable", "runner-offline")
	if waited := time.Since(gone); waited > muster.Limit(t, soon, gone) || lost.header.Get("Retry-After") == "" {
		t.Errorf("%s after the runner went away, with Retry-After %q", waited, lost.header.Get("Retry-After"))
	}
	for _, s := range []*fakehost.Server{fine, slow} {
		for _, call := range s.Calls() {
			l.askedFor(call.URL)
		}
	}
}

// asked waits until a host was asked something.
func asked(t *testing.T, s *fakehost.Server) {
	t.Helper()
	muster.Until(t, muster.Patience, func() error {
		if len(s.Calls()) == 0 {
			return errors.New("the host was not asked")
		}
		return nil
	})
}

// gitLab is a host with two projects, for one person.
func gitLab(t *testing.T, token string) *fakehost.Server {
	t.Helper()
	s := fakehost.NewPlain(t)
	git := fakehost.NewRepo(t)
	git.Commit("main", "first")
	(&fakehost.GitLab{
		URL: s.URL, Groups: []string{"acme"}, ManyRows: true,
		Projects: []*fakehost.GitLabProject{{ID: 1, Path: "acme/widgets", Git: git}, {ID: 2, Path: "acme/gadgets", Git: git}},
		Users:    map[string]fakehost.GitLabUser{token: {Name: "alice", Scopes: []string{"api", "read_user", "read_repository"}, Groups: []string{"acme"}}},
	}).Serve(s)
	return s
}
