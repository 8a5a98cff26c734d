package fleet_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/seal"
)

func (f *fixture) expect(step string, r fleet.Runner, phase fleet.Phase, message string, events ...event.Operation) {
	f.t.Helper()
	got := f.get(r.ID)
	if got.Phase() != phase || !strings.Contains(got.Message(), message) {
		f.t.Errorf("%s: phase %v, message %q", step, got.Phase(), got.Message())
	}
	if ops := f.takeEvents(); fmt.Sprint(ops) != fmt.Sprint(events) {
		f.t.Errorf("%s: events %v, want %v", step, ops, events)
	}
}

func TestTheLifeOfARunner(t *testing.T) {
	f := setup(t)
	ctx := t.Context()
	r, _ := f.create(nil)
	f.expect("created", r, fleet.PhaseCreated, "muster join", event.Created)

	pub, _ := newKey(t)
	one := f.open(r, opening(bootOne, pub))
	f.expect("connected", r, fleet.PhaseActive, "", event.StatusUpdated)

	again := f.open(r, opening(bootOne, pub))
	f.expect("reconnected", r, fleet.PhaseActive, "") // no flapping
	if again != one+1 {
		t.Errorf("epoch %d after %d", again, one)
	}

	at := f.get(r.ID).StatusAt
	if err := f.SetReport(ctx, r.ID, again, fleet.Report{Version: "1"}); err != nil {
		t.Fatal(err)
	}
	f.expect("the same report", r, fleet.PhaseActive, "")
	if !f.get(r.ID).StatusAt.Equal(at) {
		t.Error("the status time moved without a change")
	}
	if err := f.SetReport(ctx, r.ID, again, fleet.Report{Version: "1", Degraded: true, Message: "the disk is full"}); err != nil {
		t.Fatal(err)
	}
	f.expect("degraded", r, fleet.PhaseDegraded, "the disk is full", event.StatusUpdated)
	if err := f.SetReport(ctx, r.ID, again, fleet.Report{Version: "2"}); err != nil {
		t.Fatal(err)
	}
	f.expect("recovered", r, fleet.PhaseActive, "", event.StatusUpdated)

	if err := f.Applied(ctx, r.ID, again, 1, []string{"autoUpdate"}, "no disk"); err != nil {
		t.Fatal(err)
	}
	f.expect("not applied", r, fleet.PhaseDegraded, "no disk", event.StatusUpdated)
	if err := f.Applied(ctx, r.ID, again, 1, []string{"autoUpdate"}, ""); err != nil {
		t.Fatal(err)
	}
	f.expect("applied", r, fleet.PhaseActive, "", event.StatusUpdated)

	if err := f.SetNotice(ctx, r.ID, again, "two hosts"); err != nil {
		t.Fatal(err)
	}
	f.expect("noticed", r, fleet.PhaseDegraded, "two hosts", event.StatusUpdated)
	if err := f.SetNotice(ctx, r.ID, again, ""); err != nil {
		t.Fatal(err)
	}
	f.takeEvents()

	// What comes of an older session changes nothing.
	if err := f.SetReport(ctx, r.ID, one, fleet.Report{Version: "old"}); !fault.Is(err, fault.Aborted) {
		t.Errorf("an old session reports: %v", err)
	}
	if err := f.EndSession(ctx, r.ID, one, "old"); err != nil {
		t.Fatal(err)
	}
	f.expect("an old session ends", r, fleet.PhaseActive, "")

	if err := f.EndSession(ctx, r.ID, again, "No renewal came."); err != nil {
		t.Fatal(err)
	}
	f.expect("silent", r, fleet.PhaseInactive, "No renewal came.", event.StatusUpdated)
	if err := f.EndSession(ctx, r.ID, again, "again"); err != nil {
		t.Fatal(err)
	}
	f.expect("ended twice", r, fleet.PhaseInactive, "No renewal came.")

	f.open(r, opening(bootTwo, pub))
	f.expect("back", r, fleet.PhaseActive, "", event.StatusUpdated)
}

