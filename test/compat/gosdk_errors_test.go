package compat

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/gitpod-io/gitpod-sdk-go"
	"github.com/gitpod-io/gitpod-sdk-go/option"
	"github.com/gitpod-io/gitpod-sdk-go/shared"
)

// wantError reports whether err is the SDK's error of that status and code, and
// fails the test otherwise. Every error must explain itself.
func wantError(t *testing.T, err error, status int, code shared.ErrorCode) bool {
	t.Helper()
	var api *gitpod.Error
	switch {
	case !errors.As(err, &api):
		t.Errorf("got %v, want an API error %d %s", err, status, code)
	case api.StatusCode != status || api.Code != code:
		t.Errorf("got %d %s (%s), want %d %s", api.StatusCode, api.Code, api.Message, status, code)
	case len(api.Message) < 20:
		t.Errorf("%d %s says no more than %q", status, code, api.Message)
	default:
		return true
	}
	return false
}

func TestGoSDKErrors(t *testing.T) {
	t.Parallel()
	s := serve(t)
	client, wire := s.goSDK(t, bootstrapToken)
	ctx := deadline(t)
	member := addMember(ctx, t, client, "Mia Member", "mia@example.com")
	mia, miaWire := s.goSDK(t, member.Token)
	nobody, nobodyWire := s.goSDK(t, "")
	stranger, strangerWire := s.goSDK(t, "muster_pat_doesnotexist")
	unknown := gitpod.F("d2c94c27-3b76-4a42-b88c-95a85e392c68")

	get := func(c *gitpod.Client, id string) error {
		_, err := c.Runners.Get(ctx, gitpod.RunnerGetParams{RunnerID: gitpod.F(id)})
		return err
	}
	create := func(c *gitpod.Client, p gitpod.RunnerNewParams) error {
		_, err := c.Runners.New(ctx, p)
		return err
	}
	tests := []struct {
		name   string
		wire   *traffic
		call   func() error
		status int
		code   shared.ErrorCode
	}{
		{"no name", wire, func() error { return create(client, gitpod.RunnerNewParams{}) }, 400, "invalid_argument"},
		{"a name of two letters", wire, func() error { return create(client, linuxHost("ab")) }, 400, "invalid_argument"},
		{"a name of 128 letters", wire, func() error { return create(client, linuxHost(strings.Repeat("x", 128))) }, 400, "invalid_argument"},
		{"neither kind nor provider", wire, func() error {
			return create(client, gitpod.RunnerNewParams{Name: gitpod.F("neither")})
		}, 400, "invalid_argument"},
		{"kind and provider", wire, func() error {
			p := linuxHost("both")
			p.Kind = gitpod.F(gitpod.RunnerKindLocal)
			return create(client, p)
		}, 400, "invalid_argument"},
		{"a managed runner without a manager", wire, func() error {
			return create(client, gitpod.RunnerNewParams{Name: gitpod.F("managed"), Provider: gitpod.F(gitpod.RunnerProviderManaged)})
		}, 400, "invalid_argument"},
		{"a provider that does not exist", wire, func() error {
			return create(client, gitpod.RunnerNewParams{Name: gitpod.F("teapot"), Provider: gitpod.F(gitpod.RunnerProvider("RUNNER_PROVIDER_TEAPOT"))})
		}, 400, "invalid_argument"},
		{"an id that is no UUID", wire, func() error { return get(client, "runner-1") }, 400, "invalid_argument"},
		{"an id in braces", wire, func() error { return get(client, "{d2c94c27-3b76-4a42-b88c-95a85e392c68}") }, 400, "invalid_argument"},
		{"no id", wire, func() error { return get(client, "") }, 400, "invalid_argument"},
		{"no token", nobodyWire, func() error { return get(nobody, unknown.Value) }, 401, "unauthenticated"},
		{"an unknown token", strangerWire, func() error { return get(stranger, unknown.Value) }, 401, "unauthenticated"},
		{"the token comes before the request", strangerWire, func() error { return get(stranger, "runner-1") }, 401, "unauthenticated"},
		{"a member may not register runners", miaWire, func() error { return create(mia, linuxHost("mine")) }, 403, "permission_denied"},
		{"no such runner", wire, func() error { return get(client, unknown.Value) }, 404, "not_found"},
		{"an id in capitals is an id", wire, func() error { return get(client, strings.ToUpper(unknown.Value)) }, 404, "not_found"},
		{"update of no such runner", wire, func() error {
			_, err := client.Runners.Update(ctx, gitpod.RunnerUpdateParams{RunnerID: unknown, Name: gitpod.F("name")})
			return err
		}, 404, "not_found"},
		{"delete of no such runner", wire, func() error {
			_, err := client.Runners.Delete(ctx, gitpod.RunnerDeleteParams{RunnerID: unknown})
			return err
		}, 404, "not_found"},
		{"token for no such runner", wire, func() error {
			_, err := client.Runners.NewRunnerToken(ctx, gitpod.RunnerNewRunnerTokenParams{RunnerID: unknown})
			return err
		}, 404, "not_found"},
		{"logs token for no such runner", wire, func() error {
			_, err := client.Runners.NewLogsToken(ctx, gitpod.RunnerNewLogsTokenParams{RunnerID: unknown})
			return err
		}, 404, "not_found"},
		// The SDK posts conflicts again unless it is told not to.
		{"a member who is there already", wire, func() error {
			return client.Execute(ctx, http.MethodPost, "muster.admin.v1.MemberService/AddMember",
				map[string]any{"name": "Another", "email": "MIA@example.com", "role": "ORGANIZATION_ROLE_MEMBER"}, nil)
		}, 409, "already_exists"},
		{"a request larger than the control plane takes", wire, func() error {
			return get(client, strings.Repeat("x", 5<<20))
		}, 429, "resource_exhausted"},
		// It also posts unimplemented again unless told not to.
		{"a service of the vendor's that is none of Muster's", wire, func() error {
			_, err := client.Accounts.Get(ctx, gitpod.AccountGetParams{Empty: gitpod.F(true)})
			return err
		}, 501, "unimplemented"},
		{"a list of the vendor's that is none of Muster's", wire, func() error {
			_, err := client.Environments.List(ctx, gitpod.EnvironmentListParams{})
			return err
		}, 501, "unimplemented"},
		{"a service that nobody has", wire, func() error {
			return client.Execute(ctx, http.MethodPost, "gitpod.v1.TeapotService/Brew", map[string]any{}, nil)
		}, 501, "unimplemented"},
	}
	for _, test := range tests {
		test.wire.take()
		err := test.call()
		if !wantError(t, err, test.status, test.code) {
			t.Errorf("%s: see above", test.name)
		}
		sent := test.wire.take()
		if len(sent) != 1 {
			t.Errorf("%s: the SDK sent it %d times", test.name, len(sent))
		}
		if ct := sent[0].replyHeader.Get("Content-Type"); !strings.HasPrefix(ct, "application/json") {
			t.Errorf("%s: the error is of type %q", test.name, ct)
		}
	}
}

