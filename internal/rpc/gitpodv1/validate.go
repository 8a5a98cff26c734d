package gitpodv1

import (
	"context"

	"connectrpc.com/connect"

	"github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/codehost"
	"github.com/musterhq/muster/internal/envclass"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/scm"
	"github.com/musterhq/muster/internal/scmurl"
	"github.com/musterhq/muster/internal/seal"
)

// ValidateRunnerConfiguration checks a class or an integration without storing
// it.
func (s *RunnerConfiguration) ValidateRunnerConfiguration(ctx context.Context, req *connect.Request[gitpodv1.ValidateRunnerConfigurationRequest]) (*connect.Response[gitpodv1.ValidateRunnerConfigurationResponse], error) {
	m := req.Msg
	if !id.Valid(m.GetRunnerId()) { // no field rules are applied to this message
		return nil, fault.Invalid("runner_id", "must be a UUID")
	}
	var out *gitpodv1.ValidateRunnerConfigurationResponse
	var err error
	switch config := m.GetConfig().(type) {
	case *gitpodv1.ValidateRunnerConfigurationRequest_EnvironmentClass:
		out, err = s.validateClass(ctx, runnerID(m), config.EnvironmentClass)
	case *gitpodv1.ValidateRunnerConfigurationRequest_ScmIntegration:
		out, err = s.validateSCM(ctx, runnerID(m), config.ScmIntegration)
	default:
		return nil, fault.Invalid("config", "is required: set environment_class or scm_integration")
	}
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(out), nil
}

func (s *RunnerConfiguration) validateClass(ctx context.Context, runner id.Runner, m *gitpodv1.EnvironmentClass) (*gitpodv1.ValidateRunnerConfigurationResponse, error) {
	wrong, err := s.Classes.Validate(ctx, access.CallerOf(ctx), runner, envclass.Draft{
		DisplayName: m.GetDisplayName(), Description: m.GetDescription(), Configuration: settings(m.GetConfiguration()),
	})
	if err != nil {
		return nil, err
	}
	result := &gitpodv1.EnvironmentClassValidationResult{
		Valid: wrong.None(), DisplayNameError: problem(wrong.DisplayName), DescriptionError: problem(wrong.Description),
	}
	for _, e := range wrong.Configuration {
		result.ConfigurationErrors = append(result.ConfigurationErrors, &gitpodv1.FieldValidationError{Key: e.Key, Error: e.Problem})
	}
	return &gitpodv1.ValidateRunnerConfigurationResponse{
		Result: &gitpodv1.ValidateRunnerConfigurationResponse_EnvironmentClass{EnvironmentClass: result},
	}, nil
}

func (s *RunnerConfiguration) validateSCM(ctx context.Context, runner id.Runner, m *gitpodv1.ValidateRunnerConfigurationRequest_ValidateSCMIntegration) (*gitpodv1.ValidateRunnerConfigurationResponse, error) {
	r, err := s.Classes.Runner(ctx, access.CallerOf(ctx), runner)
	if err != nil {
		return nil, err
	}
	schema, err := ParseSchema(r.Schema)
	if err != nil {
		return nil, fault.Wrap(err, "reading the runner's schema")
	}
	sealed := seal.Secret(m.GetOauthEncryptedClientSecret())
	wrong := scm.Check(scm.Settings{
		SCMID: m.GetScmId(), Host: m.GetHost(), PAT: m.GetPat(), IssuerURL: m.GetIssuerUrl(), VirtualDirectory: m.GetVirtualDirectory(),
		OAuthClientID: m.GetOauthClientId(),
		OAuthSecret:   len(sealed) > 0 || m.GetOauthPlaintextClientSecret() != "",
		ForeignSecret: len(sealed) > 0 && !sealed.SealedTo(r.PublicKey),
		Kinds:         schema.SCM,
	})
	if wrong.OAuth == "" && (boundedOAuth(m) != nil || len(sealed) > maxSealed) {
		wrong.OAuth = "the client id or the secret is longer than any can be"
	}
	if wrong == (scm.Errors{}) {
		probed, err := s.CodeHosts.ProbeIntegration(ctx, access.CallerOf(ctx), runner, draft(m))
		if err != nil {
			return nil, err
		}
		wrong.Host, wrong.OAuth = probed.Host, probed.OAuth
	}
	result := &gitpodv1.SCMIntegrationValidationResult{
		Valid:      wrong == scm.Errors{},
		ScmIdError: problem(wrong.SCMID),
		HostError:  problem(wrong.Host),
		OauthError: problem(wrong.OAuth),
		PatError:   problem(wrong.PAT),
	}
	return &gitpodv1.ValidateRunnerConfigurationResponse{
		Result: &gitpodv1.ValidateRunnerConfigurationResponse_ScmIntegration{ScmIntegration: result},
	}, nil
}

// maxSealed bounds a sealed client secret, in bytes.
const maxSealed = 8192

// draft is an integration to try.
func draft(m *gitpodv1.ValidateRunnerConfigurationRequest_ValidateSCMIntegration) codehost.Draft {
	return codehost.Draft{
		Host: codehost.Host{
			Integration: scmurl.Integration{
				ID: id.Canonical(m.GetId()), SCMID: m.GetScmId(), Host: m.GetHost(), VirtualDirectory: m.GetVirtualDirectory(), IssuerURL: m.GetIssuerUrl(),
				OAuth: m.GetOauthClientId() != "", PAT: m.GetPat(),
			},
			OAuthClientID: m.GetOauthClientId(),
		},
		ClientSecret: m.GetOauthPlaintextClientSecret(), SealedSecret: m.GetOauthEncryptedClientSecret(),
	}
}

// problem is absent when there is none.
func problem(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
