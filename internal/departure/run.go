package departure

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/audit"
	"github.com/musterhq/muster/internal/fault"
)

// Store is what Run needs of a database.
type Store interface {
	// Removals returns what is being removed, oldest first, up to limit of them.
	Removals(ctx context.Context, limit int) ([]Removal, error)
	// Write runs fn in one transaction; see identity.Store.
	Write(ctx context.Context, fn func(Tx) error) error
}

// Service removes what the first transactions left.
type Service struct {
	store Store
	links Links
	// changed makes what a subject may do be read anew; see identity.Service.Changed.
	changed func(context.Context, access.Subject)
	log     *slog.Logger
}

// New makes the service.
func New(store Store, links Links, changed func(context.Context, access.Subject), log *slog.Logger) *Service {
	return &Service{store: store, links: links, changed: changed, log: log}
}

const (
	// look is the time between two looks for something to do. Nobody waits for it:
	// what is left is hidden already.
	look = time.Second
	// retry is the time after a failure.
	retry = 10 * time.Second
	// several is how many removals take turns, and turnSteps how many steps one does.
	several, turnSteps = 16, 16
	// A step is as large as fits into stepTime on this machine, within these bounds.
	maxRows, minRows = 300, 20
	stepTime         = 10 * time.Millisecond
)

// Run brings removals to an end until ctx does. Several replicas may do so at
// once, and one goes on with what another left.
func (s *Service) Run(ctx context.Context) {
	timer := time.NewTimer(look)
	defer timer.Stop()
	rows := maxRows / 3
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		wait, err := s.round(ctx, &rows)
		if err != nil && ctx.Err() == nil {
			s.log.Error("what hangs on something that was deleted could not be removed; trying again", "in", retry.String(), "error", err)
			wait = retry
		}
		timer.Reset(wait)
	}
}

// round does some steps of each removal and returns how long to wait before the
// next round.
func (s *Service) round(ctx context.Context, rows *int) (time.Duration, error) {
	removals, err := s.store.Removals(ctx, several)
	if err != nil {
		return 0, fault.Wrap(err, "looking for what is being removed")
	}
	var errs []error
	for _, r := range removals {
		if err := s.turn(ctx, r, rows); err != nil { // the others go on
			errs = append(errs, err)
		}
	}
	if len(removals) == 0 {
		return look, nil
	}
	return 0, errors.Join(errs...)
}

// turn does some steps of one removal.
func (s *Service) turn(ctx context.Context, r Removal, rows *int) error {
	for range turnSteps {
		took, more, err := s.step(ctx, r, *rows)
		if err != nil || !more {
			return err
		}
		r.Step++
		switch {
		case took > stepTime:
			*rows = max(minRows, *rows/2)
		case took < stepTime/2:
			*rows = min(maxRows, *rows*2)
		}
		// Others write for twice as long as this did.
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(2 * max(took, time.Millisecond)):
		}
	}
	return nil
}

// step does the next step of a removal, in one transaction. It returns how long
// that took, and whether there is more for this process to do.
func (s *Service) step(ctx context.Context, r Removal, rows int) (took time.Duration, more bool, err error) {
	ctx = audit.WithRequestID(ctx, r.RequestID)
	var w work
	var began time.Time
	var taken, done bool
	err = s.store.Write(ctx, func(tx Tx) error {
		began, done = time.Now(), false
		w = work{tx: tx, rows: rows}
		var err error
		if taken, err = tx.TakeRemoval(ctx, r); err != nil || !taken {
			return err // another replica took it
		}
		if done, err = w.step(ctx, &r); err != nil || !done {
			return err
		}
		return tx.DeleteRemoval(ctx, r)
	})
	took = time.Since(began)
	if fault.MayHaveHappened(err) {
		w.gone.Tell(s.links)
		for _, subject := range w.gone.Shares() {
			s.changed(ctx, subject)
		}
	}
	if err != nil {
		return took, false, fault.Wrap(err, "removing what hangs on something that was deleted")
	}
	if done {
		s.log.Info("all that hung on something that was deleted is removed", "type", r.Object.Type.String(), "id", r.Object.ID, "steps", r.Step+1,
			"since", r.At.UTC().Format(time.RFC3339))
	}
	return took, taken && !done, nil
}