// TestGoSDKDeadEnds asks for what is not there at all.
func TestGoSDKDeadEnds(t *testing.T) {
	t.Parallel()
	s := serve(t)
	client, wire := s.goSDK(t, bootstrapToken)
	for _, path := range []string{"gitpod.v2.RunnerService/GetRunner", "nothing", "gitpod.v1.RunnerService", "gitpod.v1.RunnerService/ListRunners/"} {
		err := client.Execute(deadline(t), http.MethodPost, path, map[string]any{}, nil)
		var api *gitpod.Error
		if !errors.As(err, &api) && err == nil {
			t.Errorf("%s: answered", path)
		}
		sent := wire.take()
		if len(sent) != 1 || sent[0].status != http.StatusNotFound {
			t.Errorf("%s: %d requests, status %d", path, len(sent), sent[0].status)
		}
	}
}

// TestGoSDKRetries: a control plane that is away is asked again.
func TestGoSDKRetries(t *testing.T) {
	t.Parallel()
	s := serve(t)
	client, wire := s.goSDK(t, bootstrapToken, option.WithMaxRetries(1))
	s.stop(t)
	if _, err := client.Runners.List(deadline(t), gitpod.RunnerListParams{}); err == nil {
		t.Error("a stopped control plane answered")
	}
	if n := len(wire.take()); n != 2 {
		t.Errorf("%d attempts", n)
	}
}
