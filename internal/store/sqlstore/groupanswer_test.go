package sqlstore

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/identity"
)

// A call that failed because of what another call of its batch wrote is
// answered when that is committed: who is told "it exists" can read it.
func TestAFailureIsAnsweredAfterTheCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := Open(t.Context(), Options{DataDir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close() //nolint:errcheck // the test is over
		errThere := errors.New("it is there already")
		o := identity.Organization{ID: id.Organization(id.New()), Name: "o", CreatedAt: time.Now()}
		first, release := make(chan struct{}), make(chan struct{})
		write := func(fn func(tx *Tx) error) error { return s.write(context.Background(), fn) }
		go func() {
			if err := write(func(*Tx) error {
				close(first)
				<-release
				return nil
			}); err != nil {
				t.Error(err)
			}
		}()
		<-first
		for range 20 {
			go func() {
				err := write(func(tx *Tx) error {
					if _, found, err := tx.Organization(t.Context(), o.ID); err != nil || found {
						return errors.Join(err, errThere)
					}
					return tx.InsertOrganization(t.Context(), o)
				})
				if _, found, rerr := s.Identity().Organization(t.Context(), o.ID); rerr != nil || !found {
					t.Errorf("told %v, and then found nothing: %v", err, rerr)
				}
			}()
		}
		synctest.Wait() // all of them wait
		close(release)
		synctest.Wait()
	})
}
