package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	adminv1 "github.com/musterhq/muster/gen/muster/admin/v1"
)

const (
	created  = gitpodv1.RunnerPhase_RUNNER_PHASE_CREATED
	inactive = gitpodv1.RunnerPhase_RUNNER_PHASE_INACTIVE
	active   = gitpodv1.RunnerPhase_RUNNER_PHASE_ACTIVE
	degraded = gitpodv1.RunnerPhase_RUNNER_PHASE_DEGRADED
)

func TestListRunners(t *testing.T) {
	p := newPlane(t)
	if got, want := muster(t, "runner", "list").want(t, 0).stdout, "No runners. Make one: muster runner create NAME\n"; got != want {
		t.Errorf("the empty list says %q", got)
	}
	if got := muster(t, "runner", "list", "-o", "json").want(t, 0).stdout; got != "[]\n" {
		t.Errorf("the empty list as JSON is %q", got)
	}
	p.add("lab", active)
	p.add("über-runner", degraded).Status.Message = ""
	p.set(runnerID(2), degraded, "no disk\x1b[2J left")

	want := `NAME         ID                                    PHASE     PROVIDER    REGION  VERSION  AGE  MESSAGE
lab          01980000-0000-7000-8000-100000000001  ACTIVE    LINUX_HOST  home    -        3m   -
über-runner  01980000-0000-7000-8000-100000000002  DEGRADED  LINUX_HOST  home    -        3m   no disk` + "\uFFFD" + `[2J left
`
	if diff := cmp.Diff(want, muster(t, "runner", "list").want(t, 0).stdout); diff != "" {
		t.Error(diff)
	}
	if got := muster(t, "runner", "list", "--provider", "gcp").want(t, 0).stdout; !strings.Contains(got, "No runner is on this platform") {
		t.Errorf("a filter that selects nothing says %q", got)
	}
}

func TestListAllPages(t *testing.T) {
	p := newPlane(t)
	for range 250 {
		p.add("one-of-many", created)
	}
	out := muster(t, "runner", "list").want(t, 0).stdout
	if n := strings.Count(out, "one-of-many"); n != 250 {
		t.Errorf("%d runners are listed, want 250", n)
	}
}

func TestMachineOutput(t *testing.T) {
	p := newPlane(t)
	p.add("lab", created)
	wantJSON := `{
  "runnerId": "01980000-0000-7000-8000-100000000001",
  "createdAt": "2026-11-21T11:57:00Z",
  "name": "lab",
  "spec": {
    "configuration": {
      "region": "home"
    }
  },
  "status": {
    "phase": "RUNNER_PHASE_CREATED"
  },
  "kind": "RUNNER_KIND_LOCAL",
  "provider": "RUNNER_PROVIDER_LINUX_HOST"
}
`
	if diff := cmp.Diff(wantJSON, muster(t, "runner", "get", "lab", "--output", "json").want(t, 0).stdout); diff != "" {
		t.Error(diff)
	}
	wantYAML := `- runnerId: 01980000-0000-7000-8000-100000000001
  createdAt: "2026-11-21T11:57:00Z"
  name: lab
  spec:
    configuration:
      region: home
  status:
    phase: RUNNER_PHASE_CREATED
  kind: RUNNER_KIND_LOCAL
  provider: RUNNER_PROVIDER_LINUX_HOST
`
	if diff := cmp.Diff(wantYAML, muster(t, "runner", "list", "--output", "yaml").want(t, 0).stdout); diff != "" {
		t.Error(diff)
	}
}

func TestNameOrID(t *testing.T) {
	p := newPlane(t)
	p.add("lab", active)
	p.add("twin", active)
	p.add("twin", inactive)

	for _, arg := range []string{"lab", runnerID(1)} {
		if got := muster(t, "runner", "get", arg).want(t, 0).stdout; !strings.Contains(got, "Name:           lab\n") {
			t.Errorf("get %s printed\n%s", arg, got)
		}
	}
	want := `muster: 2 runners are called "twin"; say which by its id:
  01980000-0000-7000-8000-100000000002  ACTIVE
  01980000-0000-7000-8000-100000000003  INACTIVE
`
	if diff := cmp.Diff(want, muster(t, "runner", "get", "twin").want(t, 1).stderr); diff != "" {
		t.Error(diff)
	}
	if got, want := muster(t, "runner", "get", "nobody").want(t, 1).stderr, "muster: there is no runner \"nobody\" that you can see\n"; got != want {
		t.Errorf("an unknown name gave %q", got)
	}
	want = `muster: There is no runner "01980000-0000-7000-8000-100000000009" that you can see.
        (reason not-found, request req-1)
`
	if diff := cmp.Diff(want, muster(t, "runner", "get", runnerID(9)).want(t, 1).stderr); diff != "" {
		t.Error(diff)
	}
}

