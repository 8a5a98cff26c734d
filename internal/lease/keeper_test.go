package lease_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musterhq/muster/internal/lease"
)

// table is a database of replica rows, with sessions as a set of names.
type table struct {
	mu        sync.Mutex
	rows      map[string]lease.Replica
	live      map[string]bool // replicas with live sessions
	exclusive bool
	gone      map[string]bool // replicas of which the database knows that they are gone
	down      bool
	beats     int
	burial    time.Duration // how long it takes to end the sessions of a replica
}

func newTable() *table {
	return &table{rows: map[string]lease.Replica{}, live: map[string]bool{}, gone: map[string]bool{}}
}

var errDown = errors.New("the database is down")

func (t *table) do(fn func()) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.down {
		return errDown
	}
	fn()
	return nil
}

func (t *table) setDown(down bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.down = down
}

func (t *table) RegisterReplica(_ context.Context, r lease.Replica) (before []lease.Replica, err error) {
	err = t.do(func() {
		for _, other := range t.rows {
			before = append(before, other)
		}
		t.rows[r.ID] = r
		t.live[r.ID] = true
	})
	return before, err
}

func (t *table) LeaveReplica(_ context.Context, id string) error {
	return t.do(func() {
		if r, found := t.rows[id]; found && r.TakenOverBy == "" {
			r.TakenOverBy = id
			t.rows[id] = r
		}
	})
}

func (t *table) Replicas(context.Context) (out []lease.Replica, err error) {
	err = t.do(func() {
		for _, r := range t.rows {
			out = append(out, r)
		}
	})
	return out, err
}

func (t *table) Beat(_ context.Context, id string) (ok bool, err error) {
	err = t.do(func() {
		r, found := t.rows[id]
		if ok = found && r.TakenOverBy == ""; ok {
			r.Beat++
			t.rows[id] = r
			t.beats++
		}
	})
	return ok, err
}

func (t *table) TakeOver(_ context.Context, dead string, beat int64, by string) (ok bool, err error) {
	err = t.do(func() {
		r, found := t.rows[dead]
		if ok = found && r.Beat == beat; ok {
			r.Beat++
			r.TakenOverBy = by
			t.rows[dead] = r
		}
	})
	return ok, err
}

func (t *table) DeleteReplica(_ context.Context, id string) error {
	return t.do(func() {
		if !t.live[id] {
			delete(t.rows, id)
		}
	})
}

func (t *table) Gone(_ context.Context, id string) (gone bool, err error) {
	err = t.do(func() { gone = t.gone[id] })
	return gone, err
}

func (t *table) setGone(id string, gone bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.gone[id] = gone
}

func (t *table) Exclusive() bool { return t.exclusive }

func (t *table) hasLive(id string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.live[id]
}

func (t *table) heirOf(id string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.rows[id].TakenOverBy
}

// replica is one process in a test.
type replica struct {
	*lease.Keeper
	first string
	lost  int
	peers int
	ended []string
	stop  context.CancelFunc
}

const grace = 30 * time.Second

func start(t *testing.T, store *table) *replica {
	t.Helper()
	r := &replica{}
	r.Keeper = lease.New(lease.Config{
		Store: store, HostName: "h", Grace: grace,
		EndSessions: func(_ context.Context, dead string) (int, error) {
			time.Sleep(store.burial)
			return 1, store.do(func() { store.live[dead] = false; r.ended = append(r.ended, dead) })
		},
		Lost: func(error) { r.lost++ },
		Peer: func(lease.Replica) { r.peers++ },
		Log:  slog.New(slog.DiscardHandler),
	})
	if err := r.Register(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.first = r.ID()
	ctx, cancel := context.WithCancel(t.Context())
	r.stop = cancel
	go r.Run(ctx)
	return r
}

func TestARestartGivesRunnersOneLeaseToComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTable()
		store.exclusive = true
		old := start(t, store)
		time.Sleep(time.Minute)
		old.stop()
		synctest.Wait()
		next := start(t, store)
		time.Sleep(grace - time.Second)
		synctest.Wait()
		if !store.hasLive(old.first) {
			t.Error("sessions ended before their runners had a lease to come back")
		}
		time.Sleep(lease.BeatEvery + 2*time.Second)
		synctest.Wait()
		if store.hasLive(old.first) || len(next.ended) != 1 {
			t.Errorf("sessions of the dead replica: live %v, ended %v", store.hasLive(old.first), next.ended)
		}
		if len(store.rows) != 1 || !next.Held() || next.lost != 0 {
			t.Errorf("rows %v, held %v, lost %d", store.rows, next.Held(), next.lost)
		}
		next.stop()
	})
}

