package agent

import (
	"errors"
	"time"

	linkv1 "github.com/musterhq/muster/gen/muster/link/v1"
)

// maxBeat is how long it takes at most to notice that time has jumped.
const maxBeat = time.Second

// keeper knows when to renew the lease of a link, and when to give it up. The
// zero keeper has no lease.
type keeper struct {
	lease, renewEvery time.Duration
	ticker            *time.Ticker
	sequence          uint64
	asked             map[uint64]time.Time // renewals that were not answered
	lastBeat          time.Time
	nextRenewal       time.Time
	giveUp            time.Time
	answered          bool // a renewal was
}

// start begins with a lease that was asked for at a time and granted now.
func (k *keeper) start(lease, renewEvery time.Duration, asked, now time.Time) {
	*k = keeper{
		lease: lease, renewEvery: renewEvery,
		ticker: time.NewTicker(max(min(maxBeat, renewEvery/2), time.Millisecond)),
		asked:  make(map[uint64]time.Time), lastBeat: now,
		// What connecting took is gone from the lease as this side counts it.
		nextRenewal: asked.Add(renewEvery), giveUp: now.Add(lease),
	}
}

func (k *keeper) stop() {
	if k.ticker != nil {
		k.ticker.Stop()
	}
}

// beat returns a channel with a value every now and then.
func (k *keeper) beat() <-chan time.Time {
	if k.ticker == nil {
		return nil
	}
	return k.ticker.C
}

// keep renews the lease when it is time.
func (l *link) keep(now time.Time) *ending {
	k := &l.keeper
	pause := elapsed(k.lastBeat, now)
	k.lastBeat = now
	l.r.warnOfEnd(now)
	switch {
	case pause > k.renewEvery:
		// This process was stopped or its machine suspended. If that was for longer
		// than the lease, the hold has run out and nothing is served until the
		// control plane confirms the epoch. It may still do so; if the connection is
		// dead, that shows soon.
		l.r.log.Warn("the process was suspended; asking whether it is still the runner", "for", pause.String())
		k.giveUp = now.Add(k.renewEvery)
		return l.renew(now)
	case !now.Before(k.giveUp):
		return &ending{why: lost, err: errors.New("the control plane did not confirm the lease in time")}
	case !now.Before(k.nextRenewal):
		return l.renew(now)
	}
	return nil
}

func (l *link) renew(now time.Time) *ending {
	k := &l.keeper
	k.sequence++
	k.asked[k.sequence] = now
	k.nextRenewal = now.Add(k.renewEvery)
	return l.put(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_Renewal{Renewal: &linkv1.Renewal{Sequence: k.sequence}}})
}

// renewed takes an answer to a renewal.
func (l *link) renewed(sequence uint64) {
	k := &l.keeper
	asked, known := k.asked[sequence]
	if !known {
		return
	}
	for s := range k.asked {
		if s <= sequence {
			delete(k.asked, s)
		}
	}
	k.answered = true
	l.r.hold.confirm(asked, k.lease)
	l.r.log.Debug("the lease was renewed", "renewal", sequence)
	// An answer from before a suspension confirms nothing any more.
	if elapsed(asked, time.Now()) < k.lease {
		k.giveUp = asked.Add(k.lease)
	}
}
