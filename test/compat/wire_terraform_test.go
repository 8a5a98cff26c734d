package compat

import (
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
)

const (
	createRunner = "gitpod.v1.RunnerService/CreateRunner"
	readRunner   = "gitpod.v1.RunnerService/GetRunner"
	updateRunner = "gitpod.v1.RunnerService/UpdateRunner"
	deleteRunner = "gitpod.v1.RunnerService/DeleteRunner"
)

// frankfurt is the configuration that the older provider plans by default.
func frankfurt() *gitpodv1.RunnerConfiguration {
	return &gitpodv1.RunnerConfiguration{
		Region: "eu-central-1", ReleaseChannel: gitpodv1.RunnerReleaseChannel_RUNNER_RELEASE_CHANNEL_STABLE, AutoUpdate: true,
		LogLevel: gitpodv1.LogLevel_LOG_LEVEL_INFO, DevcontainerImageCacheEnabled: true,
		UpdateWindow: &gitpodv1.UpdateWindow{StartHour: proto.Uint32(2)},
	}
}

// TestWireTerraformRunner plans and applies a runner. Terraform compares what
// comes back with what it planned: a value that the server adds is an error.
func TestWireTerraformRunner(t *testing.T) {
	t.Parallel()
	s := serve(t)
	w := s.wire(t, bootstrapToken)
	const aws, gcp = gitpodv1.RunnerProvider_RUNNER_PROVIDER_AWS_EC2, gitpodv1.RunnerProvider_RUNNER_PROVIDER_GCP
	tests := []struct {
		name     string
		provider gitpodv1.RunnerProvider
		spec     *gitpodv1.RunnerSpec
		want     *gitpodv1.RunnerConfiguration // what was sent, if nil
	}{
		{name: "AWS with the start of a window alone", provider: aws, spec: &gitpodv1.RunnerSpec{Configuration: frankfurt()}},
		{name: "GCP without a region", provider: gcp, spec: &gitpodv1.RunnerSpec{Configuration: &gitpodv1.RunnerConfiguration{AutoUpdate: true}}},
		{
			name: "the newer provider's variant", provider: aws,
			spec: &gitpodv1.RunnerSpec{Variant: gitpodv1.RunnerVariant_RUNNER_VARIANT_ENTERPRISE, Configuration: frankfurt()},
		},
		{
			name: "a window over midnight", provider: aws, spec: &gitpodv1.RunnerSpec{Configuration: &gitpodv1.RunnerConfiguration{
				UpdateWindow: &gitpodv1.UpdateWindow{StartHour: proto.Uint32(22), EndHour: proto.Uint32(0)},
			}},
		},
		{
			name: "managed metrics", provider: aws, spec: &gitpodv1.RunnerSpec{Configuration: &gitpodv1.RunnerConfiguration{
				Metrics: &gitpodv1.MetricsConfiguration{ManagedMetricsEnabled: true},
			}},
		},
		{
			name: "metrics with a password, which is not returned", provider: gcp, spec: &gitpodv1.RunnerSpec{Configuration: &gitpodv1.RunnerConfiguration{
				Metrics: &gitpodv1.MetricsConfiguration{Enabled: true, Url: "https://metrics.example.com", Username: "user", Password: "secret"},
			}},
			want: &gitpodv1.RunnerConfiguration{Metrics: &gitpodv1.MetricsConfiguration{Enabled: true, Url: "https://metrics.example.com", Username: "user"}},
		},
		{name: "an empty configuration", provider: aws, spec: &gitpodv1.RunnerSpec{Configuration: &gitpodv1.RunnerConfiguration{}}},
		{name: "no configuration", provider: aws, spec: &gitpodv1.RunnerSpec{}, want: &gitpodv1.RunnerConfiguration{}},
		{name: "no spec", provider: gcp, want: &gitpodv1.RunnerConfiguration{}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			want := test.want
			if want == nil {
				want = test.spec.GetConfiguration()
			}
			var created gitpodv1.CreateRunnerResponse
			w.must(t, createRunner, &gitpodv1.CreateRunnerRequest{Name: "Frankfurt Runner", Provider: test.provider, Spec: test.spec}, &created)
			r := created.GetRunner()
			if r.GetKind() != gitpodv1.RunnerKind_RUNNER_KIND_REMOTE || r.GetProvider() != test.provider || r.GetCreator().GetId() == "" ||
				r.GetSpec().GetVariant() != test.spec.GetVariant() {
				t.Errorf("created %s", prototext.Format(r))
			}
			sameMessage(t, "the configuration after creation", r.GetSpec().GetConfiguration(), want)
			var got gitpodv1.GetRunnerResponse
			w.must(t, readRunner, &gitpodv1.GetRunnerRequest{RunnerId: r.GetRunnerId()}, &got)
			sameMessage(t, "the runner when refreshed", got.GetRunner(), r)
		})
	}
}

