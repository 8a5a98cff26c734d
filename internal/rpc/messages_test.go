package rpc_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/gen/gitpod/v1/gitpodv1connect"
)

func manyRunners(context.Context, *gitpodv1.ListRunnersRequest) (*gitpodv1.ListRunnersResponse, error) {
	res := &gitpodv1.ListRunnersResponse{}
	for range 50 {
		res.Runners = append(res.Runners, aRunner())
	}
	return res, nil
}

// What the SDKs send, and what they must not be refused for.
func TestJSONRequests(t *testing.T) {
	w := newWorld(t)
	url := w.start(t)
	for _, tt := range []struct {
		body  string
		field string // of the error; empty for none
	}{
		{`{"name":"runner 0","provider":"RUNNER_PROVIDER_AWS_EC2","spec":{"configuration":{"autoUpdate":true,"region":"us-west","updateWindow":{"startHour":2}},"desiredPhase":"RUNNER_PHASE_ACTIVE"}}`, ""},
		{`{"name":"runner 0","provider":2,"a_field_of_next_year":{"x":[1,2]},"spec":{"newer":null}}`, ""},
		{`{"name":"runner 0","spec":null,"kind":null,"provider":"RUNNER_PROVIDER_AWS_EC2","runnerManagerId":null}`, ""},
		{`{"name":"runner 0","spec":{"desired_phase":"RUNNER_PHASE_ACTIVE","configuration":{"auto_update":true,"log_level":"LOG_LEVEL_INFO"}}}`, ""},
		{`{"name":"runner 0","provider":"RUNNER_PROVIDER_COMMODORE_64"}`, "provider"},
		{`{"name":"runner 0","newer":1,"provider":"aws_ec2"}`, "provider"},
		{`{"name":"runner 0","spec":{"configuration":{"logLevel":"LOUD"}}}`, "spec.configuration.log_level"},
		{`{"name":"runner 0","spec":{"configuration":{"log_level":"LOUD"}}}`, "spec.configuration.log_level"},
		{`{"name":["runner 0"]}`, "name"},
		{`{"name":"runner 0","spec":[]}`, "spec"},
		{`{"name":"runner 0","spec":{"configuration":{"updateWindow":{"startHour":"early"}}}}`, "spec.configuration.update_window.start_hour"},
		{`{"name":"runner 0","spec":{"configuration":{"updateWindow":{"startHour":-1}}}}`, "spec.configuration.update_window.start_hour"},
	} {
		a := post(url+"/gitpod.v1.RunnerService/CreateRunner", tt.body).do(t, h1(t))
		if tt.field == "" {
			if a.status != http.StatusOK {
				t.Errorf("%s: status %d: %s", tt.body, a.status, a.body)
			}
			continue
		}
		e := a.failure(t)
		info := new(errdetails.ErrorInfo)
		if e.detail(t, info); a.status != 400 || info.Metadata["field"] != tt.field || !strings.HasPrefix(e.Message, tt.field+": ") {
			t.Errorf("%s: status %d: %s; want the field %s", tt.body, a.status, a.body, tt.field)
		}
	}
	if len(w.runners.created) != 4 {
		t.Fatalf("%d requests reached the service, want 4", len(w.runners.created))
	}
	if c := w.runners.created[3].GetSpec(); c.GetDesiredPhase() != gitpodv1.RunnerPhase_RUNNER_PHASE_ACTIVE || !c.GetConfiguration().GetAutoUpdate() {
		t.Errorf("snake_case was dropped: %v", c)
	}
	for _, body := range []string{`{`, `[]`, `"x"`, `null`, `{"name":"x"} {}`, `{"name":"x","name":"y"}`, "{\"name\":\"\xff\"}", `{"runnerId":"` + runnerID + `",}`} {
		a := post(url+"/gitpod.v1.RunnerService/CreateRunner", body).do(t, h1(t))
		if e := a.failure(t); a.status != 400 || e.Code != "invalid_argument" || e.reason(t) != "invalid-field" {
			t.Errorf("%q: status %d: %s", body, a.status, a.body)
		}
	}
}

// A filter that is dropped because of a typing error would list everything.
func TestUnknownEnumNameInAFilter(t *testing.T) {
	url := newWorld(t).start(t) + "/gitpod.v1.RunnerService/ListRunners"
	for _, contentType := range []string{"application/json", "application/json; charset=utf-8"} {
		a := post(url, `{"filter":{"kinds":["RUNNER_KIND_REMOTE","RUNNER_KIND_NEARBY"]}}`).with("Content-Type", contentType).do(t, h1(t))
		e := a.failure(t)
		if a.status != 400 || e.Code != "invalid_argument" || !strings.Contains(e.Message, "filter.kinds[1]") || !strings.Contains(e.Message, "RUNNER_KIND_LOCAL") {
			t.Errorf("%s: status %d: %s", contentType, a.status, a.body)
		}
	}
}

// null and absent are the same.
func TestNullMeansAbsent(t *testing.T) {
	w := newWorld(t)
	a := post(w.start(t)+"/gitpod.v1.RunnerService/UpdateRunner", `{"runnerId":"`+runnerID+`","name":null,"spec":null}`).do(t, h1(t))
	if a.status != http.StatusOK || w.runners.updated[0].Name != nil || w.runners.updated[0].Spec != nil {
		t.Errorf("status %d: %s; got %v", a.status, a.body, w.runners.updated)
	}
}

