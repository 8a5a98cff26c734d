package agent_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	linkv1 "github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/internal/agent"
)

// subprocessEnv makes the test binary a runner: it holds "server data-dir".
const subprocessEnv = "MUSTER_TEST_RUNNER"

func subprocess() int {
	server, dir, _ := strings.Cut(os.Getenv(subprocessEnv), " ")
	err := agent.Run(context.Background(), agent.Config{Server: server, DataDir: dir, ExchangeToken: exchange, Version: "1", Out: os.Stderr})
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// A runner that was stopped for longer than its lease serves nothing until the
// control plane has confirmed its epoch, whatever waits for it when it wakes up.
func TestSuspendedRunnerProvesItsLeaseFirst(t *testing.T) {
	p, _ := overLoopback(t, false, "")
	command := exec.Command(os.Args[0], "-test.run=^$") //nolint:gosec,noctx // the test itself
	command.Env = append(os.Environ(), subprocessEnv+"="+p.url+" "+t.TempDir())
	command.Stderr = os.Stderr
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	l := p.accept(t)
	const short = time.Second
	l.welcome(t, func(w *linkv1.Welcome) { w.Lease, w.RenewEvery = durationpb.New(short), durationpb.New(short/2) })
	l.configure(t, &linkv1.Configuration{Revision: 1})
	// All renewals before the stop are answered; from then on they are the test's.
	l.manual.Store(true)

	if err := command.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(command.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
		t.Fatalf("the runner was not stopped: %v, %v", status, err)
	}
	stopped := time.Now()
	l.open(t, 1, p.token(t, nil), logs(0, true), 1<<20)
	l.send(t, &linkv1.PlaneFrame{Frame: &linkv1.PlaneFrame_Configuration{Configuration: &linkv1.Configuration{Revision: 2}}})
	<-time.After(2 * short) // the real time of another process cannot be faked
	if err := command.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}

	var sequence uint64
	revision := int64(2)
	// The runner is awake, has read everything, and would have had plenty of time.
	for sequence == 0 || revision < 20 {
		f := l.next(t)
		switch {
		case f == nil:
			t.Fatal("the link broke")
		case f.GetStreamData() != nil:
			t.Fatalf("%s after the stop, before anything was confirmed, the runner served %q", time.Since(stopped), f.GetStreamData().GetData())
		case f.GetConfigurationAck() != nil:
			revision++
			l.send(t, &linkv1.PlaneFrame{Frame: &linkv1.PlaneFrame_Configuration{Configuration: &linkv1.Configuration{Revision: revision}}})
		case f.GetRenewal() != nil:
			sequence = f.GetRenewal().GetSequence()
		}
	}
	l.send(t, renewed(sequence))
	for {
		f := l.next(t)
		if f == nil {
			t.Fatal("the link broke")
		}
		if f.GetStreamData() != nil {
			return
		}
	}
}
