package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"connectrpc.com/connect"

	"github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/gen/gitpod/v1/gitpodv1connect"
	"github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/gen/muster/link/v1/linkv1connect"
	"github.com/musterhq/muster/internal/id"
)

const (
	links       = 1000
	connections = 10
)

type clientStream = connect.BidiStreamForClient[linkv1.RunnerFrame, linkv1.PlaneFrame]

// renewContests measure renewals over many links against a bare stream that
// answers with the same frames.
func renewContests(ctx context.Context, dir string) ([]contest, func(), error) {
	ours, stopOurs, err := start(ctx, roleMuster, dirEnv+"="+filepath.Join(dir, "renew"))
	if err != nil {
		return nil, nil, err
	}
	file := filepath.Join(dir, "empty")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		stopOurs()
		return nil, nil, err
	}
	bare, stopBare, err := start(ctx, roleBare, runnerEnv+"="+file)
	if err != nil {
		stopOurs()
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	closeAll := func() { cancel(); stopOurs(); stopBare() }
	tokens, err := runnerTokens(ctx, ours)
	if err != nil {
		closeAll()
		return nil, nil, err
	}
	oursSide, err := renewals(ctx, ours, tokens)
	if err != nil {
		closeAll()
		return nil, nil, err
	}
	bareSide, err := renewals(ctx, bare, tokens)
	if err != nil {
		closeAll()
		return nil, nil, err
	}
	return []contest{{fmt.Sprintf("renewals over %d links", links), 0.7, oursSide, bareSide}}, closeAll, nil
}

// runnerTokens makes the runners and redeems their exchange tokens.
func runnerTokens(ctx context.Context, url string) ([]string, error) {
	api := gitpodv1connect.NewRunnerServiceClient(newHTTP(false), url)
	ids := gitpodv1connect.NewIdentityServiceClient(newHTTP(false), url)
	tokens := make([]string, links)
	return tokens, each(links, func(i int) error {
		made, err := api.CreateRunner(withToken(ctx), connect.NewRequest(newRunner()))
		if err != nil {
			return err
		}
		got, err := ids.ExchangeToken(ctx, connect.NewRequest(&gitpodv1.ExchangeTokenRequest{ExchangeToken: made.Msg.GetExchangeToken()}))
		if err != nil {
			return err
		}
		tokens[i] = got.Msg.GetAccessToken()
		return nil
	})
}

// renewals opens the links, several for each connection, and returns what
// renews on all of them, each waiting for its answer.
func renewals(ctx context.Context, url string, tokens []string) (func(context.Context) (int64, error), error) {
	apis := make([]linkv1connect.LinkServiceClient, connections)
	for i := range apis {
		apis[i] = linkv1connect.NewLinkServiceClient(newHTTP(true), url)
	}
	streams := make([]*clientStream, links)
	err := each(links, func(i int) error {
		s := apis[i%connections].Connect(ctx)
		s.RequestHeader().Set("Authorization", "Bearer "+tokens[i])
		streams[i] = s
		hello := &linkv1.Hello{ProtocolVersion: 1, BootId: id.New(), HostName: "bench", PublicKey: make([]byte, 32), Report: &linkv1.Report{Version: "bench"}}
		if err := s.Send(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_Hello{Hello: hello}}); err != nil {
			return err
		}
		f, err := s.Receive()
		if err == nil && f.GetWelcome() == nil {
			err = fmt.Errorf("a %T came in place of Welcome", f.GetFrame())
		}
		return err
	})
	sequences := make([]uint64, links)
	return func(ctx context.Context) (int64, error) {
		return together(ctx, links, func(_ context.Context, i int) error {
			sequences[i]++
			if err := streams[i].Send(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_Renewal{Renewal: &linkv1.Renewal{Sequence: sequences[i]}}}); err != nil {
				return err
			}
			f, err := streams[i].Receive()
			if err == nil && f.GetRenewed().GetSequence() != sequences[i] {
				err = fmt.Errorf("a %T came in place of Renewed", f.GetFrame())
			}
			return err
		})
	}, err
}

// each runs work for 0 to n-1, some at a time, and returns the first error.
func each(n int, work func(i int) error) error {
	var wg sync.WaitGroup
	slots := make(chan struct{}, clients)
	errs := make(chan error, n)
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			errs <- work(i)
			<-slots
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
