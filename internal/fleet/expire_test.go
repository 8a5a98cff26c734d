package fleet_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
)

func yes(*fleet.Runner) bool { return true }

func TestExpire(t *testing.T) {
	f := setup(t)
	r, _ := f.create(nil)
	f.takeEvents()
	// What is asked is what is stored now.
	f.open(r, opening(bootOne, make([]byte, 32)))
	ok, err := f.Expire(t.Context(), r.ID, func(r *fleet.Runner) bool { return r.Phase() == fleet.PhaseCreated })
	if ok || err != nil || f.get(r.ID).Phase() != fleet.PhaseActive {
		t.Errorf("a runner that connected: %v, %v", ok, err)
	}
	f.takeEvents()
	if ok, err := f.Expire(t.Context(), r.ID, yes); !ok || err != nil {
		t.Errorf("a stale runner: %v, %v", ok, err)
	}
	if _, err := f.Get(t.Context(), f.admin, r.ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("afterwards: %v", err)
	}
	if diff := cmp.Diff([]event.Operation{event.Deleted}, f.takeEvents()); diff != "" {
		t.Error(diff)
	}
	if !slices.Contains(f.takeTold(), "cut "+string(r.ID)) || !slices.Contains(f.revoked, access.Subject{Principal: access.PrincipalRunner, ID: string(r.ID)}) {
		t.Error("its link and its tokens live on")
	}
	if ok, err := f.Expire(t.Context(), r.ID, yes); ok || err != nil {
		t.Errorf("a runner that is gone: %v, %v", ok, err)
	}
}

// The runner of the system stays, and so does one that somebody is deleting.
func TestExpireLeavesAlone(t *testing.T) {
	f := setup(t)
	for name, change := range map[string]func(*fleet.Runner){
		"the local configuration": func(r *fleet.Runner) { r.Kind = fleet.KindLocalConfiguration },
		"a deletion":              func(r *fleet.Runner) { r.DeletingAt = time.Now() },
	} {
		r := fleet.Runner{ID: id.Runner(id.New()), Organization: f.admin.Organization, Name: name, CreatedAt: time.Now(), UpdatedAt: time.Now(), Revision: 1}
		change(&r)
		if err := f.store.Fleet().Write(t.Context(), func(tx fleet.Tx) error { return tx.InsertRunner(t.Context(), r) }); err != nil {
			t.Fatal(err)
		}
		if ok, err := f.Expire(t.Context(), r.ID, yes); ok || err != nil {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
		f.get(r.ID)
	}
}
