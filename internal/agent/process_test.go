package agent_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/musterhq/muster/internal/agent"
)

func TestMain(m *testing.M) {
	if os.Getenv(subprocessEnv) != "" {
		os.Exit(subprocess())
	}
	goleak.VerifyTestMain(m)
}

// process is one `muster join`.
type process struct {
	dir       string
	out, logs *buffer
	level     *slog.LevelVar
	cancel    context.CancelCauseFunc
	done      chan struct{}
	err       error
}

// join starts a runner.
func (p *plane) join(t *testing.T, change func(*agent.Config)) *process {
	t.Helper()
	ctx, cancel := context.WithCancelCause(context.Background())
	pr := &process{out: new(buffer), logs: new(buffer), level: new(slog.LevelVar), cancel: cancel, done: make(chan struct{})}
	cfg := agent.Config{
		Server: p.url, ExchangeToken: exchange, DataDir: filepath.Join(t.TempDir(), "data"),
		Version: "1.2.3", HostName: "host-a", Out: pr.out, Dial: p.dial,
		LogHandler: slog.NewJSONHandler(pr.logs, &slog.HandlerOptions{Level: pr.level}), LogLevel: pr.level,
	}
	if change != nil {
		change(&cfg)
	}
	pr.dir = cfg.DataDir
	go func() {
		defer close(pr.done)
		pr.err = agent.Run(ctx, cfg)
	}()
	t.Cleanup(func() {
		cancel(nil)
		<-pr.done
		if t.Failed() {
			t.Logf("progress:\n%slogs:\n%s", pr.out, pr.logs)
		}
	})
	return pr
}

// stop ends the process as a signal does and returns what Run returned.
func (pr *process) stop(cause error) error {
	pr.cancel(cause)
	return pr.wait()
}

func (pr *process) wait() error {
	<-pr.done
	return pr.err
}

type identity struct {
	InstallationID                                string
	RunnerID, OrganizationID, Server, AccessToken string
	PublicKey, PrivateKey                         []byte
	Next                                          *struct{ PublicKey, PrivateKey []byte }
}

func readIdentity(t *testing.T, dir string) identity {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, "identity.json")) //nolint:gosec // a test
	if err != nil {
		t.Fatal(err)
	}
	var id identity
	if err := json.Unmarshal(raw, &id); err != nil {
		t.Fatal(err)
	}
	return id
}

func hasIdentity(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "identity.json"))
	return err == nil
}

// buffer is a bytes.Buffer for several goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func (b *buffer) has(t *testing.T, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(b.String(), part) {
			t.Errorf("%q is not in:\n%s", part, b)
		}
	}
}
