package storetest

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musterhq/muster/internal/id"
)

func signInTests() map[string]func(*testing.T, *world) {
	return map[string]func(*testing.T, *world){
		"The host of an integration of a runner": func(t *testing.T, w *world) {
			r, other := w.runner(1), w.runner(2)
			w.addRunners(t, r, other)
			i := scmIntegration(r, "GitHub.com", 1)
			w.addSCM(t, i)
			got, ok, err := w.store.SignIn().Host(t.Context(), r.ID, i.ID)
			if diff := cmp.Diff(hostOf(i), found(t, got, ok, err)); diff != "" {
				t.Error(diff)
			}
			got, ok, err = w.store.SignIn().Host(t.Context(), other.ID, i.ID)
			missing(t, got, ok, err)
			got, ok, err = w.store.SignIn().Host(t.Context(), r.ID, id.New())
			missing(t, got, ok, err)
		},
	}
}