func TestWireTerraformUpdate(t *testing.T) {
	t.Parallel()
	s := serve(t)
	w := s.wire(t, bootstrapToken)
	var created gitpodv1.CreateRunnerResponse
	w.must(t, createRunner, &gitpodv1.CreateRunnerRequest{
		Name: "Frankfurt Runner", Provider: gitpodv1.RunnerProvider_RUNNER_PROVIDER_AWS_EC2, Spec: &gitpodv1.RunnerSpec{Configuration: frankfurt()},
	}, &created)
	first := created.GetRunner()
	type configuration = gitpodv1.UpdateRunnerRequest_RunnerConfiguration
	type metrics = gitpodv1.UpdateRunnerRequest_MetricsConfiguration
	// The runner as it should be, which each step changes.
	want := frankfurt()
	steps := []struct {
		name   string
		change *configuration
		wanted func()
	}{
		{
			"custom metrics", &configuration{Metrics: &metrics{
				Enabled: proto.Bool(true), Url: proto.String("https://metrics.example.com"), Username: proto.String("user"),
				Password: proto.String("secret"), ManagedMetricsEnabled: proto.Bool(false),
			}},
			func() {
				want.Metrics = &gitpodv1.MetricsConfiguration{Enabled: true, Url: "https://metrics.example.com", Username: "user"}
			},
		},
		{
			"another user, the password as it was", &configuration{Metrics: &metrics{Enabled: proto.Bool(true), Username: proto.String("other")}},
			func() { want.Metrics.Username = "other" },
		},
		{
			"a window with an end", &configuration{UpdateWindow: &gitpodv1.UpdateWindow{StartHour: proto.Uint32(1), EndHour: proto.Uint32(5)}},
			func() {
				want.UpdateWindow = &gitpodv1.UpdateWindow{StartHour: proto.Uint32(1), EndHour: proto.Uint32(5)}
			},
		},
		{
			"a window without an end again", &configuration{UpdateWindow: &gitpodv1.UpdateWindow{StartHour: proto.Uint32(3)}},
			func() { want.UpdateWindow = &gitpodv1.UpdateWindow{StartHour: proto.Uint32(3)} },
		},
		{
			"no window, no image cache, not so many logs", &configuration{
				UpdateWindow: &gitpodv1.UpdateWindow{}, DevcontainerImageCacheEnabled: proto.Bool(false),
				LogLevel: gitpodv1.LogLevel_LOG_LEVEL_ERROR.Enum(), ReleaseChannel: gitpodv1.RunnerReleaseChannel_RUNNER_RELEASE_CHANNEL_LATEST.Enum(),
			},
			func() {
				want.UpdateWindow, want.DevcontainerImageCacheEnabled = nil, false
				want.LogLevel, want.ReleaseChannel = gitpodv1.LogLevel_LOG_LEVEL_ERROR, gitpodv1.RunnerReleaseChannel_RUNNER_RELEASE_CHANNEL_LATEST
			},
		},
		{
			"no metrics", &configuration{Metrics: &metrics{
				Enabled: proto.Bool(false), Url: proto.String(""), Username: proto.String(""), Password: proto.String(""), ManagedMetricsEnabled: proto.Bool(false),
			}},
			func() { want.Metrics = nil },
		},
	}
	for _, step := range steps {
		w.must(t, updateRunner, &gitpodv1.UpdateRunnerRequest{
			RunnerId: first.GetRunnerId(), Name: proto.String("Frankfurt Runner"), Spec: &gitpodv1.UpdateRunnerRequest_Spec{Configuration: step.change},
		}, &gitpodv1.UpdateRunnerResponse{})
		step.wanted()
		var got gitpodv1.GetRunnerResponse
		w.must(t, readRunner, &gitpodv1.GetRunnerRequest{RunnerId: first.GetRunnerId()}, &got)
		configuration := got.GetRunner().GetSpec().GetConfiguration()
		// Terraform takes metrics without any value as none.
		if proto.Equal(configuration.GetMetrics(), &gitpodv1.MetricsConfiguration{}) {
			configuration.Metrics = nil
		}
		sameMessage(t, step.name, configuration, want)
		sameMessage(t, step.name+": the time of creation", got.GetRunner().GetCreatedAt(), first.GetCreatedAt())
		if got.GetRunner().GetKind() != first.GetKind() || !proto.Equal(got.GetRunner().GetCreator(), first.GetCreator()) {
			t.Errorf("%s: kind or creator changed", step.name)
		}
	}
}

