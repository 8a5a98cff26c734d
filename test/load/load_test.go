// Package load puts ten thousand simulated runners on one control plane.
package load

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/test/muster"
)

func TestMain(m *testing.M) { muster.Main(m) }

const (
	runners = 10_000
	// callers is how many runners are being made at once.
	callers = 32
	// span is how long the runners renew.
	span = 2 * time.Minute
	// idle is how long the control plane is measured before, with nothing to do.
	idle = 10 * time.Second
	// lost is when all runners must be INACTIVE that stopped to renew at the same
	// moment: a lease, and some time to write it down.
	lost = 45 * time.Second
	// maxMemory is what the control plane may use, in MiB, and maxCPU how many
	// cores, on average, while the runners do nothing but renew.
	maxMemory = 1500
	maxCPU    = 1.0
)

// TestTenThousandRunners holds 10,000 links for two minutes: no runner may go
// INACTIVE, no link may break. Then all links are cut at once: every runner must
// go INACTIVE, with one event. It reports what the control plane uses.
func TestTenThousandRunners(t *testing.T) {
	server := muster.Serve(t, muster.ServerOptions{})
	api := server.Admin()
	idleCores := cores(t, server.PID(), func() { <-time.After(idle) })
	idleMemory := memory(t, server.PID())

	begun := time.Now()
	tokens := makeRunners(t, api, runners)
	t.Logf("%d runners registered and redeemed in %s", runners, time.Since(begun).Round(100*time.Millisecond))

	dir := t.TempDir()
	path, err := muster.Build(dir, "github.com/musterhq/muster/test/load/simrunners")
	if err != nil {
		t.Fatal(err)
	}
	begun = time.Now()
	sim := startSim(t, path, server.URL, tokens)
	t.Logf("all of them connected in %s", time.Since(begun).Round(100*time.Millisecond))
	muster.Until(t, muster.Patience, func() error { return settled(t, api) })

	watcher := api.Watch(t)
	peak := 0
	used := cores(t, server.PID(), func() {
		muster.Throughout(t, span, func() error {
			peak = max(peak, memory(t, server.PID()))
			if events := watcher.All(t); len(events) > 0 {
				return fmt.Errorf("%d events came, the first is %v", len(events), events[0])
			}
			return nil
		})
	})
	end := memory(t, server.PID())
	expectPhase(t, api, gitpodv1.RunnerPhase_RUNNER_PHASE_ACTIVE)
	said := sim.stop(t)
	if !strings.HasSuffix(said, "links lost 0") {
		t.Errorf("the runners say: %s", said)
	}
	t.Logf("%d runners renewed for %s: %s", runners, span, said)
	t.Logf("the control plane used %.1f %% of one core; with nothing to do %.1f %%", 100*used, 100*idleCores)
	t.Logf("it used %d MiB at most and %d MiB in the end; with nothing to do %d MiB: %.1f times as much, %.1f KiB for a runner",
		peak, end, idleMemory, float64(peak)/float64(idleMemory), float64(peak-idleMemory)*1024/runners)
	if used > maxCPU || peak > maxMemory {
		t.Errorf("it may use %.0f %% of one core and %d MiB", 100*maxCPU, maxMemory)
	}

	begun = time.Now()
	muster.Until(t, lost, func() error {
		if n := len(watcher.All(t)); n < runners {
			return fmt.Errorf("%d of %d runners are lost", n, runners)
		}
		return nil
	})
	t.Logf("all of them were INACTIVE %s after their links were cut", time.Since(begun).Round(100*time.Millisecond))
	expectPhase(t, api, gitpodv1.RunnerPhase_RUNNER_PHASE_INACTIVE)
	if n := len(watcher.All(t)); n != runners {
		t.Errorf("%d events for %d runners", n, runners)
	}
}

