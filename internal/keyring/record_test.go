package keyring_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/keyring"
	"github.com/musterhq/muster/internal/resource"
)

// What the control plane does to its keys by itself is in the audit log of those
// who operate it.
func TestKeysThatComeAndGoAreWrittenDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setup(t)
		f.signing(t, keyring.Logs) // before there is anybody
		f.operator = "o"
		f.signing(t, keyring.IDToken)
		if _, _, err := f.replica().Ring(keyring.IDToken).Signing(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := f.actions(); !slices.Equal(got, []string{"signing_key.create"}) {
			t.Errorf("after the first keys: %v", got)
		}
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go f.Run(ctx)
		if _, err := f.Rotate(t.Context(), operator()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30*24*time.Hour + logsLife + 3*time.Minute)
		synctest.Wait()
		want := []string{"signing_key.create", "signing_key.rotate", "signing_key.delete"}
		if got := f.actions(); !slices.Equal(got, want) {
			t.Errorf("after the end of the old key of logs tokens: %v", got)
		}
		time.Sleep(idTokenLife)
		synctest.Wait()
		if got := f.actions(); !slices.Equal(got, append(want, "signing_key.delete")) {
			t.Errorf("after the end of both old keys: %v", got)
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, e := range f.entries {
			bySystem := e.Action != "signing_key.rotate"
			if e.Organization != "o" || e.SubjectID != "o" || e.SubjectType != resource.Organization || (e.Actor == access.System) != bySystem {
				t.Errorf("%+v", e)
			}
		}
	})
}
