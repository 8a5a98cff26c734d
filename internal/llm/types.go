// Package llm is the domain of LLM integrations: which language models a runner
// may use, where, and with which key.
//
// It knows nothing of the wire and nothing of SQL, and never talks to a
// provider: what is stored here is for the runner, and the secrets of it can be
// opened by the runner alone.
package llm

import (
	"slices"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/seal"
)

// The numbers of the enumerations below are those of the wire; a test of the
// transport holds them to it.
type (
	// Provider is a vendor of language models.
	Provider int32
	// Phase says whether an integration can be used.
	Phase int32
	// HeaderType is how the value of a header is read.
	HeaderType int32
)

// Providers.
const (
	ProviderAnthropic Provider = 1
	ProviderOpenAI    Provider = 2
)

// Phases.
const (
	// PhaseAvailable is switched on and usable.
	PhaseAvailable Phase = 1
	// PhaseUnavailable is switched on, and a secret of it must be set again.
	PhaseUnavailable Phase = 2
	// PhaseDisabled is switched off.
	PhaseDisabled Phase = 3
)

// Types of headers.
const (
	// HeaderLiteral is sent as it is, and a secret.
	HeaderLiteral HeaderType = 1
	// HeaderExpression is a CEL expression that the runner evaluates for every
	// request, and no secret.
	HeaderExpression HeaderType = 2
)

// Integration gives a runner access to language models.
type Integration struct {
	ID           string
	Organization id.Organization
	Runner       id.Runner
	// Models are as they were set: neither sorted nor freed of duplicates.
	Models []Model
	// Endpoint is the URL of the provider; empty for its usual one.
	Endpoint string
	// APIKey is sealed to the runner; none when the provider needs none.
	APIKey seal.Secret
	// MaxTokens is the most that one request may ask for; 0 for no limit.
	MaxTokens int64
	Enabled   bool
	Headers   []Header
	CreatedAt time.Time
	UpdatedAt time.Time
	// Revision guards against lost updates.
	Revision int64
	// RunnerKey is the public key of the runner now, which secrets must be sealed
	// to. It is read with the integration, and not stored with it.
	RunnerKey []byte
}

// Header is an HTTP header of every request to the provider. A list of them is
// stored as JSON.
type Header struct {
	Name string     `json:"name"`
	Type HeaderType `json:"type"`
	// Value is the literal, sealed to the runner.
	Value seal.Secret `json:"value,omitempty"`
	// Expression is the CEL expression.
	Expression string `json:"expression,omitempty"`
}

// Provider is the vendor of the models.
func (i *Integration) Provider() Provider {
	p, _ := providerOf(i.Models)
	return p
}

// Phase says whether the integration can be used, and what to do about a secret
// that must be set again; that is told of a disabled one too.
func (i *Integration) Phase() (Phase, string) {
	why := i.stale()
	switch {
	case !i.Enabled:
		return PhaseDisabled, why
	case why != "":
		return PhaseUnavailable, why
	default:
		return PhaseAvailable, ""
	}
}

// stale says which secret is sealed to an older key of the runner; empty when
// none is.
func (i *Integration) stale() string {
	stale := func(s seal.Secret) bool { return len(s) > 0 && !s.SealedTo(i.RunnerKey) }
	if stale(i.APIKey) {
		return "The API key is sealed to an older key of the runner, which cannot open it any more. Set the API key again."
	}
	if n := slices.IndexFunc(i.Headers, func(h Header) bool { return stale(h.Value) }); n >= 0 {
		return "The value of the request header " + i.Headers[n].Name +
			" is sealed to an older key of the runner, which cannot open it any more. Set the request headers again."
	}
	return ""
}

// The names of an integration's secrets; see seal.Name.
func keyName(integration string) string { return seal.Name(secretKind, integration, "api_key") }

func headerName(integration, header string) string {
	return seal.Name(secretKind, integration, "header/"+header)
}

const secretKind = "llm_integration"

// object is an integration as permissions see it.
func object(r *fleet.Runner, integration string) access.Object {
	return r.Object().Of(resource.RunnerLLMIntegration, integration)
}
