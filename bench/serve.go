package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"connectrpc.com/connect"

	"github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/gen/gitpod/v1/gitpodv1connect"
	"github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/gen/muster/link/v1/linkv1connect"
	"github.com/musterhq/muster/internal/app"
	"google.golang.org/protobuf/proto"
)

const (
	roleMuster = "muster" // the control plane
	roleBare   = "bare"   // the same procedures, with nothing behind them
	adminToken = "the-token-of-the-bench-administrator"
	dirEnv     = "MUSTER_BENCH_DIR"
	runnerEnv  = "MUSTER_BENCH_RUNNER" // what the bare GetRunner returns
)

// serve is a server process. It says its URL on standard output and ends with
// its standard input.
func serve(ctx context.Context, role string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	switch role {
	case roleMuster:
		return app.Run(ctx, app.Config{
			DataDir: os.Getenv(dirEnv), Listen: "127.0.0.1:0", BootstrapToken: adminToken,
			Started: func(s app.Started) { fmt.Println(s.URL) },
		})
	case roleBare:
		return serveBare(ctx)
	}
	return fmt.Errorf("there is no role %q", role)
}

func serveBare(ctx context.Context) error {
	raw, err := os.ReadFile(os.Getenv(runnerEnv))
	if err != nil {
		return err
	}
	b := &bare{}
	if err := proto.Unmarshal(raw, &b.reply); err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle(gitpodv1connect.NewRunnerServiceHandler(b, connect.WithCompressMinBytes(4<<10)))
	mux.Handle(linkv1connect.NewLinkServiceHandler(b, connect.WithCompressMinBytes(4<<10)))
	server := &http.Server{Handler: mux, Protocols: new(http.Protocols), ReadHeaderTimeout: 10 * time.Second, HTTP2: &http.HTTP2Config{MaxConcurrentStreams: 2048}}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	fmt.Println("http://" + l.Addr().String())
	if err := server.Serve(l); ctx.Err() == nil {
		return err
	}
	return nil
}

// bare answers with what it was given.
type bare struct {
	gitpodv1connect.UnimplementedRunnerServiceHandler
	reply gitpodv1.GetRunnerResponse
}

func (b *bare) GetRunner(context.Context, *connect.Request[gitpodv1.GetRunnerRequest]) (*connect.Response[gitpodv1.GetRunnerResponse], error) {
	return connect.NewResponse(&b.reply), nil
}

func (b *bare) Connect(_ context.Context, s *connect.BidiStream[linkv1.RunnerFrame, linkv1.PlaneFrame]) error {
	for {
		f, err := s.Receive()
		if err != nil {
			return nil //nolint:nilerr // the client is done
		}
		answer := &linkv1.PlaneFrame{Frame: &linkv1.PlaneFrame_Welcome{Welcome: &linkv1.Welcome{}}}
		if r := f.GetRenewal(); r != nil {
			answer.Frame = &linkv1.PlaneFrame_Renewed{Renewed: &linkv1.Renewed{Sequence: r.GetSequence()}}
		}
		if err := s.Send(answer); err != nil {
			return err
		}
	}
}

// start runs this program as a server and returns its URL.
func start(ctx context.Context, role string, env ...string) (url string, stop func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return "", nil, err
	}
	cmd := exec.CommandContext(ctx, self, "-role", role) //nolint:gosec // itself
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		return "", nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return "", nil, fmt.Errorf("the %s server did not start: %w", role, err)
	}
	return strings.TrimSpace(line), func() {
		_ = in.Close()
		_ = cmd.Wait()
	}, nil
}
