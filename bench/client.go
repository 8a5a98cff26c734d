package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"

	"connectrpc.com/connect"
)

// clients is how many callers there are at once.
const clients = 16

// newHTTP makes a client with connections of its own, for HTTP/1.1 or for
// HTTP/2 without TLS.
func newHTTP(h2 bool) *http.Client {
	t := &http.Transport{MaxIdleConnsPerHost: 2 * clients, DialContext: (&net.Dialer{}).DialContext, Protocols: new(http.Protocols)}
	if h2 {
		t.Protocols.SetUnencryptedHTTP2(true)
	} else {
		t.Protocols.SetHTTP1(true)
	}
	return &http.Client{Transport: t}
}

// withToken adds the administrator's token, on both sides of a ratio.
func withToken(ctx context.Context) context.Context { return as(ctx, adminToken) }

// as adds somebody's token.
func as(ctx context.Context, token string) context.Context {
	ctx, call := connect.NewClientContext(ctx)
	call.RequestHeader().Set("Authorization", "Bearer "+token)
	return ctx
}

// together runs work on many goroutines until ctx ends, and counts how often it
// was done. What has begun is finished.
func together(ctx context.Context, n int, work func(ctx context.Context, i int) error) (int64, error) {
	var done atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		wg.Go(func() {
			for ctx.Err() == nil {
				if errs[i] = work(context.WithoutCancel(ctx), i); errs[i] != nil {
					return
				}
				done.Add(1)
			}
		})
	}
	wg.Wait()
	return done.Load(), errors.Join(errs...)
}
