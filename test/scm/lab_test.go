package scm_test

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/musterhq/muster/test/muster"
	"github.com/musterhq/muster/test/planted"
)

// lab is a control plane with its runners, and everything that was said.
type lab struct {
	// t is the whole test: what is started lasts longer than a subtest.
	t       *testing.T
	plane   *muster.Server
	options muster.ServerOptions
	admin   person
	runners []*runner

	mu      sync.Mutex
	secrets planted.Secrets
	// answers are what the control plane and its pages answered, and asked is what
	// hosts were asked for.
	answers, asked bytes.Buffer
	processes      []*muster.Process
	arguments      func() []byte
	searched       bool
}

// runner is a host that is a runner.
type runner struct {
	*muster.Host
	name, id string
}

// newLab starts a control plane. The test must end with a search for secrets.
func newLab(t *testing.T, o muster.ServerOptions) *lab {
	t.Helper()
	o.LogLevel = "debug"
	l := &lab{t: t, plane: muster.Serve(t, o), options: o, arguments: watchArguments(t)}
	l.ran(l.plane.Process)
	l.admin = person{l, "admin", l.plane.Token}
	t.Cleanup(func() {
		if !l.searched && !t.Failed() {
			t.Error("nobody has searched for secrets")
		}
	})
	return l
}

// plant remembers a secret.
func (l *lab) plant(name, value string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.secrets.Plant(name, value)
}

// ran remembers a process, whose output is searched.
func (l *lab) ran(p *muster.Process) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.processes = append(l.processes, p)
}

// answered remembers what the control plane answered.
func (l *lab) answered(parts ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answers.WriteString(strings.Join(parts, "\n") + "\n")
}

// askedFor remembers what a host was asked for.
func (l *lab) askedFor(url string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked.WriteString(url + "\n")
}

// join makes a runner that may call these hosts at the loopback address with
// http, and waits until it is up.
func (l *lab) join(t *testing.T, name string, hosts ...string) *runner {
	t.Helper()
	id, exchange := l.plane.Admin().NewRunner(t, name)
	var env []string
	if len(hosts) > 0 {
		env = append(env, private(hosts...))
	}
	r := &runner{l.plane.Join(t, exchange, env...), name, id}
	l.ran(r.Process)
	l.runners = append(l.runners, r)
	l.up(t, r)
	return r
}

// private allows a runner to call hosts at the loopback address with http.
func private(hosts ...string) (env string) {
	return "MUSTER_PRIVATE_HOSTS=http://" + strings.Join(hosts, ",http://")
}

// again starts a runner again, which has ended; see muster.Host.
func (l *lab) again(t *testing.T, r *runner, env ...string) {
	t.Helper()
	r.Host = r.Again(l.t, env...)
	l.ran(r.Process)
	l.up(t, r)
}

// up waits until a runner is connected, and all others that run, and has said
// what it can do. Its phase alone would not do: a lease outlives its link.
func (l *lab) up(t *testing.T, r *runner) {
	t.Helper()
	muster.Until(t, muster.Patience, func() error {
		if !r.Running() {
			t.Fatalf("the runner %s has ended: %s", r.name, r.Printed())
		}
		reply := l.admin.ask(t, "RunnerService/GetRunner", object{"runnerId": r.id})
		if got := reply.text("runner", "status", "phase"); got != "RUNNER_PHASE_ACTIVE" {
			return fmt.Errorf("the runner %s is %s: %s", r.name, got, reply.body)
		}
		running := 0
		for _, one := range l.runners {
			if one.Running() {
				running++
			}
		}
		if links := fmt.Sprintf("\nmuster_links %d\n", running); !strings.Contains(string(l.page(t, l.plane.URL+"/metrics", "")), links) {
			return fmt.Errorf("there are not %d links", running)
		}
		return nil
	})
}

// restart kills the control plane, starts it again, and waits for its runners.
func (l *lab) restart(t *testing.T) {
	t.Helper()
	l.plane.Kill()
	l.plane.Restart(l.t)
	l.ran(l.plane.Process)
	for _, r := range l.runners {
		l.up(t, r)
	}
}

// person is somebody with a token of the control plane.
type person struct {
	*lab
	name, token string
}

var patForm = regexp.MustCompile(`muster_pat_\S+`)

// member adds a member, whom a group lets use these runners.
func (l *lab) member(t *testing.T, name string, runners ...*runner) person {
	t.Helper()
	made := l.admin.muster(t, "member", "add", name, "--email", strings.ToLower(name)+"@example.com").ok(t)
	p := person{l, name, patForm.FindString(made.stdout)}
	group := "users of " + name
	l.admin.muster(t, "group", "create", group).ok(t)
	l.admin.muster(t, "group", "add", group, name).ok(t)
	for _, r := range runners {
		l.admin.muster(t, "policy", "set", r.name, group).ok(t)
	}
	return p
}

// result is how a command ended.
type result struct {
	args           []string
	stdout, stderr string
	code           int
}

// muster runs a command to its end.
func (p person) muster(t testing.TB, args ...string) result {
	t.Helper()
	return p.end(t, p.start(t, "", args...), args)
}

// musterWith runs a command with a standard input.
func (p person) musterWith(t testing.TB, stdin string, args ...string) result {
	t.Helper()
	return p.end(t, p.start(t, stdin, args...), args)
}

// start starts a command.
func (p person) start(t testing.TB, stdin string, args ...string) *muster.Process {
	t.Helper()
	c := muster.StartWith(t, strings.NewReader(stdin), []string{"MUSTER_SERVER=" + p.plane.URL, "MUSTER_TOKEN=" + p.token}, args...)
	p.ran(c)
	return c
}

func (p person) end(t testing.TB, c *muster.Process, args []string) result {
	t.Helper()
	code := c.Wait(t, muster.Patience)
	return result{args, c.Stdout(), strings.TrimPrefix(c.Printed(), c.Stdout()), code}
}

// ok expects success.
func (r result) ok(t testing.TB) result {
	t.Helper()
	if r.code != 0 {
		t.Fatalf("muster %q: code %d, %s", r.args, r.code, r.stderr)
	}
	return r
}

// says expects success, and every one of the patterns in what was printed to
// standard output.
func (r result) says(t testing.TB, patterns ...string) result {
	t.Helper()
	r.ok(t)
	for _, p := range patterns {
		if !regexp.MustCompile("(?m)" + p).MatchString(r.stdout) {
			t.Errorf("muster %q does not say %q:\n%s%s", r.args, p, r.stdout, r.stderr)
		}
	}
	return r
}

// fails expects a failure, and every one of the patterns in what was printed to
// standard error.
func (r result) fails(t testing.TB, patterns ...string) result {
	t.Helper()
	if r.code == 0 {
		t.Fatalf("muster %q succeeds: %s", r.args, r.stdout)
	}
	for _, p := range patterns {
		if !regexp.MustCompile("(?m)" + p).MatchString(r.stderr) {
			t.Errorf("muster %q does not say %q:\n%s", r.args, p, r.stderr)
		}
	}
	return r
}
