package cli_test

import (
	"strings"
	"testing"
	"time"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
)

func TestWatchRunners(t *testing.T) {
	p := newPlane(t)
	p.add("lab", inactive)
	b := start(t, "runner", "watch")
	if got := next(t, b.notes); got != "Watching 1 runner." {
		t.Fatalf("it began with %q", got)
	}
	if got := strings.Fields(next(t, b.lines)); got[0] != "TIME" || got[4] != "PHASE" {
		t.Fatalf("the header is %q", got)
	}
	p.set(runnerID(1), active, "")
	want := "12:00:00  UPDATE_STATUS  lab   " + runnerID(1) + "  ACTIVE    -"
	if got := next(t, b.lines); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	p.remove(runnerID(1))
	want = "12:00:00  DELETE         lab   " + runnerID(1) + "  DELETED   -"
	if got := next(t, b.lines); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	b.interrupt()
	if code := b.end(t); code != 0 {
		t.Errorf("after an interrupt the exit code is %d", code)
	}
}

// What changes while nobody watches is found by listing again.
func TestWatchResumes(t *testing.T) {
	p := newPlane(t)
	p.add("steady", active)
	p.add("goes", active)
	p.add("changes", active)
	b := start(t, "runner", "watch", "-o", "json")
	next(t, b.notes)
	p.cut(func() {
		p.runners[2].Status.Phase = inactive
		p.runners = append(p.runners[:1], p.runners[2])
	})
	if got := next(t, b.notes); !strings.Contains(got, "muster: The control plane is shutting down; trying again in ") {
		t.Errorf("it says %q", got)
	}
	changed, gone := next(t, b.lines), next(t, b.lines)
	if !strings.HasPrefix(changed, `{"event":{"operation":"RESOURCE_OPERATION_UPDATE_STATUS","resourceType":"RESOURCE_TYPE_RUNNER","resourceId":"`+runnerID(3)) ||
		!strings.Contains(changed, `"phase":"RUNNER_PHASE_INACTIVE"`) {
		t.Errorf("the change that was missed is %s", changed)
	}
	if !strings.Contains(gone, `"operation":"RESOURCE_OPERATION_DELETE"`) || !strings.Contains(gone, runnerID(2)) {
		t.Errorf("the deletion that was missed is %s", gone)
	}
	p.set(runnerID(1), degraded, "")
	if got := next(t, b.lines); !strings.Contains(got, `"phase":"RUNNER_PHASE_DEGRADED"`) {
		t.Errorf("the new stream delivers %s", got)
	}
}

// A question is no part of another sentence.
func TestWatchSaysThatNobodyIsThere(t *testing.T) {
	newPlane(t)
	t.Setenv("MUSTER_SERVER", "http://127.0.0.1:1")
	b := start(t, "runner", "watch")
	if got := next(t, b.notes); !strings.Contains(got, "Is the control plane running there; trying again in ") {
		t.Errorf("it says %q", got)
	}
}

func TestListWatch(t *testing.T) {
	p := newPlane(t)
	p.add("lab", inactive)
	b := start(t, "runner", "list", "--watch")
	next(t, b.lines)
	if got := next(t, b.lines); !strings.Contains(got, "INACTIVE") {
		t.Errorf("the list has %q", got)
	}
	p.set(runnerID(1), active, "")
	if got := next(t, b.lines); !strings.Contains(got, "  ACTIVE  ") {
		t.Errorf("the change is %q", got)
	}
	b.interrupt()
	if code := b.end(t); code != 0 {
		t.Errorf("after an interrupt the exit code is %d", code)
	}
}

func TestWatchRefused(t *testing.T) {
	newPlane(t)
	t.Setenv("MUSTER_TOKEN", "wrong")
	if r := muster(t, "runner", "watch").want(t, 1); !strings.Contains(r.stderr, "unknown-token") {
		t.Errorf("a bad token gave %q", r.stderr)
	}
}

func TestWait(t *testing.T) {
	p := newPlane(t)
	p.add("lab", created)
	b := start(t, "runner", "wait", "lab", "--for", "active")
	if got := next(t, b.notes); got != `Runner "lab" is CREATED.` {
		t.Errorf("it began with %q", got)
	}
	p.set(runnerID(1), degraded, "no disk left")
	if got := next(t, b.notes); got != `Runner "lab" is DEGRADED (no disk left).` {
		t.Errorf("it went on with %q", got)
	}
	p.set(runnerID(1), active, "")
	if got := next(t, b.lines); got != `Runner "lab" is ACTIVE.` {
		t.Errorf("it ended with %q", got)
	}
	if code := b.end(t); code != 0 {
		t.Errorf("the exit code is %d", code)
	}
}

