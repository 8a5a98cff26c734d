package robust_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/test/muster"
)

// A runner that is deleted finishes, removes its identity and exits.
func TestDeletingAConnectedRunner(t *testing.T) {
	t.Parallel()
	s := muster.Serve(t, muster.ServerOptions{})
	r := connected(t, s, "to be deleted")

	// While the runner cannot answer it is DELETING.
	r.host.Signal(t, syscall.SIGSTOP)
	r.delete(t, false)
	muster.Until(t, muster.Patience, func() error { return r.is(active, deleting) })
	r.delete(t, false) // changes nothing
	muster.Throughout(t, 5*time.Second, func() error { return r.is(active, deleting) })

	r.host.Signal(t, syscall.SIGCONT)
	if code := r.host.Wait(t, muster.Patience); code != 0 {
		t.Errorf("the runner exited with code %d", code)
	}
	muster.Until(t, 5*time.Second, func() error { return r.gone(t) })
	if _, err := os.Stat(r.host.Identity()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("its identity is still there: %v", err)
	}
	if err := r.tryDelete(t, false); connect.CodeOf(err) != connect.CodeNotFound {
		t.Errorf("deleting it again: %v", err)
	}
}

// A runner that does not answer is deleted when it had its time.
func TestDeletingAFrozenRunner(t *testing.T) {
	t.Parallel()
	s := muster.Serve(t, muster.ServerOptions{})
	r := connected(t, s, "frozen and deleted")
	r.host.Signal(t, syscall.SIGSTOP)
	r.delete(t, false)
	muster.Until(t, inactiveWithin, func() error { return r.gone(t) })
	// It learns of it when it wakes up.
	r.host.Signal(t, syscall.SIGCONT)
	r.host.Await(t, "deleted")
	r.host.Wait(t, muster.Patience)
}

// With force nothing is waited for.
func TestDeletingWithForce(t *testing.T) {
	t.Parallel()
	s := muster.Serve(t, muster.ServerOptions{})
	events := s.Admin().Watch(t)
	r := connected(t, s, "to be forced out")
	r.delete(t, true)
	if err := r.gone(t); err != nil {
		t.Error(err)
	}
	muster.Until(t, 5*time.Second, func() error {
		all := events.Of(t, r.id)
		if all[len(all)-1] != gitpodv1.ResourceOperation_RESOURCE_OPERATION_DELETE {
			return fmt.Errorf("the last event is %v", all[len(all)-1])
		}
		return nil
	})
	// The runner is told why, and does not knock for ever.
	r.host.Await(t, "deleted")
	r.host.Wait(t, muster.Patience)
}

func (r *subject) tryDelete(t *testing.T, force bool) error {
	_, err := r.api.Runners.DeleteRunner(t.Context(), connect.NewRequest(&gitpodv1.DeleteRunnerRequest{RunnerId: r.id, Force: force}))
	return err
}

func (r *subject) delete(t *testing.T, force bool) {
	t.Helper()
	if err := r.tryDelete(t, force); err != nil {
		t.Fatal(err)
	}
}

// gone tells whether the runner is not there any more.
func (r *subject) gone(t *testing.T) error {
	t.Helper()
	if got, err := r.api.Runner(t, r.id); connect.CodeOf(err) != connect.CodeNotFound {
		return fmt.Errorf("the runner is still there: %v, %w", got.GetStatus(), err)
	}
	return nil
}
