package agent_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	linkv1 "github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/internal/agent"
	"github.com/musterhq/muster/internal/seal"
)

// everything asks for all that there is.
func everything() *gitpodv1.RunnerConfiguration {
	start := uint32(3)
	return &gitpodv1.RunnerConfiguration{
		Region: "eu", ReleaseChannel: gitpodv1.RunnerReleaseChannel_RUNNER_RELEASE_CHANNEL_LATEST, AutoUpdate: true,
		Metrics:  &gitpodv1.MetricsConfiguration{Enabled: true, Url: "https://user:planted-metrics-url@metrics.example/push?key=planted-metrics-key", Username: "u"},
		LogLevel: gitpodv1.LogLevel(77), DevcontainerImageCacheEnabled: true,
		UpdateWindow: &gitpodv1.UpdateWindow{StartHour: &start}, ContinuousProfiling: true,
	}
}

func TestUnsupportedSettingsAreNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inMemory(t)
		p.join(t, func(c *agent.Config) { c.Region = "us" })
		l := p.accept(t)
		public := l.hello.GetPublicKey()
		l.welcome(t, func(w *linkv1.Welcome) {
			w.Configuration = &linkv1.Configuration{Revision: 4, Spec: everything(), SealedHoneycombApiKey: sealed(t, public, "honeycomb_api_key", "planted-honeycomb")}
		})
		ack := l.ack(t)
		want := []string{"logLevel", "releaseChannel", "autoUpdate", "metrics", "devcontainerImageCacheEnabled", "encryptedHoneycombApiKey", "continuousProfiling", "region"}
		if ack.GetRevision() != 4 || ack.GetError() != "" || !slices.Equal(ack.GetUnsupported(), want) {
			t.Errorf("got %v", ack)
		}
		fields := new(gitpodv1.RunnerConfiguration).ProtoReflect().Descriptor().Fields()
		for _, name := range ack.GetUnsupported() {
			if fields.ByJSONName(name) == nil {
				t.Errorf("%s is no JSON name of a setting", name)
			}
		}
		// Each setting is either named there or listed here, with the reason why
		// this runner honours it.
		for honoured, why := range map[protoreflect.Name]string{
			"update_window": "there are no updates outside of it",
		} {
			if fields.ByName(honoured) == nil || slices.Contains(want, fields.ByName(honoured).JSONName()) {
				t.Errorf("%s: %s", honoured, why)
			}
		}
		if fields.Len() != len(want)+1 {
			t.Errorf("there are %d settings; decide what this runner does with the new ones", fields.Len())
		}

		if ack := l.configure(t, &linkv1.Configuration{Revision: 5, Spec: &gitpodv1.RunnerConfiguration{
			Region: "us", ReleaseChannel: gitpodv1.RunnerReleaseChannel_RUNNER_RELEASE_CHANNEL_STABLE, Metrics: &gitpodv1.MetricsConfiguration{Url: "https://metrics.example"},
		}}); len(ack.GetUnsupported()) != 0 {
			t.Errorf("got %v", ack)
		}
		// A configuration that was overtaken is not applied.
		l.send(t, &linkv1.PlaneFrame{Frame: &linkv1.PlaneFrame_Configuration{Configuration: &linkv1.Configuration{Revision: 4, Spec: everything()}}})
		if ack := l.configure(t, &linkv1.Configuration{Revision: 6}); ack.GetRevision() != 6 {
			t.Errorf("got %v", ack)
		}
		l.end(t, nil)
		if l := p.accept(t); l.hello.GetAppliedRevision() != 6 {
			t.Errorf("the next hello says %d", l.hello.GetAppliedRevision())
		}
	})
}

func sealed(t *testing.T, public []byte, what, plaintext string) []byte {
	t.Helper()
	s, err := seal.To(public, "runner/"+runnerID+"/"+what, []byte(plaintext))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSealedSecrets(t *testing.T) {
	other, _, err := seal.NewKeyPair()
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		p := inMemory(t)
		p.join(t, nil)
		l := p.welcomed(t)
		public := l.hello.GetPublicKey()
		good := sealed(t, public, "metrics.password", "planted")

		if ack := l.configure(t, &linkv1.Configuration{Revision: 1, SealedMetricsPassword: good}); ack.GetError() != "" {
			t.Errorf("got %v", ack)
		}
		for revision, c := range []*linkv1.Configuration{
			2: {SealedMetricsPassword: sealed(t, other[:], "metrics.password", "planted")},
			3: {SealedMetricsPassword: sealed(t, public, "honeycomb_api_key", "planted")},
			4: {SealedMetricsPassword: []byte("nonsense")},
			5: {SealedMetricsPassword: good, SealedHoneycombApiKey: good},
		} {
			if c == nil {
				continue
			}
			c.Revision = int64(revision)
			ack := l.configure(t, c)
			if ack.GetRevision() != int64(revision) || !strings.Contains(ack.GetError(), "set it again") {
				t.Errorf("got %v", ack)
			}
			if revision == 3 || revision == 4 {
				continue // nothing new to report
			}
			if r := expect(t, l, (*linkv1.RunnerFrame).GetReport); r.GetPhase() != gitpodv1.RunnerPhase_RUNNER_PHASE_DEGRADED || r.GetMessage() != ack.GetError() {
				t.Errorf("got %v", r)
			}
		}
		l.end(t, nil)
		l = p.accept(t)
		if l.hello.GetAppliedRevision() != 1 || l.hello.GetReport().GetPhase() != gitpodv1.RunnerPhase_RUNNER_PHASE_DEGRADED {
			t.Errorf("the next hello is %v", l.hello)
		}
		l.welcome(t, nil)
		if ack := l.configure(t, &linkv1.Configuration{Revision: 6}); ack.GetError() != "" {
			t.Errorf("got %v", ack)
		}
		if r := expect(t, l, (*linkv1.RunnerFrame).GetReport); r.GetPhase() != gitpodv1.RunnerPhase_RUNNER_PHASE_ACTIVE || r.GetMessage() != "" {
			t.Errorf("got %v", r)
		}
	})
}

func TestRegion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inMemory(t)
		p.join(t, nil)
		l := p.welcomed(t)
		l.configure(t, &linkv1.Configuration{Revision: 1, Spec: &gitpodv1.RunnerConfiguration{Region: "eu-central-1"}})
		if r := expect(t, l, (*linkv1.RunnerFrame).GetReport); r.GetRegion() != "eu-central-1" {
			t.Errorf("got %v", r)
		}

		p.join(t, func(c *agent.Config) { c.Region = "us"; p.exchanges.Store(0) })
		if r := p.accept(t).hello.GetReport(); r.GetRegion() != "us" {
			t.Errorf("got %v", r)
		}
	})
}

func TestReportsComeOnlyOnChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inMemory(t)
		p.join(t, nil)
		l := p.welcomed(t)
		for i := range int64(3) {
			l.configure(t, &linkv1.Configuration{Revision: i + 1})
		}
		<-time.After(time.Hour)
		l.silent(t)
	})
}
