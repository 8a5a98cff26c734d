package confirmed

import (
	"context"
	"fmt"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/change"
	"github.com/musterhq/muster/internal/fault"
)

// maxNamed is how many credentials are named at most.
const maxNamed = 500

// told is what the log of this process was told.
type told struct{ doubted, far bool }

// store stores the state. Who is far off for the first time, or no longer, is
// written down with it.
func (c *Clock) store(ctx context.Context) error {
	s := c.state
	s.Alarmed = c.far()
	var made []Credential
	stored := false
	err := c.cfg.Store.Write(ctx, func(tx Tx) (err error) {
		made = nil
		if stored, err = tx.UpdateConfirmedTime(ctx, s); err != nil || !stored {
			return err
		}
		if s.Alarmed {
			// Further than now, since the next call may never come.
			err = tx.PutDoubtedTime(ctx, c.farSince, c.wall.Add(storeEvery+2*BeatEvery))
		}
		switch {
		case err != nil:
		case s.Alarmed && !c.base.Alarmed:
			err = record(ctx, tx, "clock.doubt")
		case !s.Alarmed && c.base.Alarmed:
			made, err = endDoubt(ctx, tx, "clock.agree")
		}
		return err
	})
	if err != nil {
		return err
	}
	if !stored {
		// Another process, or an operator, was faster. What they stored is judged with
		// the next beat.
		return c.reload(ctx)
	}
	s.Revision++
	c.mu.Lock()
	c.state, c.base, c.storedAt = s, s, c.read
	c.mu.Unlock()
	c.tell(made)
	return nil
}

// endDoubt forgets when the clock was far off, and returns the credentials that
// have such times.
func endDoubt(ctx context.Context, tx Tx, action string) ([]Credential, error) {
	made, err := tx.MadeInDoubt(ctx, maxNamed)
	if err != nil {
		return nil, err
	}
	if err := tx.DeleteDoubtedTimes(ctx); err != nil {
		return nil, err
	}
	return made, record(ctx, tx, action)
}

// record writes down what happened, in the log of the organization that operates
// the installation; before the first start is done there is none.
func record(ctx context.Context, tx Tx, action string) error {
	o, found, err := tx.Operator(ctx)
	if err != nil || !found {
		return err
	}
	return change.Write(ctx, tx, change.Record{Actor: access.System, Action: action, Object: access.OrganizationObject(o)})
}

// tell logs what is not as it was.
func (c *Clock) tell(made []Credential) {
	was := c.told
	c.told = told{doubted: c.state.Doubted, far: c.state.Alarmed}
	facts := []any{"clock", c.wall.UTC(), "confirmed", c.state.At.UTC(), "difference", Difference(c.wall.Sub(c.state.At))}
	switch {
	case c.told.far && !was.far:
		c.cfg.Log.Warn("the clock is far from the confirmed time, so nothing is removed by age: set the clock right, or if it is right, run \"muster admin clock confirm\"", facts...)
	case c.told.doubted && !was.doubted:
		c.cfg.Log.Info("the clock and the confirmed time differ: nothing is removed by age until they have agreed for a day of running time, or somebody runs \"muster admin clock confirm\"", facts...)
	case was.far && !c.told.far:
		c.cfg.Log.Warn("the clock is not far from the confirmed time any more", facts...)
	case was.doubted && !c.told.doubted:
		c.cfg.Log.Info("the clock and the confirmed time agree: removal by age goes on", facts...)
	}
	for _, m := range made {
		c.cfg.Log.Warn("this credential was made, or taken out of use, while the clock was far off: its end is not what was meant", m.facts()...)
	}
	if len(made) == maxNamed {
		c.cfg.Log.Warn("there may be more such credentials")
	}
}

func (m Credential) facts() []any {
	facts := []any{"kind", m.Kind, "id", m.ID, "made", m.MadeAt}
	if m.Owner != "" {
		facts = append(facts, "owner", m.Owner, "organization_id", m.Organization)
	}
	if m.Description != "" {
		facts = append(facts, "description", m.Description)
	}
	if !m.EndsAt.IsZero() {
		facts = append(facts, "ends", m.EndsAt)
	}
	return facts
}

// Read returns the state that is stored, and the credentials that were made while a
// clock was far off.
func Read(ctx context.Context, store Store) (s State, made []Credential, err error) {
	err = store.Write(ctx, func(tx Tx) error {
		if s, err = existing(ctx, tx); err != nil {
			return err
		}
		made, err = tx.MadeInDoubt(ctx, maxNamed)
		return err
	})
	return s, made, fault.Wrap(err, "reading the confirmed time")
}

func existing(ctx context.Context, tx Tx) (State, error) {
	s, found, err := tx.ConfirmedTime(ctx)
	if err == nil && !found {
		err = fault.New(fault.FailedPrecondition, fault.ReasonNotFound,
			"This database has no confirmed time yet. The next start of the control plane begins it.")
	}
	return s, err
}

// Confirm makes now the confirmed time of a store, as somebody who knows it says
// there. It returns the state from before, and the credentials that were made while
// a clock was far off.
func Confirm(ctx context.Context, store Store, now time.Time) (before State, made []Credential, err error) {
	err = store.Write(ctx, func(tx Tx) error {
		if before, err = existing(ctx, tx); err != nil {
			return err
		}
		s := before
		s.At, s.Alarmed = now, false
		s.watch(0, false)
		if ok, err := tx.UpdateConfirmedTime(ctx, s); err != nil || !ok {
			return fault.Lost(ok, err)
		}
		made, err = endDoubt(ctx, tx, "clock.confirm")
		return err
	})
	return before, made, fault.Wrap(err, "confirming the time")
}

// Difference says how far a clock is ahead of another one.
func Difference(ahead time.Duration) string {
	word := "ahead"
	if ahead < 0 {
		word = "behind"
	}
	ahead = ahead.Abs()
	if days := ahead / (24 * time.Hour); days >= 2 {
		return fmt.Sprintf("%d days %s", days, word)
	}
	return ahead.Round(time.Second).String() + " " + word
}

// Note says what people should know of the clock; empty when it is not far off.
func (c *Clock) Note() string {
	s, wall := c.Status()
	ahead := wall.Sub(s.At)
	if !far(ahead) {
		return ""
	}
	return fmt.Sprintf("The clock of this machine is %s of the confirmed time, which is %s, so nothing is removed by age. Set it right; or, if it is right, run \"muster admin clock confirm\" on this host.",
		Difference(ahead), s.At.UTC().Format(time.RFC3339))
}
