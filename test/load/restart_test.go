package load

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"testing"
	"time"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/test/muster"
)

const (
	// behindOneAddress is how many runners share an address.
	behindOneAddress = 2_000
	// back is how soon all of them must have their links again after a restart.
	back = 60 * time.Second
)

// TestRunnersOfOneAddressComeBack restarts a control plane of 2,000 runners that
// all sit behind one address: what bounds an address must not keep them out. Each
// of them is alone on its connection, as runners are.
func TestRunnersOfOneAddressComeBack(t *testing.T) {
	server := muster.Serve(t, muster.ServerOptions{Env: []string{"MUSTER_TRUSTED_PROXY=127.0.0.1"}})
	api := server.Admin()
	tokens := makeRunners(t, api, behindOneAddress)
	path, err := muster.Build(t.TempDir(), "github.com/musterhq/muster/test/load/simrunners")
	if err != nil {
		t.Fatal(err)
	}
	startSim(t, path, server.URL, tokens, "-address", "203.0.113.7", "-links-per-connection", "1")
	for _, stop := range []func(){func() { server.Stop(t) }, func() { server.Kill() }} {
		stop()
		server.Restart(t)
		begun := time.Now()
		muster.Until(t, back, func() error {
			if n := metric(t, server.URL, "muster_links"); n < behindOneAddress {
				return fmt.Errorf("%d of %d runners are back", n, behindOneAddress)
			}
			return nil
		})
		t.Logf("all of them were back after %s", time.Since(begun).Round(100*time.Millisecond))
	}
	for _, r := range api.AllRunners(t) {
		if phase := r.GetStatus().GetPhase(); phase != gitpodv1.RunnerPhase_RUNNER_PHASE_ACTIVE {
			t.Fatalf("runner %s is %v", r.GetName(), phase)
		}
	}
}

// metric is a number of the control plane's.
func metric(t *testing.T, url, name string) int {
	t.Helper()
	res, err := http.Get(url + "/metrics") //nolint:noctx,gosec // a test
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^` + name + ` (\d+)$`).FindSubmatch(text)
	if found == nil {
		t.Fatalf("there is no %s in the metrics: %s", name, text)
	}
	n, _ := strconv.Atoi(string(found[1]))
	return n
}