func TestJSONReplies(t *testing.T) {
	w := newWorld(t)
	w.runners.get = func(context.Context, *gitpodv1.GetRunnerRequest) (*gitpodv1.GetRunnerResponse, error) {
		return &gitpodv1.GetRunnerResponse{Runner: &gitpodv1.Runner{
			RunnerId: runnerID, CreatedAt: aRunner().CreatedAt,
			Spec: &gitpodv1.RunnerSpec{Configuration: &gitpodv1.RunnerConfiguration{
				Region: "eu", UpdateWindow: &gitpodv1.UpdateWindow{StartHour: new(uint32(0))},
			}},
			Status: &gitpodv1.RunnerStatus{Phase: gitpodv1.RunnerPhase_RUNNER_PHASE_ACTIVE, PublicKey: make([]byte, 32)},
		}}, nil
	}
	a := post(w.start(t)+getRunner, `{"runnerId":"`+runnerID+`"}`).do(t, h1(t))
	want := `{"runner":{"runnerId":"` + runnerID + `","createdAt":"2025-10-09T08:53:20Z",` +
		`"spec":{"configuration":{"region":"eu","updateWindow":{"startHour":0}}},` +
		`"status":{"phase":"RUNNER_PHASE_ACTIVE","additionalInfo":[],"capabilities":[],"publicKey":"` + stringOf('A', 43) + `="}}}`
	var got, expected any
	if err := errors.Join(json.Unmarshal(a.body, &got), json.Unmarshal([]byte(want), &expected)); err != nil {
		t.Fatal(err)
	}
	if gotText, wantText := compact(got), compact(expected); gotText != wantText {
		t.Errorf("got  %s\nwant %s", gotText, wantText)
	}
}

func compact(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}

func TestRequestsAreValidated(t *testing.T) {
	url := newWorld(t).start(t)
	a := post(url+"/gitpod.v1.RunnerService/CreateRunner", `{"name":"ab","provider":99}`).do(t, h1(t))
	e := a.failure(t)
	violations := new(validate.Violations)
	if !e.detail(t, violations) || len(violations.Violations) != 2 {
		t.Errorf("violations %v", violations)
	}
	if a.status != 400 || e.Code != "invalid_argument" || e.reason(t) != "invalid-field" ||
		!strings.Contains(e.Message, "name: ") || !strings.Contains(e.Message, "provider: ") {
		t.Errorf("status %d: %s", a.status, a.body)
	}
	for name, opts := range protocols() {
		_, err := gitpodv1connect.NewRunnerServiceClient(h2c(t), url, opts...).GetRunner(context.Background(), bearer(&gitpodv1.GetRunnerRequest{RunnerId: "no uuid"}))
		if connect.CodeOf(err) != connect.CodeInvalidArgument || !strings.Contains(err.Error(), "runner_id") {
			t.Errorf("%s: %v", name, err)
		}
		stream, err := gitpodv1connect.NewEventServiceClient(h2c(t), url, opts...).WatchEvents(context.Background(), bearer(&gitpodv1.WatchEventsRequest{
			ResourceTypeFilters: []*gitpodv1.WatchEventsRequest_ResourceTypeFilter{{}},
		}))
		if err != nil {
			t.Fatal(err)
		}
		if stream.Receive() || connect.CodeOf(stream.Err()) != connect.CodeInvalidArgument {
			t.Errorf("%s: %v", name, stream.Err())
		}
		_ = stream.Close()
	}
}

// Rules that current validators misread, and replies, which have rules too that
// a runner without a key would break.
func TestValidationExceptions(t *testing.T) {
	m, url, _ := mirrorWorld(t)
	a := post(url+"/gitpod.v1.RunnerConfigurationService/ValidateRunnerConfiguration",
		`{"runnerId":"`+runnerID+`","environmentClass":{"id":"x","displayName":"a","description":"b"}}`).do(t, h1(t))
	if a.status != http.StatusOK {
		t.Errorf("ValidateRunnerConfiguration: status %d: %s", a.status, a.body)
	}
	a = post(url+"/gitpod.v1.RunnerService/SearchRepositories", `{"runnerId":"`+runnerID+`","scmHost":"github.com"}`).do(t, h1(t))
	if a.status != http.StatusOK || m.last == nil {
		t.Errorf("SearchRepositories without a limit: status %d: %s", a.status, a.body)
	}
	a = post(url+"/gitpod.v1.RunnerService/GetRunner", `{"runnerId":"`+strings.ToUpper(runnerID)+`"}`).do(t, h1(t))
	if a.status != http.StatusOK {
		t.Errorf("an id in upper case: status %d: %s", a.status, a.body)
	}
	w := newWorld(t)
	w.runners.get = func(context.Context, *gitpodv1.GetRunnerRequest) (*gitpodv1.GetRunnerResponse, error) {
		return &gitpodv1.GetRunnerResponse{Runner: &gitpodv1.Runner{RunnerId: runnerID, Status: &gitpodv1.RunnerStatus{}}}, nil
	}
	if a := post(w.start(t)+getRunner, `{"runnerId":"`+runnerID+`"}`).do(t, h1(t)); a.status != http.StatusOK {
		t.Errorf("a runner without a key: status %d: %s", a.status, a.body)
	}
}

// The rules of a message are compiled when it first comes, whoever comes first.
func TestFirstValidationIsConcurrent(t *testing.T) {
	_, url, methods := mirrorWorld(t)
	done := make(chan int)
	for i := range 32 {
		go func() {
			a := post(url+procedureOf(methods[i%4]), `{}`).do(t, h1(t))
			done <- a.status
		}()
	}
	for range 32 {
		if status := <-done; status != 200 && status != 400 {
			t.Errorf("status %s", strconv.Itoa(status))
		}
	}
}