func TestOnlyAConnectedRunnerHasLogs(t *testing.T) {
	f := setup(t)
	r, _ := f.create(nil)
	pub, _ := newKey(t)
	if got := f.get(r.ID); f.LogURL(got)+f.SupportBundleURL(got) != "" {
		t.Error("a runner that never connected has a log URL")
	}
	o := f.open(r, opening(bootOne, pub))
	got := f.get(r.ID)
	if f.LogURL(got) != "https://muster.example/runners/"+string(r.ID)+"/logs" || !strings.HasSuffix(f.SupportBundleURL(got), "/support-bundle") {
		t.Errorf("log URL %q", f.LogURL(got))
	}
	if err := f.SetReport(t.Context(), r.ID, o, fleet.Report{LogURL: "https://host.example/logs"}); err != nil {
		t.Fatal(err)
	}
	if got := f.get(r.ID); f.LogURL(got) != "https://host.example/logs" {
		t.Errorf("advertised log URL %q", f.LogURL(got))
	}
	if err := f.EndSession(t.Context(), r.ID, o, "x"); err != nil {
		t.Fatal(err)
	}
	if got := f.get(r.ID); f.LogURL(got) != "" {
		t.Error("a runner that is gone has a log URL")
	}
}

func TestAnotherKeyWaitsForApproval(t *testing.T) {
	f := setup(t)
	r, _ := f.create(nil)
	first, _ := newKey(t)
	second, _ := newKey(t)
	f.open(r, opening(bootOne, first))
	f.takeEvents()
	f.open(r, opening(bootTwo, second))
	f.expect("another key", r, fleet.PhaseDegraded, seal.Fingerprint(second), event.StatusUpdated)
	if got := f.get(r.ID); string(got.PublicKey) != string(first) || string(got.PendingKey) != string(second) {
		t.Error("the new key was taken over without approval")
	}
	if err := f.Update(t.Context(), f.admin, r.ID, fleet.Change{HoneycombAPIKey: ptr("s")}); err != nil {
		t.Fatal(err)
	}
	if !f.get(r.ID).Configuration.HoneycombAPIKey.SealedTo(first) {
		t.Error("a secret was sealed to a key that nobody approved")
	}
	if err := f.ApproveKey(t.Context(), f.admin, r.ID, seal.Fingerprint(first)); !fault.HasReason(err, fault.KeyMismatch) {
		t.Errorf("approving another key: %v", err)
	}
	if err := f.ApproveKey(t.Context(), f.member, r.ID, seal.Fingerprint(second)); !fault.Is(err, fault.NotFound) {
		t.Errorf("approval by somebody who does not see the runner: %v", err)
	}
	f.takeEvents()
	if err := f.ApproveKey(t.Context(), f.admin, r.ID, seal.Fingerprint(second)); err != nil {
		t.Fatal(err)
	}
	f.expect("approved", r, fleet.PhaseActive, "", event.StatusUpdated, event.Updated)

	// The host that holds the approved key ends the wait of another one.
	f.open(r, opening(bootOne, first))
	back := opening(bootTwo, second)
	back.SigningKey = newPair(t).signing()
	f.open(r, back)
	if got := f.get(r.ID); len(got.PendingKey) != 0 || string(got.PublicKey) != string(second) {
		t.Error("a key still waits although the approved one is back")
	}
}

