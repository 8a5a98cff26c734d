package fleet_test

import (
	"slices"
	"testing"
	"time"

	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/llm"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/seal"
)

// Whoever watches an LLM integration learns that another key of its runner made
// it unavailable.
func TestAnotherKeyTellsOfWhatIsSealedToTheOldOne(t *testing.T) {
	f := setup(t)
	r, _ := f.create(nil)
	a, b, c := newPair(t), newPair(t), newPair(t)
	f.open(r, a.opening())
	i := llm.Integration{ID: id.New(), Organization: r.Organization, Runner: r.ID, CreatedAt: time.Now(), UpdatedAt: time.Now(), Revision: 1}
	if err := f.store.LLM().Write(t.Context(), func(tx llm.Tx) error { return tx.InsertLLMIntegration(t.Context(), i) }); err != nil {
		t.Fatal(err)
	}
	told := func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		found := slices.ContainsFunc(f.events, func(e event.Event) bool {
			return e.Operation == event.Updated && e.Object.Type == resource.RunnerLLMIntegration && e.Object.ID == i.ID && e.Object.Runner == r.ID
		})
		f.events = nil
		return found
	}
	for _, step := range []struct {
		name string
		do   func(fleet.Runner)
		want bool
	}{
		{"another key that waits", func(r fleet.Runner) { f.open(r, b.opening()) }, false},
		{"its approval", func(r fleet.Runner) {
			if err := f.ApproveKey(t.Context(), f.admin, r.ID, seal.Fingerprint(b.public)); err != nil {
				t.Fatal(err)
			}
		}, true},
		{"the approved key again", func(r fleet.Runner) { f.open(r, b.opening()) }, false},
		{"an endorsed key", func(r fleet.Runner) { f.open(r, c.endorsed(r, b)) }, true},
	} {
		step.do(r)
		if got := told(); got != step.want {
			t.Errorf("%s: told %v, want %v", step.name, got, step.want)
		}
	}
}