func TestASharedDatabaseIsTakenOverOnlyAfterALeaseOfSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTable()
		a, b := start(t, store), start(t, store)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if a.lost+b.lost != 0 || len(a.ended)+len(b.ended) != 0 {
			t.Fatal("a live replica was taken over")
		}
		a.stop()
		time.Sleep(lease.Length)
		synctest.Wait()
		if !store.hasLive(a.first) {
			t.Error("sessions ended without grace")
		}
		time.Sleep(grace + 3*lease.BeatEvery)
		synctest.Wait()
		if store.hasLive(a.first) {
			t.Error("the survivor did not end the dead replica's sessions")
		}
		b.stop()
	})
}

func TestOfTwoReplicasTheLaterGivesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTable()
		a := start(t, store)
		time.Sleep(time.Minute)
		b := start(t, store)
		time.Sleep(2*lease.BeatEvery + time.Second)
		synctest.Wait()
		if a.peers != 0 || b.peers == 0 {
			t.Errorf("asked to give way: the earlier %d times, the later %d times", a.peers, b.peers)
		}
		b.stop()
		time.Sleep(time.Minute)
		synctest.Wait()
		if a.peers != 0 || a.lost != 0 {
			t.Errorf("the earlier was asked %d times and lost its lease %d times", a.peers, a.lost)
		}
		a.stop()
	})
}

func TestAReplicaThatSleptFindsItselfTakenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTable()
		sleeper, other := start(t, store), start(t, store)
		time.Sleep(lease.BeatEvery / 2)
		sleeper.stop() // as if SIGSTOPped
		time.Sleep(time.Minute)
		synctest.Wait()
		if sleeper.Held() {
			t.Error("a replica that has not renewed for a minute trusts its lease")
		}
		if err := sleeper.Prove(t.Context()); !errors.Is(err, lease.ErrLost) {
			t.Errorf("Prove = %v, want ErrLost", err)
		}
		if sleeper.lost != 1 || sleeper.ID() == sleeper.first {
			t.Errorf("lost %d times, id changed: %v", sleeper.lost, sleeper.ID() != sleeper.first)
		}
		if err := sleeper.Prove(t.Context()); err != nil || !sleeper.Held() {
			t.Errorf("under its new id: %v", err)
		}
		other.stop()
	})
}

func TestTheLeaseIsLostWhenTheDatabaseStaysAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTable()
		r := start(t, store)
		time.Sleep(time.Minute)
		store.setDown(true)
		time.Sleep(lease.Length - lease.BeatEvery - time.Second)
		synctest.Wait()
		if r.lost != 0 || !r.Held() {
			t.Error("a short outage cost the lease")
		}
		time.Sleep(2 * lease.BeatEvery)
		synctest.Wait()
		if r.lost != 1 || r.Held() {
			t.Errorf("after a lease without the database: lost %d times, held %v", r.lost, r.Held())
		}
		store.setDown(false)
		time.Sleep(lease.BeatEvery)
		synctest.Wait()
		if !r.Held() || r.ID() != r.first || r.lost != 1 {
			t.Error("the lease did not come back with the database")
		}
		r.stop()
	})
}

func TestOfTwoHeirsOneInherits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTable()
		dead, a, b := start(t, store), start(t, store), start(t, store)
		time.Sleep(lease.BeatEvery + time.Second)
		dead.stop()
		// The first heir dies while it waits; the other inherits both.
		time.Sleep(lease.Length + 2*lease.BeatEvery)
		synctest.Wait()
		heir, other := a, b
		if store.heirOf(dead.first) == b.first {
			heir, other = b, a
		}
		heir.stop()
		time.Sleep(2*lease.Length + 2*grace + 6*lease.BeatEvery)
		synctest.Wait()
		if store.hasLive(dead.first) || store.hasLive(heir.first) || len(store.rows) != 1 {
			t.Errorf("left behind: %v, live %v", store.rows, store.live)
		}
		if len(other.ended) != 2 {
			t.Errorf("the survivor ended %v", other.ended)
		}
		other.stop()
	})
}

// Ending the sessions of a dead replica may take longer than a lease; the beat
// goes on meanwhile.
func TestABurialDoesNotKeepTheBeatWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTable()
		store.exclusive = true
		store.rows["dead"] = lease.Replica{ID: "dead"}
		store.live["dead"] = true
		store.burial = time.Minute
		r := start(t, store)
		for range 20 {
			time.Sleep(lease.BeatEvery)
			synctest.Wait()
			if !r.Held() || r.lost != 0 {
				t.Fatal("the lease was lost during a burial")
			}
		}
		if store.hasLive("dead") || len(r.ended) != 1 || len(store.rows) != 1 {
			t.Errorf("live %v, ended %v, rows %v", store.live, r.ended, store.rows)
		}
		r.stop()
	})
}

