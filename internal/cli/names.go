package cli

import (
	"strings"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
)

// The names of enumerations on the wire repeat their type
// (RUNNER_PROVIDER_LINUX_HOST). People read LINUX_HOST and type linux-host.

const (
	prefixProvider  = "RUNNER_PROVIDER_"
	prefixKind      = "RUNNER_KIND_"
	prefixPhase     = "RUNNER_PHASE_"
	prefixChannel   = "RUNNER_RELEASE_CHANNEL_"
	prefixLogLevel  = "LOG_LEVEL_"
	prefixOperation = "RESOURCE_OPERATION_"
	prefixPrincipal = "PRINCIPAL_"
	prefixRole      = "ORGANIZATION_ROLE_"
	prefixStatus    = "USER_STATUS_"
	prefixAbility   = "RUNNER_CAPABILITY_"

	prefixKeyOperation = "RUNNER_KEY_OPERATION_"
	prefixTokenKind    = "RUNNER_TOKEN_KIND_"
)

// short is the name of an enumeration value for people; empty when it is not
// set.
func short(prefix string, value interface{ String() string }) string {
	name := strings.TrimPrefix(value.String(), prefix)
	if name == "UNSPECIFIED" {
		return ""
	}
	return name
}

// number is the value of a name that was typed; the grammar has checked that it
// is one.
func number[E ~int32](values map[string]int32, prefix, typed string) E {
	return E(values[prefix+strings.ToUpper(strings.ReplaceAll(typed, "-", "_"))])
}

func phaseName(p gitpodv1.RunnerPhase) string { return short(prefixPhase, p) }
