package fleet

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/seal"
)

// KeyOperation is what can happen to a runner's key. The numbers are those of
// the wire's RunnerKeyOperation, and stand in queries.
type KeyOperation int32

// The operations.
const (
	// KeyFirst is the first key of a runner, which is taken.
	KeyFirst KeyOperation = 1
	// KeyEndorsed is a key that the one in use has signed, which is taken.
	KeyEndorsed KeyOperation = 2
	// KeyPresented is any other new key, which waits for approval.
	KeyPresented KeyOperation = 3
	// KeyApproved is a key that waited and that a person approved.
	KeyApproved KeyOperation = 4
	// KeyWithdrawn is a key that waits no more, since the runner came back with
	// the one in use.
	KeyWithdrawn KeyOperation = 5
)

// KeyEvent is a line of the log of a runner's keys, which is only ever added to.
type KeyEvent struct {
	Runner    id.Runner
	Operation KeyOperation
	PublicKey []byte
	// SigningKey is empty when the runner has not proven that it is its own.
	SigningKey []byte
	Actor      access.Subject
	CreatedAt  time.Time
}

// Bounds of the key log.
const (
	// maxKeyLog is how many lines are returned.
	maxKeyLog = 1000
	// maxNewKeys is how many keys a runner may present in newKeysTime, and how
	// many it may endorse, so that one with a new key at every connection does not
	// fill the log. They count apart: who can present only stops no endorsement.
	maxNewKeys  = 20
	newKeysTime = time.Hour
)

func checkKeys(o *Opening) error {
	if len(o.PublicKey) != seal.KeySize {
		return fault.New(fault.FailedPrecondition, fault.MalformedFrame, "Hello.public_key must have %d bytes, has %d.", seal.KeySize, len(o.PublicKey))
	}
	if n := len(o.SigningKey); n != 0 && n != ed25519.PublicKeySize {
		return fault.New(fault.FailedPrecondition, fault.MalformedFrame, "Hello.signing_key must have %d bytes, has %d.", ed25519.PublicKeySize, n)
	}
	return nil
}

// takeKey takes the first public key of a runner, and one that the key in use
// has signed. Any other waits for approval: whoever stole the runner's token
// must not get its secrets. The runner is locked.
func (s *Service) takeKey(ctx context.Context, tx Tx, r *Runner, o Opening) error {
	if len(r.PublicKey) == 0 {
		r.PublicKey = o.PublicKey
		if err := s.reseal(r); err != nil {
			return err
		}
		return logKey(ctx, tx, r, o, KeyFirst)
	}
	if bytes.Equal(r.PublicKey, o.PublicKey) {
		return keepKey(ctx, tx, r, o)
	}
	endorsed, err := isEndorsed(ctx, tx, r, o)
	switch {
	case err != nil:
		return err
	case endorsed:
		if err := boundNewKeys(ctx, tx, r, KeyEndorsed); err != nil {
			return err
		}
		r.PublicKey, r.PendingKey = o.PublicKey, nil
		if err := emitOutdated(ctx, tx, r); err != nil {
			return err
		}
		return logKey(ctx, tx, r, o, KeyEndorsed)
	case bytes.Equal(r.PendingKey, o.PublicKey):
		return nil
	}
	if err := boundNewKeys(ctx, tx, r, KeyPresented); err != nil {
		return err
	}
	r.PendingKey = o.PublicKey
	return logKey(ctx, tx, r, o, KeyPresented)
}

// keepKey takes back a key that waits, once the host with the key in use is
// back, and logs a key in use that is older than the log. Both take proof: a
// public key is nothing that only its owner knows.
func keepKey(ctx context.Context, tx Tx, r *Runner, o Opening) error {
	if len(o.SigningKey) == 0 {
		return nil
	}
	if len(r.PendingKey) > 0 {
		withdrawn := Opening{PublicKey: r.PendingKey}
		r.PendingKey = nil
		var err error
		if withdrawn.SigningKey, _, err = tx.LoggedKey(ctx, r.ID, withdrawn.PublicKey); err != nil {
			return err
		}
		if err := logKey(ctx, tx, r, withdrawn, KeyWithdrawn); err != nil {
			return err
		}
	}
	if _, logged, err := tx.LoggedKey(ctx, r.ID, r.PublicKey); err != nil || logged {
		return err
	}
	return logKey(ctx, tx, r, o, KeyFirst)
}

// isEndorsed tells whether the key in use has signed the one that the runner
// came with. An endorsement is good for a key that was never in use, so that an
// old one cannot bring back a key that was given up.
func isEndorsed(ctx context.Context, tx Tx, r *Runner, o Opening) (bool, error) {
	if len(o.Endorsement) == 0 {
		return false, nil
	}
	inUse, _, err := tx.LoggedKey(ctx, r.ID, r.PublicKey)
	if err != nil || !seal.Endorsed(inUse, string(r.ID), o.PublicKey, o.SigningKey, o.Endorsement) {
		return false, err
	}
	uses, err := tx.CountKeyUses(ctx, r.ID, o.PublicKey)
	return uses == 0, err
}

