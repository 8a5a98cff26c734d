package keyring

import (
	"context"
	"errors"
	"io/fs"
	"syscall"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/change"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/seal"
)

// secretKey lets one rotation of the secret-key file run at a time.
type secretKey struct{ turn chan struct{} }

func newSecretKey() secretKey { return secretKey{turn: make(chan struct{}, 1)} }

func (s secretKey) lock(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fault.Wrap(ctx.Err(), "waiting for another rotation of the secret-key file")
	}
}

func (s secretKey) unlock() { <-s.turn }

// RotateSecretKey puts a new key into the secret-key file, encrypts everything
// that is under the older ones anew, and takes them out of the file. It returns
// how many secrets those were. Whatever interrupts it, the file always opens
// everything; Run finishes the rest.
func (s *Service) RotateSecretKey(ctx context.Context, c access.Caller) (int, error) {
	operator := access.OrganizationObject(c.Organization)
	if err := access.Check(c, access.InstallationManage, operator); err != nil {
		return 0, err
	}
	if err := s.secret.lock(ctx); err != nil {
		return 0, err
	}
	defer s.secret.unlock()
	next, err := s.cfg.Key.Add()
	if err != nil {
		return 0, fileFault(err)
	}
	defer next.Discard()
	// Before the file: it must not change without an entry.
	err = s.cfg.Store.Write(ctx, func(tx Tx) error {
		return change.Write(ctx, tx, change.Record{Actor: c.Subject, Action: "secret_key.rotate", Object: operator})
	})
	if err != nil {
		return 0, fault.Wrap(err, "rotating the secret-key file")
	}
	if err := next.Commit(); err != nil {
		return 0, fileFault(err)
	}
	// A caller who goes away now does not leave it half done.
	return s.finish(context.WithoutCancel(ctx))
}

// finish encrypts anew what is under older keys of the file, and takes them out.
func (s *Service) finish(ctx context.Context) (int, error) {
	n, err := s.cfg.Store.Rewrap(ctx, func(secret seal.Secret, name string) (seal.Secret, error) {
		again, err := s.cfg.Key.Rewrap(secret, name)
		if err != nil {
			return nil, fault.New(fault.FailedPrecondition, fault.KeyMismatch,
				"The secret %q cannot be opened with any key of the secret-key file, so the rotation is not finished and the older keys stay in the file. Set it again, or delete what it belongs to; the rest is done within a minute.", name).WithCause(err)
		}
		return again, nil
	})
	if err != nil {
		return n, fault.Wrap(err, "encrypting secrets under the new secret key")
	}
	if err := s.cfg.Key.Forget(); err != nil {
		return n, fileFault(err)
	}
	s.cfg.Log.Info("the secret-key file was rotated", "rewrapped", n)
	return n, nil
}

// resume finishes a rotation that was interrupted.
func (s *Service) resume(ctx context.Context) {
	if s.cfg.Key.Older() == 0 || s.secret.lock(ctx) != nil {
		return
	}
	defer s.secret.unlock()
	if s.cfg.Key.Older() == 0 {
		return
	}
	if _, err := s.finish(ctx); err != nil && ctx.Err() == nil {
		s.cfg.Log.Error("a rotation of the secret-key file is not finished; trying again in a minute", "retry_in", refreshEvery.Round(time.Second), "error", err)
	}
}

// fileFault says what an operator has to do about the file.
func fileFault(err error) error {
	switch {
	case errors.Is(err, seal.ErrKeyFileChanged):
		return fault.New(fault.FailedPrecondition, fault.KeyMismatch,
			"The secret-key file was changed since this control plane was started, so it is left as it is. Restart the control plane, then try again.").WithCause(err)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.EROFS), errors.Is(err, syscall.EBUSY):
		return fault.New(fault.FailedPrecondition, fault.StorageUnavailable,
			"The secret-key file cannot be replaced: the control plane must be allowed to write to its folder. The keys that were in it still work.").WithCause(err)
	default:
		return fault.New(fault.Unavailable, fault.StorageUnavailable,
			"The secret-key file cannot be replaced; the log has the reason. The keys that were in it still work.").WithCause(err)
	}
}
