package sqlstore

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/keyring"
	"github.com/musterhq/muster/internal/seal"
	"github.com/musterhq/muster/internal/store/sqlstore/query"
)

// rewrapBatch is how many runners share a transaction of Rewrap.
const rewrapBatch = 50

type rewrapper func(s seal.Secret, name string) (seal.Secret, error)

// Rewrap replaces what is wrapped under the secret-key file: the secrets that
// wait for a runner's first key, and the private halves of the signing keys in
// use. It goes through all runners in the order of their ids, so it sees every
// one that was there when it began.
func (s *Store) Rewrap(ctx context.Context, rewrap func(s seal.Secret, name string) (seal.Secret, error)) (int, error) {
	total := 0
	for after, more := "", true; more; {
		rows, err := s.q.ListRunnersWithoutKey(ctx, after, rewrapBatch)
		if err != nil {
			return total, s.explained(err, "looking for wrapped secrets")
		}
		if more = len(rows) == rewrapBatch; more {
			after = rows[len(rows)-1].ID
		}
		runners, err := waiting(rows)
		if err != nil {
			return total, s.explained(err, "looking for wrapped secrets")
		}
		if len(runners) == 0 {
			continue
		}
		n := 0
		err = s.write(ctx, func(tx *Tx) error {
			n = 0
			for _, r := range runners {
				done, err := tx.rewrapRunner(ctx, r, rewrap)
				if err != nil {
					return err
				}
				n += done
			}
			return nil
		})
		if err != nil {
			return total, err
		}
		total += n
	}
	n := 0
	err := s.write(ctx, func(tx *Tx) (err error) {
		n, err = tx.rewrapSigningKeys(ctx, rewrap)
		return err
	})
	return total + n, err
}

// waiting returns those runners that have wrapped secrets.
func waiting(rows []query.ListRunnersWithoutKeyRow) ([]id.Runner, error) {
	var found []id.Runner
	for _, row := range rows {
		r := fleet.Runner{ID: id.Runner(row.ID)}
		if err := json.Unmarshal([]byte(row.Configuration), &r.Configuration); err != nil {
			return nil, fmt.Errorf("reading the configuration of runner %s: %w", row.ID, err)
		}
		if slices.ContainsFunc(r.Secrets(), func(s fleet.Secret) bool { return s.Value.Wrapped() }) {
			found = append(found, r.ID)
		}
	}
	return found, nil
}

func (tx *Tx) rewrapRunner(ctx context.Context, want id.Runner, rewrap rewrapper) (n int, err error) {
	if err := tx.LockRunner(ctx, want); err != nil {
		return 0, err
	}
	r, found, err := tx.Runner(ctx, want)
	if err != nil || !found {
		return 0, err
	}
	for _, s := range r.Secrets() {
		if !s.Value.Wrapped() {
			continue
		}
		fresh, err := rewrap(*s.Value, s.Name)
		if err != nil {
			return 0, err
		}
		if !slices.Equal(fresh, *s.Value) {
			*s.Value = fresh
			n++
		}
	}
	if n == 0 {
		return 0, nil
	}
	if ok, err := tx.UpdateRunner(ctx, r); err != nil || !ok {
		return 0, orLost(err)
	}
	return n, nil
}

func (tx *Tx) rewrapSigningKeys(ctx context.Context, rewrap rewrapper) (n int, err error) {
	const doing = "encrypting the signing keys anew"
	rows, err := tx.q.ListWrappedSigningKeys(ctx)
	if err != nil {
		return 0, tx.explained(err, doing)
	}
	for _, row := range rows {
		fresh, err := rewrap(row.Wrapped, keyring.SecretName(row.ID))
		if err != nil {
			return 0, err
		}
		if slices.Equal(fresh, row.Wrapped) {
			continue
		}
		done, err := tx.q.RewrapSigningKey(ctx, query.RewrapSigningKeyParams{ID: row.ID, Wrapped: row.Wrapped, Fresh: fresh})
		if err != nil || done == 0 {
			return 0, orLost(tx.explained(err, doing))
		}
		n++
	}
	return n, nil
}

// orLost is the error of a compare-and-swap that changed no row.
func orLost(err error) error {
	if err == nil {
		return fault.ErrLost
	}
	return err
}
