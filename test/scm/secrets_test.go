package scm_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"github.com/musterhq/muster/test/muster"
	"github.com/musterhq/muster/test/planted"
)

// watchArguments looks at the arguments of all programs on this machine until the
// test ends, and returns a function that returns them.
func watchArguments(t *testing.T) func() []byte {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	seen := map[string]bool{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			lookAtArguments(seen)
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	stop := func() {
		cancel()
		<-done
	}
	t.Cleanup(stop)
	return func() []byte {
		stop()
		var all strings.Builder
		for line := range seen {
			all.WriteString(strings.ReplaceAll(line, "\x00", " ") + "\n")
		}
		return []byte(all.String())
	}
}

func lookAtArguments(seen map[string]bool) {
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, name := range lines {
		if line, err := os.ReadFile(name); err == nil { // processes end
			seen[string(line)] = true
		}
	}
}

// search looks for everything that was planted in every place where it could be,
// but the few where it belongs: the runner's memory, the hosts, and sealed in the
// database. It ends the lab. A test that has failed proves nothing more.
func (l *lab) search(t *testing.T) {
	t.Helper()
	if t.Failed() {
		return
	}
	l.searched = true
	l.export(t)
	for _, r := range l.runners {
		r.Kill()
	}
	l.plane.Kill()
	l.look(t)
}

// look searches what is left of a lab that has ended.
func (l *lab) look(t testing.TB) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	first := l.runners[0]
	l.secrets.Clean(t, "the arguments of programs", l.arguments(), "muster")
	l.secrets.Clean(t, "the answers", l.answers.Bytes(), first.id)
	l.secrets.Clean(t, "what hosts were asked for", l.asked.Bytes(), "/")
	for i, p := range l.processes {
		l.secrets.Find(t, fmt.Sprintf("the output of process %d, %s", i+1, p), []byte(p.Printed()))
	}
	for _, r := range l.runners {
		l.secrets.CleanFiles(t, r.DataDir, "", r.id)
	}
	if l.options.DatabaseURL == "" {
		l.secrets.CleanFiles(t, l.plane.DataDir, "secret-key", first.name)
		return
	}
	l.secrets.Clean(t, "the database", dump(t, l.options.DatabaseURL), first.name)
}

// export reads everything that a control plane hands out about itself.
func (l *lab) export(t *testing.T) {
	t.Helper()
	for _, args := range []string{"audit export", "export", "scm list -o json", "runner list -o json"} {
		l.admin.muster(t, strings.Fields(args)...).says(t, l.runners[0].id+"|"+l.runners[0].name)
	}
	l.admin.muster(t, "host-token", "list", "-o", "yaml").ok(t)
	l.page(t, l.plane.URL+"/metrics", "")
	for _, r := range l.runners {
		if !r.Running() {
			continue
		}
		byID := object{"runnerId": r.id}
		token := l.admin.call(t, "RunnerService/CreateRunnerLogsToken", byID).text("accessToken")
		got := l.admin.call(t, "RunnerService/GetRunner", byID)
		logs := l.page(t, got.text("runner", "status", "logUrl"), token)
		bundle := planted.Unpack(t, l.page(t, got.text("runner", "status", "supportBundleUrl"), token))
		l.mu.Lock()
		l.secrets.Clean(t, "the logs of "+r.name, logs, "a question about a source code host was answered")
		l.secrets.Clean(t, "the support bundle of "+r.name, bundle, r.id)
		l.mu.Unlock()
	}
}

// page reads a page that must be there.
func (l *lab) page(t *testing.T, url, token string) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	got := l.do(t, http.DefaultClient, req)
	if got.status != http.StatusOK {
		t.Errorf("%s: %d %s", url, got.status, got.body)
	}
	return got.body
}

// dump returns everything in a database of PostgreSQL, bytes as hexadecimal
// digits.
func dump(t testing.TB, url string) []byte {
	t.Helper()
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // it is only read
	var all strings.Builder
	for _, table := range column(t, db, "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'") {
		for _, row := range column(t, db, `SELECT CAST(one AS text) FROM "`+table+`" AS one`) {
			all.WriteString(table + row + "\n")
		}
	}
	return []byte(all.String())
}

// column returns the only column of a query.
func column(t testing.TB, db *sql.DB, query string) []string {
	t.Helper()
	rows, err := db.QueryContext(context.Background(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close() //nolint:errcheck // it is read to its end
	var all []string
	for rows.Next() {
		var one string
		if err := rows.Scan(&one); err != nil {
			t.Fatal(err)
		}
		all = append(all, one)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// recorder notices what a search reports.
type recorder struct {
	testing.TB
	reported []string
}

func (r *recorder) Errorf(format string, args ...any) {
	r.reported = append(r.reported, fmt.Sprintf(format, args...))
}

// The search notices what got out, wherever that is; without this its silence
// means nothing.
func TestTheSearchNoticesWhatGotOut(t *testing.T) {
	t.Parallel()
	const secret = "correct-horse-battery-staple"
	for name, leak := range map[string]func(l *lab){
		"":                           func(*lab) {},
		"the arguments of programs":  func(l *lab) { l.arguments = func() []byte { return []byte("muster join --token " + secret) } },
		"the answers":                func(l *lab) { l.answered(secret) },
		"what hosts were asked for":  func(l *lab) { l.askedFor("/api?access_token=" + secret) },
		"the output of process 1":    func(l *lab) { l.ran(echo(t, secret)) },
		"/plane/muster.db-wal: ":     func(l *lab) { write(t, filepath.Join(l.plane.DataDir, "muster.db-wal"), secret) },
		"/runner/cache/answers.json": func(l *lab) { write(t, filepath.Join(l.runners[0].DataDir, "cache", "answers.json"), secret) },
		"/runner/identity.json":      func(l *lab) { write(t, filepath.Join(l.runners[0].DataDir, "identity.json"), "the-id "+secret) },
	} {
		dir := t.TempDir()
		l := &lab{
			plane:     &muster.Server{DataDir: filepath.Join(dir, "plane")},
			runners:   []*runner{{&muster.Host{DataDir: filepath.Join(dir, "runner")}, "lab", "the-id"}},
			arguments: func() []byte { return []byte("muster join") },
		}
		write(t, filepath.Join(l.plane.DataDir, "muster.db"), "lab")
		write(t, filepath.Join(l.plane.DataDir, "secret-key"), "the key")
		write(t, filepath.Join(l.runners[0].DataDir, "identity.json"), "the-id")
		l.plant("a token", secret)
		l.answered("the-id")
		l.askedFor("/")
		leak(l)
		r := &recorder{TB: t}
		l.look(r)
		if (name == "") != (len(r.reported) == 0) || name != "" && !strings.Contains(r.reported[0], name) {
			t.Errorf("%q: reported is %q", name, r.reported)
		}
	}
}

func echo(t *testing.T, text string) *muster.Process {
	t.Helper()
	p := muster.Launch(t, "/bin/echo", nil, text)
	p.Wait(t, muster.Patience)
	return p
}

func write(t *testing.T, path, text string) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		err = os.WriteFile(path, []byte(text), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
