package sqlstore

import (
	"context"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/departure"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/resource"
)

var _ departure.Tx = (*Tx)(nil)

// DeleteMembershipsOf takes s out of all groups of an organization, and returns
// those.
func (tx *Tx) DeleteMembershipsOf(ctx context.Context, o id.Organization, s access.Subject) ([]id.Group, error) {
	rows, err := tx.q.DeleteMembershipsOfSubject(ctx, string(o), s.ID)
	return all(tx.reads, rows, err, "taking a subject out of its groups", func(g string) (id.Group, error) { return id.Group(g), nil })
}

// DeleteHostTokensOf deletes the credentials of s for source code hosts, and
// returns them as they were.
func (tx *Tx) DeleteHostTokensOf(ctx context.Context, o id.Organization, s access.Subject) ([]access.Object, error) {
	rows, err := tx.q.DeleteHostTokensOfSubject(ctx, string(o), s.ID)
	if err != nil {
		return nil, tx.explained(err, "deleting credentials for hosts")
	}
	var gone []access.Object
	for _, row := range rows {
		r, found, err := tx.Runner(ctx, id.Runner(row.RunnerID))
		if err != nil {
			return nil, err
		}
		if !found {
			continue // it went with its runner
		}
		t := r.Object().Of(resource.HostAuthenticationToken, row.ID)
		t.Owner = s
		gone = append(gone, t)
	}
	return gone, nil
}