func TestWaitEnds(t *testing.T) {
	p := newPlane(t)
	p.add("lab", active)
	t.Run("at once", func(t *testing.T) {
		muster(t, "runner", "wait", "lab", "--for", "connected").want(t, 0)
	})
	t.Run("by timeout", func(t *testing.T) {
		r := muster(t, "runner", "wait", "lab", "--for", "inactive", "--timeout", "50ms").want(t, 1)
		if want := `muster: after 50ms runner "lab" is not inactive but ACTIVE`; !strings.Contains(r.stderr, want) {
			t.Errorf("it says %q", r.stderr)
		}
	})
	t.Run("by interrupt", func(t *testing.T) {
		b := start(t, "runner", "wait", "lab", "--for", "inactive")
		next(t, b.notes)
		b.interrupt()
		if code := b.end(t); code != 1 {
			t.Errorf("a wait that was not fulfilled exits with %d", code)
		}
	})
	t.Run("by deletion", func(t *testing.T) {
		waits := start(t, "runner", "wait", "lab", "--for", "deleted")
		other := start(t, "runner", "wait", "lab", "--for", "inactive")
		next(t, waits.notes)
		next(t, other.notes)
		p.remove(runnerID(1))
		if code := waits.end(t); code != 0 {
			t.Errorf("waiting for the deletion exits with %d", code)
		}
		if code := other.end(t); code != 1 {
			t.Errorf("waiting for something else exits with %d", code)
		}
		muster(t, "runner", "wait", "lab", "--for", "deleted").want(t, 0)
	})
}

// An event stream that does not concern runners, or says nothing, changes
// nothing.
func TestWatchIgnoresOthers(t *testing.T) {
	p := newPlane(t)
	p.add("lab", active)
	b := start(t, "runner", "watch", "-o", "json")
	next(t, b.notes)
	p.mu.Lock()
	for w := range p.watchers {
		w <- &gitpodv1.WatchEventsResponse{}
		w <- &gitpodv1.WatchEventsResponse{Operation: 1, ResourceType: gitpodv1.ResourceType_RESOURCE_TYPE_USER, ResourceId: meID}
	}
	p.mu.Unlock()
	p.set(runnerID(1), inactive, "")
	if got := next(t, b.lines); !strings.Contains(got, "RUNNER_PHASE_INACTIVE") {
		t.Errorf("the first line is %s", got)
	}
}

// A stream that stands ends the backoff of the outage before it, also when nothing
// happens on it; one that breaks as soon as it stands, over and over, does not.
func TestAWatchWaitsOutNoOldOutage(t *testing.T) {
	p := newPlane(t)
	p.stands = make(chan struct{}, 100)
	p.add("lab", active)
	b := start(t, "runner", "watch")
	next(t, b.notes)
	again := func() time.Duration {
		t.Helper()
		note := next(t, b.notes)
		_, in, _ := strings.Cut(note, "; trying again in ")
		d, err := time.ParseDuration(in)
		if err != nil {
			t.Fatalf("it says %q", note)
		}
		return d
	}
	<-p.stands
	p.cut(func() { p.away = 10 })
	again()
	for range 10 {
		again()
	}
	<-p.stands
	<-time.After(2500 * time.Millisecond)
	p.cut(func() {})
	if d := again(); d > 500*time.Millisecond {
		t.Errorf("after an outage that is over it waits %s", d)
	}
	var last time.Duration
	for range 8 {
		<-p.stands
		p.cut(func() {})
		last = again()
	}
	if last < 20*time.Second {
		t.Errorf("the eighth stream that broke at once is waited for %s", last)
	}
	// What happens on a stream shows that it works, and what the server says counts.
	<-p.stands
	p.set(runnerID(1), inactive, "")
	next(t, b.lines) // the header
	next(t, b.lines)
	p.cut(func() { p.told = 3 * time.Second })
	if d := again(); d < 3*time.Second || d > 3500*time.Millisecond {
		t.Errorf("told 3 s, it waits %s", d)
	}
	<-p.stands
	p.set(runnerID(1), active, "")
	next(t, b.lines)
	p.cut(func() { p.told = 1000 * time.Hour })
	if d := again(); d > 6*time.Minute {
		t.Errorf("told for ever, it waits %s", d)
	}
}
