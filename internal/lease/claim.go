package lease

import (
	"context"
	"time"
)

// lookEvery is how often Claim looks at the replicas that were there before.
const lookEvery = time.Second

// leaveTime is how long leaving may take: whoever stops is in a hurry.
const leaveTime = 2 * time.Second

// Claim registers this replica and returns once it is certain that none that was
// there before lives. It returns one that does, if there is one; then this replica
// is registered no more. A replica that was not stopped in order is watched until
// it is certainly dead, for a whole lease at most.
func (k *Keeper) Claim(ctx context.Context) (owner *Replica, err error) {
	if err := k.Register(ctx); err != nil {
		return nil, err
	}
	if k.cfg.Store.Exclusive() {
		return nil, nil
	}
	if owner, err = k.outwait(ctx); owner != nil || err != nil {
		k.Leave(ctx)
	}
	return owner, err
}

// outwait watches the replicas that were there before.
func (k *Keeper) outwait(ctx context.Context) (owner *Replica, err error) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	beaten := time.Now()
	for told := false; ; {
		rows, err := k.cfg.Store.Replicas(ctx)
		if err != nil {
			return nil, err
		}
		now := time.Now()
		var doubtful *Replica
		for i, r := range rows {
			if !k.elders[r.ID] || r.TakenOverBy != "" {
				continue // it came later, was stopped, or was found dead
			}
			beaten, dead, err := k.look(ctx, &r, now)
			switch {
			case err != nil:
				return nil, err
			case beaten:
				return &r, nil
			case !dead:
				doubtful = &rows[i]
			default:
				// Whatever wakes up of it later finds that it was taken over.
				ok, err := k.takeOver(ctx, &r, now)
				if err != nil {
					return nil, err
				}
				if !ok {
					doubtful = &rows[i] // it has just beaten
				}
			}
		}
		if doubtful == nil {
			return nil, nil
		}
		if !told {
			told = true
			k.cfg.Log.Info("waiting before anything is served: another control plane was not stopped in order, or is live on this database; it is watched until that is certain",
				"replica", doubtful.ID, "host", doubtful.HostName, "at_most", Length.String())
		}
		if now.Sub(beaten) >= BeatEvery {
			beaten = now
			if err := k.beatOnce(ctx, now); err != nil {
				return nil, err
			}
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
		}
	}
}

func (k *Keeper) beatOnce(ctx context.Context, now time.Time) error {
	alive, err := k.cfg.Store.Beat(ctx, k.ID())
	if err != nil {
		return err
	}
	if !alive {
		return ErrLost
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.proof = now
	return nil
}

// Leave says that this replica has stopped in order, so that nobody has to wait for
// it. Its sessions, if it has some, are left to the next one. It must be called when
// Run has ended.
func (k *Keeper) Leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTime)
	defer cancel()
	err := k.cfg.Store.DeleteReplica(ctx, k.ID())
	if err == nil {
		err = k.cfg.Store.LeaveReplica(ctx, k.ID())
	}
	if err != nil {
		k.cfg.Log.Warn("the database could not be told that this control plane stops; the next one waits for a lease", "error", err)
	}
}
