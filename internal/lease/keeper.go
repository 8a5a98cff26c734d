package lease

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/musterhq/muster/internal/clock"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/pace"
)

// Timing of the replica lease.
const (
	// BeatEvery is how often a replica increases its counter.
	BeatEvery = 5 * time.Second
	// Length is how long a counter must stand still before the replica is taken
	// over, and how long a replica trusts its last beat.
	Length = 15 * time.Second
)

// Config has what a Keeper needs.
type Config struct {
	Store    Store
	HostName string
	// Grace is how long the runners of a dead replica have to come back: one
	// runner lease.
	Grace time.Duration
	// EndSessions ends the live sessions of a dead replica.
	EndSessions func(ctx context.Context, replica string) (int, error)
	// Lost is called when the replica may no longer hold sessions: it must close
	// every link before it returns.
	Lost func(cause error)
	// Peer is called when this replica should give way to another live one on the
	// same database. Of two replicas only the one that came later is asked to.
	Peer func(Replica)
	// Beaten, when set, is told how each beat of Run went.
	Beaten func(error)
	Log    *slog.Logger
}

// Keeper keeps the lease of this process and takes over from dead ones.
type Keeper struct {
	cfg Config

	// complaints are those of a lease that cannot be renewed.
	complaints *pace.Lines

	// proving is held during a beat and what follows from it.
	proving sync.Mutex

	mu    sync.Mutex
	id    string
	proof time.Time // of the last beat that counted; zero while the lease is lost
	// elders were there when this replica came.
	elders map[string]bool

	// Claim and, after it, Run use what follows.
	looked time.Time   // when the other replicas were last looked at
	buried chan string // gets a dead replica when its sessions have ended
	busy   bool        // one is being buried
	seen   map[string]sighting
	heirs  map[string]time.Time // dead replica -> when its sessions end
}

type sighting struct {
	beat  int64
	since time.Time
	gone  bool
}

// look looks at another replica. It tells whether it has beaten since it was last
// looked at, and whether it is certainly dead.
func (k *Keeper) look(ctx context.Context, r *Replica, now time.Time) (beaten, dead bool, err error) {
	last, known := k.seen[r.ID]
	beaten = known && last.beat != r.Beat
	if !known || beaten {
		last = sighting{beat: r.Beat, since: now}
	}
	gone := false
	if r.TakenOverBy == "" {
		if gone, err = k.cfg.Store.Gone(ctx, r.ID); err != nil {
			return false, false, err
		}
	}
	// A process whose connection broke has another one before it is looked at again.
	dead = k.cfg.Store.Exclusive() || r.left() || gone && last.gone || now.Sub(last.since) >= Length
	last.gone = gone
	k.seen[r.ID] = last
	return beaten, dead, nil
}

// ErrLost is the cause that Lost gets.
var ErrLost = errors.New("lease: this control plane could not renew its lease in time, or was taken over")

// New makes a keeper; Claim must be called before anything else.
func New(cfg Config) *Keeper {
	return &Keeper{cfg: cfg, complaints: pace.NewLines(time.Minute, 1), buried: make(chan string, 1), seen: map[string]sighting{}, heirs: map[string]time.Time{}}
}

// Register writes the row of this replica, under a fresh id.
func (k *Keeper) Register(ctx context.Context) error {
	fresh := id.New()
	begun := time.Now()
	rows, err := k.cfg.Store.RegisterReplica(ctx, Replica{ID: fresh, HostName: k.cfg.HostName, StartedAt: begun})
	if err != nil {
		return err
	}
	elders := map[string]bool{}
	for _, r := range rows {
		elders[r.ID] = true
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.id, k.proof, k.elders = fresh, begun, elders
	return nil
}

// ID is the replica's id, which sessions carry. It changes when the replica was
// taken over and registered anew.
func (k *Keeper) ID() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.id
}

// Held tells whether the replica may open and judge sessions.
func (k *Keeper) Held() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return !k.proof.IsZero() && time.Since(k.proof) < Length
}

// Prove beats now. An error means that the lease is not proven; the links are
// closed by then if it is lost.
func (k *Keeper) Prove(ctx context.Context) error {
	k.proving.Lock()
	defer k.proving.Unlock()
	begun := time.Now()
	alive, err := k.cfg.Store.Beat(ctx, k.ID())
	switch {
	case err == nil && alive:
		k.mu.Lock()
		k.proof = begun
		k.mu.Unlock()
		return nil
	case err == nil:
		k.lose("another replica took over")
		if err := k.Register(ctx); err != nil {
			return err
		}
		return ErrLost
	case k.cfg.Store.Exclusive():
		// The database cannot be written, and nobody else can have it. What the
		// links do goes on, as far as it needs no writing.
		k.mu.Lock()
		k.proof = begun
		k.mu.Unlock()
		return err
	default:
		if !k.Held() {
			k.lose("the database did not answer: " + err.Error())
		}
		return err
	}
}

