package auditlog

import (
	"context"
	"errors"
	"time"

	"github.com/musterhq/muster/internal/id"
)

// Times of the worker.
const (
	// placeEvery is how often it looks for entries without a place.
	placeEvery = time.Second
	// signEvery is how often it signs the end of one chain, at most; so the end is
	// never without a signature for longer.
	signEvery = 10 * time.Second
	// retainEvery is how often it removes what is too old.
	retainEvery = time.Hour
	// retryAfter is how long it rests when something failed.
	retryAfter = 10 * time.Second
	// lastPass is how long it may take to chain and sign the rest at the end.
	lastPass = 2 * time.Second
)

// Run gives entries their places, signs the chains and removes what is too old,
// until ctx ends; then it chains and signs what there is, which takes lastPass
// at most. Several replicas may run at once: they do the same work and one of
// them gets it done.
func (s *Service) Run(ctx context.Context) {
	w := worker{Service: s, signed: map[id.Organization]time.Time{}}
	for {
		pause := placeEvery
		if err := w.pass(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("the audit log could not be chained or signed; it will be tried again", "error", err)
			pause = retryAfter
		}
		select {
		case <-ctx.Done():
			w.finish(ctx)
			return
		case <-time.After(pause):
		}
	}
}

// finish leaves nothing without a place or a signature, if the database lets it.
func (w *worker) finish(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastPass)
	defer cancel()
	clear(w.signed) // what was signed a moment ago is due too
	if err := w.chain(ctx); err != nil {
		w.log.Warn("the last entries of the audit log are not chained or signed; the next start does it", "error", err)
	}
}

// worker is what Run remembers.
type worker struct {
	*Service
	// signed is when the end of each chain was last signed.
	signed   map[id.Organization]time.Time
	retained time.Time
}

// pass does what is due. What fails for one organization keeps none of the
// others waiting.
func (w *worker) pass(ctx context.Context) error {
	var errs []error
	first := w.retained.IsZero()
	if first || time.Since(w.retained) >= retainEvery {
		w.retained = time.Now()
		errs = append(errs, w.findUnsigned(ctx), w.retain(ctx))
	}
	return errors.Join(append(errs, w.chain(ctx))...)
}

// chain places all entries, and signs the chains that are due.
func (w *worker) chain(ctx context.Context) error {
	var errs []error
	for o := id.Organization(""); ; {
		next, ok, err := w.store.UnchainedOrganization(ctx, o)
		if err != nil || !ok {
			errs = append(errs, err)
			break
		}
		errs = append(errs, w.place(ctx, next))
		o = next
	}
	return errors.Join(append(errs, w.signDue(ctx))...)
}

// findUnsigned finds what another process left without a signature.
func (w *worker) findUnsigned(ctx context.Context) error {
	chains, err := w.store.UnsignedChains(ctx)
	for _, c := range chains {
		w.setUnsigned(c.Organization, true)
	}
	return err
}

// place places all entries of an organization, and signs meanwhile if there are
// many.
func (w *worker) place(ctx context.Context, o id.Organization) error {
	for {
		n, err := w.placeBatch(ctx, o)
		if err != nil || n < batch {
			return err
		}
		if err := w.signDue(ctx); err != nil {
			return err
		}
	}
}

// signDue signs the chains that wait for it and were not signed a moment ago.
func (w *worker) signDue(ctx context.Context) error {
	w.mu.Lock()
	var due []id.Organization
	for o := range w.unsigned {
		if last, ok := w.signed[o]; !ok || time.Since(last) >= signEvery {
			due = append(due, o)
		}
	}
	w.mu.Unlock()
	var errs []error
	for _, o := range due {
		err := w.signEnd(ctx, o)
		if err == nil {
			w.signed[o] = time.Now()
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
