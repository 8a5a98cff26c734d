package out_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/internal/cli/out"
)

// tricky has what YAML could take for something else.
var tricky = &gitpodv1.Runner{
	RunnerId: "0123",
	Name:     "yes: no # \"quoted\"\nsecond line",
	Spec:     &gitpodv1.RunnerSpec{},
	Status: &gitpodv1.RunnerStatus{
		Version: "1.10", Message: "null", PublicKey: []byte{0xff},
		Capabilities: []gitpodv1.RunnerCapability{1, 2},
	},
}

func TestMessage(t *testing.T) {
	for format, want := range map[out.Format]string{
		out.FormatJSON: `{
  "runnerId": "0123",
  "name": "yes: no # \"quoted\"\nsecond line",
  "spec": {},
  "status": {
    "version": "1.10",
    "message": "null",
    "capabilities": [
      "RUNNER_CAPABILITY_FETCH_LOCAL_SCM_INTEGRATIONS",
      "RUNNER_CAPABILITY_SECRET_CONTAINER_REGISTRY"
    ],
    "publicKey": "/w=="
  }
}
`,
		out.FormatYAML: `runnerId: "0123"
name: |-
  yes: no # "quoted"
  second line
spec: {}
status:
  version: "1.10"
  message: "null"
  capabilities:
    - RUNNER_CAPABILITY_FETCH_LOCAL_SCM_INTEGRATIONS
    - RUNNER_CAPABILITY_SECRET_CONTAINER_REGISTRY
  publicKey: /w==
`,
	} {
		var b strings.Builder
		if err := out.Message(&b, format, tricky); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, b.String()); diff != "" {
			t.Errorf("%s: %s", format, diff)
		}
	}
}

func TestStream(t *testing.T) {
	runner := func(name string) out.Part {
		return out.Part{Name: "runner", Message: &gitpodv1.Runner{Name: name}}
	}
	event := out.Part{Name: "event", Message: &gitpodv1.WatchEventsResponse{ResourceId: "1"}}
	for format, want := range map[out.Format]string{
		out.FormatJSON: `{"event":{"resourceId":"1"},"runner":{"name":"a  b"}}` + "\n" + `{"runner":{"name":"c"}}` + "\n",
		out.FormatYAML: "---\nevent:\n  resourceId: \"1\"\nrunner:\n  name: a  b\n---\nrunner:\n  name: c\n",
	} {
		var b strings.Builder
		if err := out.Stream(&b, format, event, runner("a  b")); err != nil {
			t.Fatal(err)
		}
		if err := out.Stream(&b, format, runner("c")); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, b.String()); diff != "" {
			t.Errorf("%s: %s", format, diff)
		}
	}
}

func TestMessagesOfNone(t *testing.T) {
	for _, format := range []out.Format{out.FormatJSON, out.FormatYAML} {
		var b strings.Builder
		if err := out.Messages[proto.Message](&b, format, nil); err != nil || b.String() != "[]\n" {
			t.Errorf("%s: %q, %v", format, b.String(), err)
		}
	}
}

func TestTableKeepsItsColumns(t *testing.T) {
	var b strings.Builder
	table := out.NewTable("NAME", "STATE")
	table.Row("wörter", "ok")
	if err := table.Write(&b); err != nil {
		t.Fatal(err)
	}
	table.Row("b", "")
	table.Row("a\tb\nc")
	if err := table.Write(&b); err != nil {
		t.Fatal(err)
	}
	want := "NAME    STATE\nwörter  ok\nb       -\na b c   -\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}

func TestFields(t *testing.T) {
	var b strings.Builder
	if err := out.Fields(&b, "Name", "x", "A long name", "", "ID", "1\x1b[31m"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("Name:  x\nID:    1\uFFFD[31m\n", b.String()); diff != "" {
		t.Error(diff)
	}
}

func TestAge(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for ago, want := range map[time.Duration]string{
		-time.Minute: "0s", 0: "0s", 59 * time.Second: "59s", time.Minute: "1m", 90 * time.Minute: "1h",
		47 * time.Hour: "47h", 48 * time.Hour: "2d", 400 * 24 * time.Hour: "400d",
	} {
		if got := out.Age(now, timestamppb.New(now.Add(-ago))); got != want {
			t.Errorf("%s ago is %q, want %q", ago, got, want)
		}
	}
	if got := out.Age(now, nil); got != "" {
		t.Errorf("no time is %q", got)
	}
	if got := out.Time(now, timestamppb.New(now.Add(2*time.Hour))); got != "2026-11-21 14:00:00 UTC (in 2h)" {
		t.Errorf("a time to come is %q", got)
	}
}
