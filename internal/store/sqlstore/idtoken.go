package sqlstore

import (
	"context"

	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/idtoken"
	"github.com/musterhq/muster/internal/store/sqlstore/query"
)

var _ idtoken.Tx = (*Tx)(nil)

// IDToken returns the store as package idtoken sees it.
func (s *Store) IDToken() idtoken.Store { return idTokenStore{s} }

type idTokenStore struct{ *Store }

func (s idTokenStore) Write(ctx context.Context, fn func(idtoken.Tx) error) error {
	return s.write(ctx, func(tx *Tx) error { return fn(tx) })
}

// Profile returns what people call a user, a service account or a runner.
func (r reads) Profile(ctx context.Context, o id.Organization, subjectID string) (idtoken.Profile, bool, error) {
	row, err := r.q.GetProfile(ctx, subjectID, string(o))
	return one(r, row, err, "reading who a subject is", func(row query.GetProfileRow) (idtoken.Profile, error) {
		return idtoken.Profile{Name: row.Name, Email: row.Email}, nil
	})
}
