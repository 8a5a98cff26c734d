package compat

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"testing"

	"github.com/gitpod-io/gitpod-sdk-go"
	"github.com/gitpod-io/gitpod-sdk-go/option"
)

// goSDK makes a client of the Go SDK, with the base URL that its documentation
// has, and shows what it sends.
func (s *server) goSDK(t *testing.T, token string, opts ...option.RequestOption) (*gitpod.Client, *traffic) {
	t.Helper()
	wire := newTraffic(t)
	opts = append([]option.RequestOption{
		option.WithBaseURL(s.url + "/api"), option.WithBearerToken(token), option.WithHTTPClient(&http.Client{Transport: wire}),
	}, opts...)
	return gitpod.NewClient(opts...), wire
}

// linuxHost is the smallest useful registration.
func linuxHost(name string) gitpod.RunnerNewParams {
	return gitpod.RunnerNewParams{Name: gitpod.F(name), Provider: gitpod.F(gitpod.RunnerProviderLinuxHost)}
}

// newRunner registers a runner.
func newRunner(ctx context.Context, t *testing.T, client *gitpod.Client, params gitpod.RunnerNewParams) *gitpod.RunnerNewResponse {
	t.Helper()
	created, err := client.Runners.New(ctx, params)
	if err != nil {
		t.Fatalf("CreateRunner: %v", err)
	}
	return created
}

// getRunner reads a runner.
func getRunner(ctx context.Context, t *testing.T, client *gitpod.Client, id string) gitpod.Runner {
	t.Helper()
	got, err := client.Runners.Get(ctx, gitpod.RunnerGetParams{RunnerID: gitpod.F(id)})
	if err != nil {
		t.Fatalf("GetRunner: %v", err)
	}
	return got.Runner
}

// sameJSON compares two JSON texts by their meaning.
func sameJSON(t *testing.T, what, got, want string) {
	t.Helper()
	var g, w any
	if err := json.Unmarshal([]byte(got), &g); err != nil {
		t.Fatalf("%s: %v in %s", what, err, got)
	}
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		t.Fatalf("%s: %v in %s", what, err, want)
	}
	if !reflect.DeepEqual(g, w) {
		t.Errorf("%s:\n got %s\nwant %s", what, got, want)
	}
}