func (k *Keeper) lose(why string) {
	k.mu.Lock()
	had := !k.proof.IsZero()
	k.proof = time.Time{}
	k.mu.Unlock()
	if had {
		k.cfg.Log.Warn("the lease of this control plane is lost; its links are closed and runners will reconnect", "why", why)
		k.cfg.Lost(ErrLost)
	}
}

// Run beats and watches the other replicas until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	tick := time.NewTicker(BeatEvery)
	defer tick.Stop()
	var burials sync.WaitGroup
	defer burials.Wait()
	for {
		// A beat that hangs must not outlive the lease unnoticed.
		beat, cancel := context.WithTimeout(ctx, BeatEvery)
		err := k.Prove(beat)
		cancel()
		if k.cfg.Beaten != nil && ctx.Err() == nil {
			k.cfg.Beaten(err)
		}
		if err != nil && ctx.Err() == nil {
			if may, left := k.complaints.Take(time.Now()); may {
				k.cfg.Log.Warn("the lease of this control plane could not be renewed; it is tried again every few seconds", "error", err, "failed_before", left)
			}
		}
		if err == nil {
			look, cancel := context.WithTimeout(ctx, BeatEvery)
			err := k.observe(look)
			cancel()
			if err == nil {
				k.buryNext(ctx, &burials)
			} else if ctx.Err() == nil {
				k.cfg.Log.Warn("the other control planes could not be looked at; trying again", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case dead := <-k.buried:
			k.busy = false
			delete(k.heirs, dead)
			delete(k.seen, dead)
		case <-tick.C:
		}
	}
}

// observe takes over replicas whose counter stands still.
func (k *Keeper) observe(ctx context.Context) error {
	rows, err := k.cfg.Store.Replicas(ctx)
	if err != nil {
		return err
	}
	self, now := k.ID(), time.Now()
	if clock.Gap(k.looked, now) > 3*BeatEvery {
		// Nobody could come back while this process or the database was away.
		for dead := range k.heirs {
			k.heirs[dead] = now.Add(k.cfg.Grace)
		}
	}
	k.looked = now
	present := map[string]bool{}
	for _, r := range rows {
		present[r.ID] = true
	}
	for _, r := range rows {
		if r.ID == self {
			continue
		}
		if _, mine := k.heirs[r.ID]; mine && r.TakenOverBy == self {
			continue
		}
		beaten, dead, err := k.look(ctx, &r, now)
		if err != nil {
			return err
		}
		if beaten && r.TakenOverBy == "" && k.givesWay(r.ID) {
			k.cfg.Peer(r)
		}
		// What has an heir is left to it while the heir is there.
		orphan := r.TakenOverBy == "" || r.TakenOverBy == self || r.left() || !present[r.TakenOverBy]
		if dead && orphan {
			if _, err := k.takeOver(ctx, &r, now); err != nil {
				return err
			}
		}
	}
	for gone := range k.seen {
		if !present[gone] {
			delete(k.seen, gone)
		}
	}
	return nil
}

// takeOver makes this replica the heir of a dead one; false means that it lives, or
// has another heir.
func (k *Keeper) takeOver(ctx context.Context, dead *Replica, now time.Time) (bool, error) {
	ok, err := k.cfg.Store.TakeOver(ctx, dead.ID, dead.Beat, k.ID())
	if ok {
		k.heirs[dead.ID] = now.Add(k.cfg.Grace)
		k.cfg.Log.Info("taking over from a control plane that stopped; its runners have one lease to come back", "replica", dead.ID, "host", dead.HostName)
	}
	return ok, err
}

// givesWay tells whether this replica came later than another one.
func (k *Keeper) givesWay(other string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.cfg.Peer != nil && k.elders[other]
}

// buryNext ends the sessions of a replica that was taken over a grace ago. That
// may take longer than a lease, so it must not keep the beat waiting.
func (k *Keeper) buryNext(ctx context.Context, burials *sync.WaitGroup) {
	if k.busy {
		return
	}
	for dead, at := range k.heirs {
		if time.Now().Before(at) {
			continue
		}
		k.busy = true
		burials.Go(func() {
			if err := k.bury(ctx, dead); err != nil && ctx.Err() == nil {
				k.cfg.Log.Warn("the sessions of a control plane that stopped could not be ended; trying again", "replica", dead, "error", err)
				dead = "" // the next tick tries again
			}
			k.buried <- dead
		})
		return
	}
}

func (k *Keeper) bury(ctx context.Context, dead string) error {
	ended, err := k.cfg.EndSessions(ctx, dead)
	if err != nil {
		return err
	}
	if err := k.cfg.Store.DeleteReplica(ctx, dead); err != nil {
		return err
	}
	k.cfg.Log.Info("the take-over is complete", "replica", dead, "runners_lost", ended)
	return nil
}
