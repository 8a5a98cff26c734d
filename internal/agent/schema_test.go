package agent_test

import (
	"strings"
	"testing"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
)

// checkSchema checks what a runner publishes when it connects.
func checkSchema(t *testing.T, s *gitpodv1.RunnerConfigurationSchema) {
	t.Helper()
	if fields := s.GetRunnerConfig(); len(fields) != 1 || fields[0].GetId() != "logLevel" {
		t.Errorf("settings of the runner: %v", fields)
	}
	if fields := s.GetEnvironmentClasses(); len(fields) != 0 {
		t.Errorf("settings of classes of a runner that makes no environments: %v", fields)
	}
	seen := map[string]bool{}
	for _, k := range s.GetScm() {
		if k.GetScmId() == "" || seen[k.GetScmId()] || k.GetName() == "" || k.GetPat().GetDescription() == "" || !strings.HasPrefix(k.GetPat().GetDocsLink(), "https://") {
			t.Errorf("kind of host: %v", k)
		}
		seen[k.GetScmId()] = true
		// An Azure DevOps Server has no OAuth.
		if want := k.GetScmId() != "azuredevops_server"; (k.GetOauth() != nil) != want {
			t.Errorf("%s: OAuth %v, want %v", k.GetScmId(), k.GetOauth(), want)
		}
		if o := k.GetOauth(); o != nil && o.GetCallbackUrl() != "http://muster.example/oauth/callback" {
			t.Errorf("%s: callback %q", k.GetScmId(), o.GetCallbackUrl())
		}
	}
	if !seen["github"] || !seen["gitlab"] || !seen["azuredevops_server"] {
		t.Errorf("kinds of host: %v", seen)
	}
}