func boundNewKeys(ctx context.Context, tx Tx, r *Runner, op KeyOperation) error {
	times, err := tx.KeyTimes(ctx, r.ID, op, maxNewKeys)
	if err != nil || len(times) < maxNewKeys || time.Since(times[maxNewKeys-1]) > newKeysTime {
		return err
	}
	return fault.New(fault.FailedPrecondition, fault.KeyMismatch,
		"This runner came with %d other keys within an hour, so no further one is taken. Its identity does not survive on its host, or several hosts share its token: look at \"muster runner keys %s\".",
		maxNewKeys, r.ID).WithRetryAfter(newKeysTime / maxNewKeys)
}

// emitOutdated tells watchers of the LLM integrations of a runner that got
// another key: those with a secret for the key before are unavailable now.
func emitOutdated(ctx context.Context, tx Tx, r *Runner) error {
	integrations, err := tx.LLMIntegrationsOf(ctx, r.ID)
	for _, i := range integrations {
		tx.Emit(event.Event{Operation: event.Updated, Object: r.Object().Of(resource.RunnerLLMIntegration, i)})
	}
	return err
}

// keyActions are the verbs of the audit entries.
var keyActions = map[KeyOperation]string{
	KeyFirst: "runner.key.present", KeyEndorsed: "runner.key.endorse", KeyPresented: "runner.key.present", KeyWithdrawn: "runner.key.withdraw",
}

// logKey stores the keys of a runner and adds what it did to them to the log.
func logKey(ctx context.Context, tx Tx, r *Runner, o Opening, op KeyOperation) error {
	if ok, err := tx.UpdateRunner(ctx, *r); err != nil || !ok {
		return fault.Lost(ok, err)
	}
	r.Revision++
	err := tx.AppendKey(ctx, KeyEvent{
		Runner: r.ID, Operation: op, PublicKey: o.PublicKey, SigningKey: o.SigningKey, Actor: r.subject(), CreatedAt: time.Now(),
	})
	if err != nil {
		return err
	}
	return record(ctx, tx, r, r.subject(), keyActions[op], 0)
}

// subject is the runner as somebody who acts.
func (r *Runner) subject() access.Subject {
	return access.Subject{Principal: access.PrincipalRunner, ID: string(r.ID)}
}

// ApproveKey makes the waiting key of a runner the one that secrets are sealed
// to. What was sealed to the old key must be set again.
func (s *Service) ApproveKey(ctx context.Context, c access.Caller, want id.Runner, fingerprint string) error {
	err := s.store.Write(ctx, func(tx Tx) error {
		if err := tx.LockRunner(ctx, want); err != nil {
			return err
		}
		r, found, err := tx.Runner(ctx, want)
		if err != nil {
			return err
		}
		if err := Check(c, access.RunnerKeys, &r, found, want); err != nil {
			return err
		}
		if len(r.PendingKey) == 0 || seal.Fingerprint(r.PendingKey) != fingerprint {
			return fault.New(fault.FailedPrecondition, fault.KeyMismatch, "No key with the fingerprint %s waits for approval. \"muster runner keys\" shows the one that does.", fingerprint)
		}
		r.PublicKey, r.PendingKey = r.PendingKey, nil
		r.ConfigurationRevision++
		r.UpdatedAt = time.Now()
		if ok, err := tx.UpdateRunner(ctx, r); err != nil || !ok {
			return fault.Lost(ok, err)
		}
		signing, _, err := tx.LoggedKey(ctx, want, r.PublicKey)
		if err != nil {
			return err
		}
		err = tx.AppendKey(ctx, KeyEvent{
			Runner: want, Operation: KeyApproved, PublicKey: r.PublicKey, SigningKey: signing, Actor: c.Subject, CreatedAt: r.UpdatedAt,
		})
		if err != nil {
			return err
		}
		if err := emitOutdated(ctx, tx, &r); err != nil {
			return err
		}
		emitStatus(tx, &r)
		return record(ctx, tx, &r, c.Subject, "runner.key.approve", event.Updated)
	})
	if !fault.MayHaveHappened(err) {
		return fault.Wrap(err, "approving the key")
	}
	s.links.ConfigurationChanged(want)
	return err
}

// Keys returns a runner for its keys, and the newest lines of their log, oldest
// first.
func (s *Service) Keys(ctx context.Context, c access.Caller, want id.Runner) (Runner, []KeyEvent, error) {
	r, found, err := s.store.Runner(ctx, want)
	if err != nil {
		return Runner{}, nil, fault.Wrap(err, "reading the runner")
	}
	if err := Check(c, access.RunnerKeys, &r, found, want); err != nil {
		return Runner{}, nil, err
	}
	log, err := s.store.KeyLog(ctx, want, maxKeyLog)
	return r, log, fault.Wrap(err, "reading the log of a runner's keys")
}