func TestCreateRunner(t *testing.T) {
	p := newPlane(t)
	out := muster(t, "runner", "create", "Build Farm's", "--provider", "aws-ec2", "--region", "eu-central-1",
		"--release-channel", "latest", "--auto-update", "--update-window", "22-2", "--log-level", "debug").want(t, 0).stdout
	for _, want := range []string{
		"ID:              " + runnerID(1) + "\n",
		"Exchange token:  muster_exchange_1\n",
		"\n  muster join --server " + p.URL + " --exchange-token muster_exchange_1 --data-dir ./muster-build-farm-s\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	want := &gitpodv1.CreateRunnerRequest{
		Name:     "Build Farm's",
		Provider: gitpodv1.RunnerProvider_RUNNER_PROVIDER_AWS_EC2,
		Spec: &gitpodv1.RunnerSpec{Configuration: &gitpodv1.RunnerConfiguration{
			Region: "eu-central-1", ReleaseChannel: gitpodv1.RunnerReleaseChannel_RUNNER_RELEASE_CHANNEL_LATEST, AutoUpdate: true,
			UpdateWindow: &gitpodv1.UpdateWindow{StartHour: proto.Uint32(22), EndHour: proto.Uint32(2)},
			LogLevel:     gitpodv1.LogLevel_LOG_LEVEL_DEBUG,
		}},
	}
	if diff := cmp.Diff([]proto.Message{want}, p.requests, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	if got := muster(t, "runner", "create", "lab", "-o", "json").want(t, 0).stdout; !strings.Contains(got, `"exchangeToken": "muster_exchange_1"`) {
		t.Errorf("JSON has no exchange token:\n%s", got)
	}
	if got := muster(t, "runner", "token", "lab").want(t, 0).stdout; !strings.Contains(got, "--exchange-token muster_exchange_2 ") {
		t.Errorf("token printed\n%s", got)
	}
}

func TestUpdateRunner(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "key")
	if err := os.WriteFile(file, []byte("honey\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	configuration := func(c *gitpodv1.UpdateRunnerRequest_RunnerConfiguration) *gitpodv1.UpdateRunnerRequest {
		return &gitpodv1.UpdateRunnerRequest{RunnerId: runnerID(1), Spec: &gitpodv1.UpdateRunnerRequest_Spec{Configuration: c}}
	}
	metrics := func(m *gitpodv1.UpdateRunnerRequest_MetricsConfiguration) *gitpodv1.UpdateRunnerRequest {
		return configuration(&gitpodv1.UpdateRunnerRequest_RunnerConfiguration{Metrics: m})
	}
	t.Setenv("METRICS_SECRET", "from-env")
	for _, c := range []struct {
		args  []string
		stdin string
		want  *gitpodv1.UpdateRunnerRequest
	}{
		{
			args: []string{"--name", "labor"},
			want: &gitpodv1.UpdateRunnerRequest{RunnerId: runnerID(1), Name: proto.String("labor")},
		},
		{
			args: []string{"--no-auto-update", "--image-cache", "--no-continuous-profiling", "--log-level=warn", "--release-channel=stable"},
			want: configuration(&gitpodv1.UpdateRunnerRequest_RunnerConfiguration{
				AutoUpdate: proto.Bool(false), DevcontainerImageCacheEnabled: proto.Bool(true), ContinuousProfiling: proto.Bool(false),
				LogLevel:       gitpodv1.LogLevel_LOG_LEVEL_WARN.Enum(),
				ReleaseChannel: gitpodv1.RunnerReleaseChannel_RUNNER_RELEASE_CHANNEL_STABLE.Enum(),
			}),
		},
		{
			args: []string{"--update-window", "none"},
			want: configuration(&gitpodv1.UpdateRunnerRequest_RunnerConfiguration{UpdateWindow: &gitpodv1.UpdateWindow{}}),
		},
		{
			args: []string{"--update-window", "3"},
			want: configuration(&gitpodv1.UpdateRunnerRequest_RunnerConfiguration{UpdateWindow: &gitpodv1.UpdateWindow{StartHour: proto.Uint32(3)}}),
		},
		{
			args:  []string{"--metrics-url", "https://m.example", "--metrics-username", "u", "--metrics-password-file", "-", "--metrics-verbose"},
			stdin: "s3cret\r\n",
			want: metrics(&gitpodv1.UpdateRunnerRequest_MetricsConfiguration{
				Enabled: proto.Bool(true), Url: proto.String("https://m.example"), Username: proto.String("u"),
				Password: proto.String("s3cret"), IncludeVerboseMetrics: proto.Bool(true),
			}),
		},
		{
			args: []string{"--metrics-password-env", "METRICS_SECRET", "--no-metrics-managed"},
			want: metrics(&gitpodv1.UpdateRunnerRequest_MetricsConfiguration{
				Password: proto.String("from-env"), ManagedMetricsEnabled: proto.Bool(false),
			}),
		},
		{
			args: []string{"--no-metrics", "--metrics-password-clear"},
			want: metrics(&gitpodv1.UpdateRunnerRequest_MetricsConfiguration{Enabled: proto.Bool(false), Password: proto.String("")}),
		},
		{
			args: []string{"--honeycomb-key-file", file},
			want: configuration(&gitpodv1.UpdateRunnerRequest_RunnerConfiguration{HoneycombApiKey: proto.String("honey")}),
		},
		{
			args: []string{"--honeycomb-key-clear"},
			want: configuration(&gitpodv1.UpdateRunnerRequest_RunnerConfiguration{HoneycombApiKey: proto.String("")}),
		},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			p := newPlane(t)
			p.add("lab", active)
			command{stdin: c.stdin}.run(t, append([]string{"runner", "update", "lab"}, c.args...)...).want(t, 0)
			if diff := cmp.Diff([]proto.Message{c.want}, p.requests, protocmp.Transform()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestUpdateRunnerRefuses(t *testing.T) {
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"", 2, "nothing to change"},
		{"--update-window noon", 2, `"noon" is not an hour`},
		{"--update-window 22-", 2, `"" is not an hour`},
		{"--no-metrics --metrics-url https://m.example", 2, "contradict"},
		{"--metrics-password-file - --honeycomb-key-file -", 2, "only one secret"},
		{"--metrics-password-file - --metrics-password-clear", 2, "only one of"},
		{"--metrics-password-file -", 1, "the standard input holds nothing"},
		{"--metrics-password-env NOT_SET", 1, "the environment variable NOT_SET holds nothing"},
		{"--metrics-password-file /no/such/file", 1, "reading --metrics-password-file"},
		{"--log-level loud", 2, "--log-level"},
		{"--metrics-password secret", 2, "unknown flag --metrics-password"},
	} {
		t.Run(c.args, func(t *testing.T) {
			p := newPlane(t)
			p.add("lab", active)
			r := muster(t, append([]string{"runner", "update", "lab"}, strings.Fields(c.args)...)...).want(t, c.code)
			if !strings.Contains(r.stderr, c.want) {
				t.Errorf("the error is %q, want %q in it", r.stderr, c.want)
			}
			if len(p.requests) > 0 {
				t.Errorf("it asked for %v", p.requests)
			}
		})
	}
}

func TestDeleteRunner(t *testing.T) {
	p := newPlane(t)
	p.add("idle", inactive)
	p.add("busy", active)
	if got := muster(t, "runner", "delete", "idle", "--yes").want(t, 0).stdout; got != "Runner \"idle\" is deleted.\n" {
		t.Errorf("deleting an inactive runner said %q", got)
	}
	if got := muster(t, "runner", "delete", "busy", "--force", "--yes").want(t, 0).stdout; !strings.Contains(got, "muster runner wait "+runnerID(2)+" --for deleted") {
		t.Errorf("deleting an active runner said %q", got)
	}
	want := []proto.Message{
		&gitpodv1.DeleteRunnerRequest{RunnerId: runnerID(1)},
		&gitpodv1.DeleteRunnerRequest{RunnerId: runnerID(2), Force: true},
	}
	if diff := cmp.Diff(want, p.requests, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
}

func TestKeys(t *testing.T) {
	p := newPlane(t)
	p.add("lab", degraded)
	if got := muster(t, "runner", "keys", "lab").want(t, 0).stdout; got != "Runner \"lab\" has no key yet: it makes one when it joins.\n" {
		t.Errorf("without keys it says %q", got)
	}
	p.keys = &adminv1.GetRunnerKeysResponse{
		Current: &adminv1.RunnerKey{PublicKey: []byte{1, 2, 3}, Fingerprint: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
		Pending: &adminv1.RunnerKey{PublicKey: []byte{4, 5, 6}, Fingerprint: "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"},
	}
	want := `STATE                 FINGERPRINT                       PUBLIC KEY
in use                aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa  AQID
waiting for approval  bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb  BAUG

Approve the waiting key: muster runner keys ` + runnerID(1) + ` --approve bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
`
	if diff := cmp.Diff(want, muster(t, "runner", "keys", "lab").want(t, 0).stdout); diff != "" {
		t.Error(diff)
	}
	r := muster(t, "runner", "keys", "lab", "--approve", "cccccccccccccccccccccccccccccccc").want(t, 1)
	if !strings.Contains(r.stderr, "runner-key-mismatch") {
		t.Errorf("the wrong fingerprint gave %q", r.stderr)
	}
	want = "STATE   FINGERPRINT                       PUBLIC KEY\nin use  bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb  BAUG\n"
	if diff := cmp.Diff(want, muster(t, "runner", "keys", "lab", "--approve", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb").want(t, 0).stdout); diff != "" {
		t.Error(diff)
	}
}
