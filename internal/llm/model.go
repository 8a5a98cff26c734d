package llm

import (
	"slices"

	"github.com/musterhq/muster/internal/fault"
)

// Model is a language model. The numbers are those of the wire's SupportedModel.
type Model int32

// Models of Anthropic.
const (
	Sonnet35         Model = 1
	Sonnet37         Model = 2
	Sonnet37Extended Model = 3
	Sonnet4          Model = 4
	Sonnet4Extended  Model = 5
	Sonnet45         Model = 8
	Sonnet45Extended Model = 9
	Sonnet46         Model = 18
	Sonnet46Extended Model = 19
	Sonnet5          Model = 32
	Opus4            Model = 6
	Opus4Extended    Model = 7
	Opus45           Model = 14
	Opus45Extended   Model = 15
	Opus46           Model = 16
	Opus46Extended   Model = 17
	Opus47           Model = 22
	Opus48           Model = 31
	Haiku45          Model = 21
)

// Models of OpenAI.
const (
	OpenAI4o     Model = 10
	OpenAI4oMini Model = 11
	OpenAIo1     Model = 12
	OpenAIo1Mini Model = 13
	OpenAIAuto   Model = 23
)

var models = map[Provider][]Model{
	ProviderAnthropic: {
		Sonnet35, Sonnet37, Sonnet37Extended, Sonnet4, Sonnet4Extended, Sonnet45, Sonnet45Extended, Sonnet46, Sonnet46Extended, Sonnet5,
		Opus4, Opus4Extended, Opus45, Opus45Extended, Opus46, Opus46Extended, Opus47, Opus48, Haiku45,
	},
	ProviderOpenAI: {OpenAI4o, OpenAI4oMini, OpenAIo1, OpenAIo1Mini, OpenAIAuto},
}

// Provider is the vendor of the model; 0 when the number is no model's.
func (m Model) Provider() Provider {
	for p, of := range models {
		if slices.Contains(of, m) {
			return p
		}
	}
	return 0
}

// maxModels bounds the list of an integration.
const maxModels = 100

// providerOf is the one vendor of all the models.
func providerOf(ms []Model) (Provider, error) {
	if len(ms) == 0 || len(ms) > maxModels {
		return 0, fault.Invalid("models", "must have 1 to %d values, has %d", maxModels, len(ms))
	}
	first := ms[0].Provider()
	for _, m := range ms {
		switch p := m.Provider(); {
		case p == 0:
			return 0, fault.Invalid("models", "%d is not a model that this control plane knows", m)
		case p != first:
			return 0, fault.Invalid("models", "must all be of one provider, since they share an endpoint and an API key; make an integration for each provider")
		}
	}
	return first, nil
}
