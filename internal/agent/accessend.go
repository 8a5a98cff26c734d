package agent

import (
	"time"

	linkv1 "github.com/musterhq/muster/gen/muster/link/v1"
)

const (
	// accessWarning is how long before its end the access token is something to warn
	// of, and warnEvery how often.
	accessWarning = 14 * 24 * time.Hour
	warnEvery     = 24 * time.Hour
)

// accessEnd is when the access token ends, by the clock of this host. The control
// plane only says how long that is from now: no two clocks are compared.
type accessEnd struct {
	at     time.Time // zero when it does not end by itself
	warned time.Time
}

// learn takes what a welcome tells.
func (e *accessEnd) learn(w *linkv1.Welcome, now time.Time) {
	at := time.Time{}
	if w.GetTokenValidFor() != nil {
		at = now.Add(max(w.GetTokenValidFor().AsDuration(), 0))
	}
	if at.IsZero() || e.at.IsZero() || at.Sub(e.at).Abs() > time.Minute {
		e.warned = time.Time{} // another token, or another end
	}
	e.at = at
}

// warnOfEnd logs, once a day, that the access token ends soon. Nothing renews it
// by itself: who gave it an end meant that.
func (r *runner) warnOfEnd(now time.Time) {
	e := &r.accessEnd
	left := e.at.Sub(now)
	if e.at.IsZero() || left > accessWarning || now.Sub(e.warned) < warnEvery {
		return
	}
	e.warned = now
	at := e.at.UTC().Round(time.Second).Format(time.RFC3339)
	r.log.Warn("the access token of this runner ends soon, and the runner stops then", "ends", at, "hint", "muster runner tokens rotate "+r.identity.RunnerID)
	r.say("the access token of this runner ends at %s, and the runner stops then; 'muster runner tokens rotate %s' replaces it", at, r.identity.RunnerID)
}