func TestReportsAreBounded(t *testing.T) {
	f := setup(t)
	r, _ := f.create(nil)
	pub, _ := newKey(t)
	o := f.open(r, opening(bootOne, pub))
	long := strings.Repeat("x", 3000)
	for name, rep := range map[string]fleet.Report{
		"message":          {Message: long},
		"version":          {Version: long},
		"region":           {Region: long},
		"details":          {SystemDetails: long},
		"log URL":          {LogURL: long},
		"bundle URL":       {SupportBundleURL: long},
		"facts":            {AdditionalInfo: make([]fleet.FieldValue, 33)},
		"a long fact":      {AdditionalInfo: []fleet.FieldValue{{Key: long}}},
		"capabilities":     {Capabilities: make([]fleet.Capability, 65)},
		"gateway":          {Gateway: &fleet.GatewayInfo{Gateway: fleet.Gateway{Name: long}}},
		"degraded, silent": {Degraded: true},
	} {
		if err := f.SetReport(t.Context(), r.ID, o, rep); !fault.HasReason(err, fault.MalformedFrame) {
			t.Errorf("%s: %v", name, err)
		}
		bad := opening(bootOne, pub)
		bad.Report = rep
		if _, err := f.OpenSession(t.Context(), asRunner(r), bad); !fault.HasReason(err, fault.MalformedFrame) {
			t.Errorf("%s in Hello: %v", name, err)
		}
	}
	big := opening(bootOne, pub)
	big.Schema = make([]byte, 64<<10+1)
	if _, err := f.OpenSession(t.Context(), asRunner(r), big); !fault.HasReason(err, fault.MalformedFrame) {
		t.Errorf("a large schema: %v", err)
	}
	for _, key := range [][]byte{nil, make([]byte, 31), make([]byte, 33)} {
		if _, err := f.OpenSession(t.Context(), asRunner(r), opening(bootOne, key)); !fault.HasReason(err, fault.MalformedFrame) {
			t.Errorf("a key of %d bytes: %v", len(key), err)
		}
	}
}

func TestDelete(t *testing.T) {
	f := setup(t)
	ctx := t.Context()
	pub, _ := newKey(t)
	gone := func(r fleet.Runner) {
		t.Helper()
		if _, err := f.Get(ctx, f.admin, r.ID); !fault.Is(err, fault.NotFound) {
			t.Errorf("the runner is still there: %v", err)
		}
		if err := f.Delete(ctx, f.admin, r.ID, false); !fault.Is(err, fault.NotFound) {
			t.Errorf("deleting it again: %v", err)
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		if n := len(f.revoked); n == 0 || f.revoked[n-1] != (access.Subject{Principal: access.PrincipalRunner, ID: string(r.ID)}) {
			t.Errorf("its tokens were not revoked: %v", f.revoked)
		}
	}

	created, _ := f.create(nil)
	f.takeEvents()
	if err := f.Delete(ctx, f.admin, created.ID, false); err != nil {
		t.Fatal(err)
	}
	gone(created)
	if ops := f.takeEvents(); fmt.Sprint(ops) != fmt.Sprint([]event.Operation{event.Deleted}) {
		t.Errorf("events: %v", ops)
	}

	active, exchange := f.create(nil)
	o := f.open(active, opening(bootOne, pub))
	f.takeEvents()
	f.takeTold()
	for range 2 { // the second one changes nothing
		if err := f.Delete(ctx, f.admin, active.ID, false); err != nil {
			t.Fatal(err)
		}
	}
	f.expect("deleting", active, fleet.PhaseDeleting, "finishing", event.StatusUpdated)
	if told := f.takeTold(); len(told) == 0 || told[0] != "delete "+string(active.ID) {
		t.Errorf("told: %v", told)
	}
	if err := f.Update(ctx, f.admin, active.ID, fleet.Change{Name: ptr("xyz")}); !fault.Is(err, fault.FailedPrecondition) {
		t.Errorf("updating it: %v", err)
	}
	if _, _, err := f.CreateToken(ctx, f.admin, active.ID); !fault.Is(err, fault.FailedPrecondition) {
		t.Errorf("a token for it: %v", err)
	}
	if _, err := f.Redeem(ctx, exchange); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("redeeming a token for it: %v", err)
	}
	if err := f.FinishDelete(ctx, active.ID); err != nil {
		t.Fatal(err)
	}
	gone(active)
	if err := f.EndSession(ctx, active.ID, o, "late"); err != nil {
		t.Errorf("ending the session of a removed runner: %v", err)
	}

	ending, _ := f.create(nil)
	o = f.open(ending, opening(bootOne, pub))
	if err := f.Delete(ctx, f.admin, ending.ID, false); err != nil {
		t.Fatal(err)
	}
	if err := f.EndSession(ctx, ending.ID, o, "Goodbye."); err != nil {
		t.Fatal(err)
	}
	gone(ending)

	forced, _ := f.create(nil)
	f.open(forced, opening(bootOne, pub))
	if err := f.Delete(ctx, f.admin, forced.ID, false); err != nil {
		t.Fatal(err)
	}
	if err := f.Delete(ctx, f.admin, forced.ID, true); err != nil {
		t.Fatal(err)
	}
	gone(forced)

	// A runner that is not being deleted cannot remove itself.
	stays, _ := f.create(nil)
	f.open(stays, opening(bootOne, pub))
	if err := f.FinishDelete(ctx, stays.ID); err != nil {
		t.Fatal(err)
	}
	if f.get(stays.ID).Phase() != fleet.PhaseActive {
		t.Error("FinishDelete removed a runner that nobody deleted")
	}
}

func TestADrainEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setup(t)
		pub, _ := newKey(t)
		r, _ := f.create(nil)
		f.open(r, opening(bootOne, pub))
		// The deletion was asked for before this process started.
		if err := f.Delete(t.Context(), f.admin, r.ID, false); err != nil {
			t.Fatal(err)
		}
		later := fleet.New(fleet.Config{Store: f.store.Fleet(), Links: links{f}, Revoker: f, Key: f.key, Log: nil})
		go later.Run(t.Context())
		time.Sleep(fleet.DrainTimeout - time.Second)
		synctest.Wait()
		if f.get(r.ID).Phase() != fleet.PhaseDeleting {
			t.Error("the drain ended early")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if _, err := f.Get(t.Context(), f.admin, r.ID); !fault.Is(err, fault.NotFound) {
			t.Errorf("after the drain: %v", err)
		}
	})
}

func TestSessionsOfADeadReplicaEnd(t *testing.T) {
	f := setup(t)
	pub, _ := newKey(t)
	var lost []fleet.Runner
	for range 5 {
		r, _ := f.create(nil)
		f.open(r, opening(bootOne, pub))
		lost = append(lost, r)
	}
	back, _ := f.create(nil)
	f.open(back, opening(bootOne, pub))
	elsewhere := opening(bootOne, pub)
	elsewhere.Replica = "replica-2"
	f.open(back, elsewhere)
	f.takeEvents()
	if n, err := f.EndSessionsOf(t.Context(), "replica-1"); n != len(lost) || err != nil {
		t.Errorf("EndSessionsOf = %d, %v", n, err)
	}
	for _, r := range lost {
		if f.get(r.ID).Phase() != fleet.PhaseInactive {
			t.Error("a runner that did not come back is not inactive")
		}
	}
	if f.get(back.ID).Phase() != fleet.PhaseActive {
		t.Error("a runner that came back is not active")
	}
	if ops := f.takeEvents(); len(ops) != len(lost) {
		t.Errorf("events: %v", ops)
	}
	if n, err := f.EndSessionsOf(t.Context(), "replica-1"); n != 0 || err != nil {
		t.Errorf("a second time: %d, %v", n, err)
	}
}

func TestExchangeTokensExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := setup(t)
		_, exchange := f.create(nil)
		_, other := f.create(nil)
		time.Sleep(24*time.Hour - time.Second)
		if _, err := f.Redeem(t.Context(), exchange); err != nil {
			t.Errorf("within 24 hours: %v", err)
		}
		time.Sleep(2 * time.Second)
		if _, err := f.Redeem(t.Context(), other); !fault.HasReason(err, fault.ExpiredToken) || !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("after 24 hours: %v", err)
		}
	})
}
