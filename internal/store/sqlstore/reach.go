package sqlstore

import (
	"context"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/store/sqlstore/query"
)

// few is up to how many runners are asked for what belongs to them one by one,
// which an index answers at once. Whoever sees more walks through what belongs
// to any runner instead, and meets its own soon.
const few = 200

// fewRunners returns the runners that somebody sees who sees some: those that it
// made, and those on which one of its groups has a role. False means that they
// are too many to tell.
func (r reads) fewRunners(ctx context.Context, o id.Organization, reach access.Reach) ([]id.Runner, bool, error) {
	var runners []id.Runner
	if reach.Creator != "" {
		ids, err := r.q.ListSomeRunnersOfCreator(ctx, query.ListSomeRunnersOfCreatorParams{
			OrganizationID: string(o), CreatorID: reach.Creator, MaxRows: few + 1,
		})
		if err != nil {
			return nil, false, err
		}
		runners = appendRunners(runners, ids)
	}
	for _, g := range reach.Groups {
		if len(runners) > few {
			break
		}
		ids, err := r.q.ListSomeRunnersOfGroup(ctx, string(g), few+1)
		if err != nil {
			return nil, false, err
		}
		runners = appendRunners(runners, ids)
	}
	return runners, len(runners) <= few, nil
}

func appendRunners(runners []id.Runner, ids []string) []id.Runner {
	for _, s := range ids {
		runners = append(runners, id.Runner(s))
	}
	return runners
}