// While the database is away no runner can come back, so the grace begins anew.
func TestGraceBeginsAnewAfterAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTable()
		store.exclusive = true
		store.rows["dead"] = lease.Replica{ID: "dead"}
		store.live["dead"] = true
		r := start(t, store)
		time.Sleep(2 * time.Second)
		store.setDown(true)
		time.Sleep(time.Minute)
		store.setDown(false)
		time.Sleep(grace - lease.BeatEvery)
		synctest.Wait()
		if !store.hasLive("dead") {
			t.Error("sessions ended although nobody could come back")
		}
		time.Sleep(4 * lease.BeatEvery)
		synctest.Wait()
		if store.hasLive("dead") {
			t.Error("sessions of the dead replica go on")
		}
		r.stop()
	})
}

// Nobody else can take over a database that this process alone has: not being
// able to write to it ends no link.
func TestNobodyTakesOverWhatOneProcessHas(t *testing.T) {
	for _, exclusive := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			store := newTable()
			store.exclusive = exclusive
			r := start(t, store)
			time.Sleep(2 * time.Second)
			store.setDown(true)
			time.Sleep(time.Minute)
			synctest.Wait()
			if r.Held() != exclusive || (r.lost == 0) != exclusive {
				t.Errorf("exclusive %v: held %v, lost %d times", exclusive, r.Held(), r.lost)
			}
			r.stop()
		})
	}
}

// claim lets a replica claim a store, and tells how long that took.
func claim(t *testing.T, store *table) (k *lease.Keeper, owner *lease.Replica, took time.Duration) {
	t.Helper()
	k = lease.New(lease.Config{Store: store, HostName: "h", Grace: grace, Log: slog.New(slog.DiscardHandler)})
	begun := time.Now()
	owner, err := k.Claim(t.Context())
	if err != nil {
		t.Error(err)
	}
	return k, owner, time.Since(begun)
}

func TestWhoOwnsADatabaseIsDecidedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTable()
		if _, owner, took := claim(t, newTable()); owner != nil || took != 0 {
			t.Errorf("an empty database is owned by %v, after %v", owner, took)
		}
		a := start(t, store)
		time.Sleep(time.Minute)
		store.mu.Lock()
		store.live = map[string]bool{a.first: true}
		store.mu.Unlock()
		later, owner, took := claim(t, store)
		if owner == nil || owner.ID != a.first || took > lease.BeatEvery+2*time.Second {
			t.Errorf("a database that is in use is owned by %v, after %v", owner, took)
		}
		if later.ID() == "" || a.lost != 0 {
			t.Error("the owner lost its lease")
		}
		// One that crashed is watched for a lease.
		a.stop()
		synctest.Wait()
		_, owner, took = claim(t, store)
		if owner != nil || took < lease.Length || took > lease.Length+2*time.Second {
			t.Errorf("after a crash it is owned by %v, after %v", owner, took)
		}
	})
}

// Where the database knows who is connected, one that crashed is found gone by two
// looks; one whose connection broke for a moment is not.
func TestAReplicaThatIsGoneKeepsNobodyWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTable()
		a := start(t, store)
		time.Sleep(time.Minute)
		store.mu.Lock()
		store.live = map[string]bool{a.first: true}
		store.mu.Unlock()
		store.setGone(a.first, true)
		time.AfterFunc(time.Second/2, func() { store.setGone(a.first, false) })
		if _, owner, _ := claim(t, store); owner == nil || owner.ID != a.first {
			t.Errorf("a database whose owner has lost a connection is owned by %v", owner)
		}
		a.stop()
		synctest.Wait()
		store.setGone(a.first, true)
		if _, owner, took := claim(t, store); owner != nil || took > 2*time.Second {
			t.Errorf("after a crash it is owned by %v, after %v", owner, took)
		}
		if store.heirOf(a.first) == "" {
			t.Error("nobody took over")
		}
	})
}

func TestAReplicaThatWasStoppedInOrderKeepsNobodyWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTable()
		a := start(t, store)
		time.Sleep(time.Minute)
		a.stop()
		synctest.Wait()
		a.Leave(t.Context())
		if store.heirOf(a.first) != a.first {
			t.Fatalf("the rows are %v", store.rows)
		}
		if _, owner, took := claim(t, store); owner != nil || took != 0 {
			t.Errorf("it is owned by %v, after %v", owner, took)
		}
		// Its sessions are ended by the next one, after the grace.
		b := start(t, store)
		time.Sleep(grace + 2*lease.BeatEvery)
		synctest.Wait()
		if store.hasLive(a.first) || len(b.ended) == 0 {
			t.Errorf("its sessions are live; ended are those of %v", b.ended)
		}
		b.stop()
	})
}

// Of several that come at once to a database whose owner crashed, one stays.
func TestOfReplicasThatComeTogetherOneOwns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newTable()
		a := start(t, store)
		time.Sleep(time.Minute)
		a.stop()
		synctest.Wait()
		var mu sync.Mutex
		owners := 0
		for range 5 {
			go func() {
				if _, owner, _ := claim(t, store); owner == nil {
					mu.Lock()
					defer mu.Unlock()
					owners++
				}
			}()
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if owners != 1 {
			t.Errorf("%d of five own the database", owners)
		}
	})
}
