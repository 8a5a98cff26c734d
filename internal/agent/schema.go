package agent

import (
	"net/url"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
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
	oauth := &gitpodv1.RunnerConfigurationSchema_OAuth{CallbackUrl: callback}
	pat := func(description, link string) *gitpodv1.RunnerConfigurationSchema_PersonalAccessToken {
		return &gitpodv1.RunnerConfigurationSchema_PersonalAccessToken{Description: description, DocsLink: link}
	}
	const azureDocs = "https://learn.microsoft.com/azure/devops/organizations/accounts/use-personal-access-tokens-to-authenticate"
	return []*gitpodv1.RunnerConfigurationSchema_SCMConfigSchema{
		{
			ScmId: "github", Name: "GitHub", DefaultHosts: []string{"github.com"}, Oauth: oauth,
			Pat: pat("A classic token with the scopes repo, read:org, read:user and user:email.",
				"https://docs.github.com/authentication/keeping-your-account-and-data-secure/managing-your-personal-access-tokens"),
		},
		{
			ScmId: "gitlab", Name: "GitLab", DefaultHosts: []string{"gitlab.com"}, Oauth: oauth,
			Pat: pat("A personal access token with the scopes api, read_user and read_repository.",
				"https://docs.gitlab.com/user/profile/personal_access_tokens/"),
		},
		{
			ScmId: "bitbucket", Name: "Bitbucket Cloud", DefaultHosts: []string{"bitbucket.org"}, Oauth: oauth,
			Pat: pat("An API token with scopes to read repositories, pull requests, workspaces and your account.",
				"https://support.atlassian.com/bitbucket-cloud/docs/api-tokens/"),
		},
		{
			ScmId: "bitbucket_server", Name: "Bitbucket Data Center", Oauth: oauth,
			Pat: pat("An HTTP access token with permission to read repositories, made under Manage account.",
				"https://confluence.atlassian.com/bitbucketserver/http-access-tokens-939515499.html"),
		},
		{
			ScmId: "azuredevops_entra", Name: "Azure DevOps", DefaultHosts: []string{"dev.azure.com"}, Oauth: oauth,
			Pat: pat("A personal access token with Code (read & write), Project and Team (read) and User Profile (read).", azureDocs),
		},
		{
			ScmId: "azuredevops_server", Name: "Azure DevOps Server",
			Pat: pat("A personal access token with Code (read & write) and Project and Team (read).", azureDocs),
		},
		{
			ScmId: "gitea", Name: "Gitea or Forgejo", Oauth: oauth,
			Pat: pat("An access token that may read your user, your organizations, repositories and issues.",
				"https://docs.gitea.com/development/api-usage"),
		},
	}
}