func TestWireTerraformDestroy(t *testing.T) {
	t.Parallel()
	s := serve(t)
	w := s.wire(t, bootstrapToken)
	var created gitpodv1.CreateRunnerResponse
	w.must(t, createRunner, &gitpodv1.CreateRunnerRequest{
		Name: "Frankfurt Runner", Provider: gitpodv1.RunnerProvider_RUNNER_PROVIDER_AWS_EC2, Spec: &gitpodv1.RunnerSpec{Configuration: frankfurt()},
	}, &created)
	id := created.GetRunner().GetRunnerId()
	// The ephemeral token is made at plan, apply and destroy.
	tokens := map[string]bool{created.GetExchangeToken(): true}
	for range 3 {
		var made gitpodv1.CreateRunnerTokenResponse
		w.must(t, "gitpod.v1.RunnerService/CreateRunnerToken", &gitpodv1.CreateRunnerTokenRequest{RunnerId: id}, &made)
		tokens[made.GetExchangeToken()] = true
	}
	if len(tokens) != 4 || tokens[""] {
		t.Errorf("%d different exchange tokens", len(tokens))
	}
	var all gitpodv1.ListRunnersResponse
	w.must(t, "gitpod.v1.RunnerService/ListRunners", &gitpodv1.ListRunnersRequest{Pagination: &gitpodv1.PaginationRequest{PageSize: 100}}, &all)
	if len(all.GetRunners()) != 1 || all.GetRunners()[0].GetRunnerId() != id || all.GetPagination().GetNextToken() != "" {
		t.Errorf("data.ona_runners: %s", prototext.Format(&all))
	}

	w.must(t, deleteRunner, &gitpodv1.DeleteRunnerRequest{RunnerId: id}, &gitpodv1.DeleteRunnerResponse{})
	w.refused(t, deleteRunner, &gitpodv1.DeleteRunnerRequest{RunnerId: id}, "not_found")
	w.refused(t, readRunner, &gitpodv1.GetRunnerRequest{RunnerId: id}, "not_found")
	w.refused(t, updateRunner, &gitpodv1.UpdateRunnerRequest{RunnerId: id, Name: proto.String("gone")}, "not_found")
	w.refused(t, readRunner, &gitpodv1.GetRunnerRequest{RunnerId: "runner-1"}, "invalid_argument")
	w.refused(t, createRunner, &gitpodv1.CreateRunnerRequest{Name: "x", Provider: gitpodv1.RunnerProvider_RUNNER_PROVIDER_GCP}, "invalid_argument")
	w.refused(t, createRunner, &gitpodv1.CreateRunnerRequest{Name: "no such provider", Provider: 77}, "invalid_argument")
	w.refused(t, createRunner, &gitpodv1.CreateRunnerRequest{
		Name: "bad window", Provider: gitpodv1.RunnerProvider_RUNNER_PROVIDER_GCP,
		Spec: &gitpodv1.RunnerSpec{Configuration: &gitpodv1.RunnerConfiguration{UpdateWindow: &gitpodv1.UpdateWindow{EndHour: proto.Uint32(3)}}},
	}, "invalid_argument")
}

// TestWireTerraformUser is data.ona_user: three calls that must agree.
func TestWireTerraformUser(t *testing.T) {
	t.Parallel()
	s := serve(t)
	w := s.wire(t, bootstrapToken)
	var me gitpodv1.GetAuthenticatedIdentityResponse
	w.must(t, "gitpod.v1.IdentityService/GetAuthenticatedIdentity", &gitpodv1.GetAuthenticatedIdentityRequest{}, &me)
	var user gitpodv1.GetUserResponse
	w.must(t, "gitpod.v1.UserService/GetUser", &gitpodv1.GetUserRequest{UserId: me.GetSubject().GetId()}, &user)
	var members gitpodv1.ListMembersResponse
	w.must(t, "gitpod.v1.OrganizationService/ListMembers", &gitpodv1.ListMembersRequest{
		OrganizationId: me.GetOrganizationId(),
		Pagination:     &gitpodv1.PaginationRequest{PageSize: 100},
		Filter:         &gitpodv1.ListMembersRequest_Filter{UserIds: []string{me.GetSubject().GetId()}},
	}, &members)
	if user.GetUser().GetOrganizationId() != me.GetOrganizationId() || len(members.GetMembers()) != 1 {
		t.Fatalf("%s%s", prototext.Format(&user), prototext.Format(&members))
	}
	m := members.GetMembers()[0]
	if m.GetUserId() != me.GetSubject().GetId() || m.GetStatus() != user.GetUser().GetStatus() || m.GetStatus() != gitpodv1.UserStatus_USER_STATUS_ACTIVE ||
		m.GetRole() != gitpodv1.OrganizationRole_ORGANIZATION_ROLE_ADMIN || m.GetMemberSince().AsTime().Before(time.Unix(1, 0)) || !m.GetMemberSince().IsValid() {
		t.Errorf("the member is %s", prototext.Format(m))
	}
	w.refused(t, "gitpod.v1.UserService/GetUser", &gitpodv1.GetUserRequest{UserId: "d2c94c27-3b76-4a42-b88c-95a85e392c68"}, "not_found")
}

func sameMessage(t *testing.T, what string, got, want proto.Message) {
	t.Helper()
	if !proto.Equal(got, want) {
		t.Errorf("%s:\n got %s\nwant %s", what, prototext.Format(got), prototext.Format(want))
	}
}