// makeRunners registers the runners and redeems their exchange tokens.
func makeRunners(t *testing.T, api *muster.API, n int) []string {
	t.Helper()
	tokens := make([]string, n)
	errs := make(chan error, n)
	slots := make(chan struct{}, callers)
	var wg sync.WaitGroup
	for i := range tokens {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			made, err := api.Runners.CreateRunner(t.Context(), connect.NewRequest(&gitpodv1.CreateRunnerRequest{
				Name: fmt.Sprintf("simulated %d", i), Provider: gitpodv1.RunnerProvider_RUNNER_PROVIDER_LINUX_HOST,
			}))
			if err != nil {
				errs <- err
				return
			}
			got, err := api.Identities.ExchangeToken(t.Context(), connect.NewRequest(&gitpodv1.ExchangeTokenRequest{ExchangeToken: made.Msg.GetExchangeToken()}))
			if err != nil {
				errs <- err
				return
			}
			tokens[i] = got.Msg.GetAccessToken()
		})
	}
	wg.Wait()
	select {
	case err := <-errs:
		t.Fatal(err)
	default:
	}
	return tokens
}

// settled tells whether all runners have their configuration in force, after
// which their status changes no more.
func settled(t *testing.T, api *muster.API) error {
	t.Helper()
	for _, r := range api.AllRunners(t) {
		if facts := fmt.Sprint(r.GetStatus().GetAdditionalInfo()); !strings.Contains(facts, "revision 1 applied") {
			return fmt.Errorf("runner %s has not applied its configuration: %s", r.GetRunnerId(), facts)
		}
	}
	return nil
}

// expectPhase checks that all runners are in one phase.
func expectPhase(t *testing.T, api *muster.API, want gitpodv1.RunnerPhase) {
	t.Helper()
	phases := map[string]int{}
	for _, r := range api.AllRunners(t) {
		phases[r.GetStatus().GetPhase().String()]++
	}
	if len(phases) != 1 || phases[want.String()] != runners {
		t.Fatalf("the phases of %d runners: %v, want %v", runners, phases, want)
	}
}

// sim is the process of the simulated runners.
type sim struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// startSim starts the runners and waits until all of them are connected.
func startSim(t *testing.T, path, url string, tokens []string, args ...string) *sim {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s := &sim{cmd: exec.CommandContext(ctx, path, append([]string{"-server", url}, args...)...)} //nolint:gosec // built a moment ago
	s.cmd.Stderr = os.Stderr
	var err error
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.out = bufio.NewReader(out)
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = s.cmd.Wait()
	})
	if _, err := io.WriteString(s.in, strings.Join(tokens, "\n")+"\n\n"); err != nil {
		t.Fatal(err)
	}
	if line := s.line(t); line != "ready" {
		t.Fatalf("the simulated runners say %q", line)
	}
	return s
}

func (s *sim) line(t *testing.T) string {
	t.Helper()
	line, err := s.out.ReadString('\n')
	if err != nil {
		t.Fatalf("the simulated runners ended: %v", err)
	}
	return strings.TrimSpace(line)
}

// stop ends the runners and returns what they have to say.
func (s *sim) stop(t *testing.T) string {
	t.Helper()
	_ = s.in.Close()
	return s.line(t)
}

// cores is how many cores a process used on average while work was done.
func cores(t *testing.T, pid int, work func()) float64 {
	t.Helper()
	before, begun := cpuTime(t, pid), time.Now()
	work()
	return (cpuTime(t, pid) - before).Seconds() / time.Since(begun).Seconds()
}

// cpuTime is the processor time that a process has used.
func cpuTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	// What follows the name, which is in parentheses: state is the first field,
	// user and system time the 12th and 13th, in hundredths of a second.
	fields := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))
	var ticks int64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// memory is the resident memory of a process, in MiB.
func memory(t *testing.T, pid int) int {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				t.Fatal(err)
			}
			return kib / 1024
		}
	}
	t.Fatal("the process has no memory")
	return 0
}
