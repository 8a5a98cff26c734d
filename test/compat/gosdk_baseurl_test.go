package compat

import (
	"testing"

	"github.com/gitpod-io/gitpod-sdk-go"
	"github.com/gitpod-io/gitpod-sdk-go/option"
)

// TestGoSDKBaseURL: people write base URLs in all ways, and the SDK takes them
// as they are.
func TestGoSDKBaseURL(t *testing.T) {
	s := serve(t)
	for _, base := range []string{s.url, s.url + "/", s.url + "/api", s.url + "/api/"} {
		client, wire := s.goSDK(t, bootstrapToken, option.WithBaseURL(base))
		ctx := deadline(t)
		id := newRunner(ctx, t, client, linuxHost("by "+base)).Runner.RunnerID
		getRunner(ctx, t, client, id)
		stream := client.Events.WatchStreaming(ctx, gitpod.EventWatchParams{})
		if err := stream.Err(); err != nil {
			t.Errorf("%s: watching: %v", base, err)
		}
		_ = stream.Close()
		for _, x := range wire.take() {
			if x.status != 200 {
				t.Errorf("%s: %s answered %d", base, x.path, x.status)
			}
		}
	}

	t.Setenv("GITPOD_BASE_URL", s.url+"/api")
	t.Setenv("GITPOD_API_KEY", bootstrapToken)
	if _, err := gitpod.NewClient().Runners.List(deadline(t), gitpod.RunnerListParams{}); err != nil {
		t.Errorf("configured by the environment: %v", err)
	}
}
