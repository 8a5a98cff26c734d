package gitpodv1

import (
	"github.com/musterhq/muster/gen/gitpod/v1/gitpodv1connect"
	"github.com/musterhq/muster/internal/codehost"
	"github.com/musterhq/muster/internal/envclass"
	"github.com/musterhq/muster/internal/hosttoken"
	"github.com/musterhq/muster/internal/llm"
	"github.com/musterhq/muster/internal/scm"
)

// RunnerConfiguration serves RunnerConfigurationService. Each noun has its
// methods in a file of its own.
type RunnerConfiguration struct {
	gitpodv1connect.UnimplementedRunnerConfigurationServiceHandler
	Classes    *envclass.Service
	SCM        *scm.Service
	HostTokens *hosttoken.Service
	LLM        *llm.Service
	CodeHosts  *codehost.Service
}
