package agent

import (
	"net/url"
	"strings"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/internal/scmurl"
)

// schema describes the settings that this runner understands. It makes no
// environments, so it has none for classes, which leaves them open: a class may
// be set up with any. server is where people reach the control plane.
func schema(version string, server *url.URL) *gitpodv1.RunnerConfigurationSchema {
	return &gitpodv1.RunnerConfigurationSchema{
		Version: version,
		RunnerConfig: []*gitpodv1.RunnerConfigurationSchema_Field{{
			Id: "logLevel", Name: "Log level", Description: "The least severe log lines that the runner writes and keeps.",
			Type: &gitpodv1.RunnerConfigurationSchema_Field_Enum{Enum: logLevels()},
		}},
		Scm: hostKinds(server.JoinPath("oauth", "callback").String()),
	}
}

func logLevels() *gitpodv1.RunnerConfigurationSchema_EnumField {
	enum := &gitpodv1.RunnerConfigurationSchema_EnumField{}
	for _, level := range []string{"LOG_LEVEL_DEBUG", "LOG_LEVEL_INFO", "LOG_LEVEL_WARN", "LOG_LEVEL_ERROR"} {
		value := &gitpodv1.RunnerConfigurationSchema_EnumField_Value{Title: level}
		enum.PossibleValues = append(enum.PossibleValues, value)
		enum.Values = append(enum.Values, level) //nolint:staticcheck // for old clients
		if level == "LOG_LEVEL_INFO" {
			enum.DefaultValue, enum.Default = value, level //nolint:staticcheck // for old clients
		}
	}
	return enum
}

// hostKinds are the kinds of source code host. callback is where a host sends
// people after they have signed in; it is the same for all.
func hostKinds(callback string) []*gitpodv1.RunnerConfigurationSchema_SCMConfigSchema {
	var kinds []*gitpodv1.RunnerConfigurationSchema_SCMConfigSchema
	for _, k := range []struct {
		id    string
		hosts []string
	}{
		{scmurl.GitHub, []string{"github.com"}},
		{scmurl.GitLab, []string{"gitlab.com"}},
		{scmurl.Bitbucket, []string{"bitbucket.org"}},
		{scmurl.BitbucketServer, nil},
		{scmurl.AzureDevOpsEntra, []string{"dev.azure.com"}},
		{scmurl.AzureDevOpsServer, nil},
		{scmurl.Gitea, nil},
	} {
		s := scmurl.Integration{SCMID: k.id, PAT: true, OAuth: true}.SignIn()
		kind := &gitpodv1.RunnerConfigurationSchema_SCMConfigSchema{
			ScmId: k.id, Name: s.Name, DefaultHosts: k.hosts,
			Pat: &gitpodv1.RunnerConfigurationSchema_PersonalAccessToken{
				Description: "An access token that allows: " + strings.Join(s.PAT.Scopes, ", ") + ".", DocsLink: s.PAT.DocsURL,
			},
		}
		if s.OAuth != nil {
			kind.Oauth = &gitpodv1.RunnerConfigurationSchema_OAuth{CallbackUrl: callback}
		}
		kinds = append(kinds, kind)
	}
	return kinds
}
