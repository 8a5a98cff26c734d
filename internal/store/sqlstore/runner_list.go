package sqlstore

import (
	"context"
	"slices"

	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/store/sqlstore/query"
)

// Runners returns up to Page.Limit+1 runners, oldest first, each with its newest
// session.
func (r reads) Runners(ctx context.Context, q fleet.Query) ([]fleet.Runner, error) {
	after, err := cursorOf(q.Page, beforeAll)
	if err != nil {
		return nil, err
	}
	l := runnerList{q: q, sql: r.q, after: after, rows: maxRows(q.Page)}
	rows, err := l.visible(ctx)
	return all(r, rows, err, "listing runners", runnerOf)
}

// runnerList is one list of runners. Which query serves it depends on the
// filter that leaves the fewest rows.
type runnerList struct {
	q     fleet.Query
	sql   *query.Queries
	after timeCursor
	rows  int32
}

func (l runnerList) visible(ctx context.Context) ([]query.RunnerRow, error) {
	if l.q.Reach.All {
		return l.everybodys(ctx)
	}
	own, err := l.ofCreators(ctx, l.visibleCreators())
	if err != nil {
		return nil, err
	}
	shared, err := l.ofGroups(ctx)
	if err != nil {
		return nil, err
	}
	rows := append(own, shared...)
	if l.q.Reach.Self != "" {
		self, err := l.self(ctx)
		if err != nil {
			return nil, err
		}
		rows = append(rows, self...)
	}
	return merged(rows, l.rows, olderRunner), nil
}

// ofGroups lists the runners that the caller's groups have a role on. With a
// filter by creator, which has no index here, it goes on until the page is full.
func (l runnerList) ofGroups(ctx context.Context) ([]query.RunnerRow, error) {
	return lanes(l.q.Reach.Groups, l.rows, olderRunner, func(g id.Group) ([]query.RunnerRow, error) {
		p := query.ListRunnersOfGroupParams{
			GroupID: string(g), Kinds: mask(l.q.Kinds), Providers: mask(l.q.Providers),
			AfterAt: l.after.at, AfterID: l.after.id, MaxRows: l.rows,
		}
		var wanted []query.RunnerRow
		for {
			rows, err := l.sql.ListRunnersOfGroup(ctx, p)
			if err != nil {
				return nil, err
			}
			for _, row := range rows {
				if len(l.q.Creators) == 0 || slices.Contains(l.q.Creators, row.CreatorID) {
					wanted = append(wanted, row)
				}
			}
			if len(rows) < int(l.rows) || len(wanted) >= int(l.rows) {
				return wanted, nil
			}
			p.AfterAt, p.AfterID = rows[len(rows)-1].CreatedAt, rows[len(rows)-1].ID
		}
	})
}

func (l runnerList) everybodys(ctx context.Context) ([]query.RunnerRow, error) {
	switch {
	case len(l.q.Creators) > 0:
		return l.ofCreators(ctx, l.q.Creators)
	case len(l.q.Providers) > 0:
		return lanes(l.q.Providers, l.rows, olderRunner, func(p fleet.Provider) ([]query.RunnerRow, error) {
			return l.sql.ListRunnersOfProvider(ctx, query.ListRunnersOfProviderParams{
				OrganizationID: string(l.q.Organization), Provider: int32(p), Kinds: mask(l.q.Kinds),
				AfterAt: l.after.at, AfterID: l.after.id, MaxRows: l.rows,
			})
		})
	case len(l.q.Kinds) > 0:
		return lanes(l.q.Kinds, l.rows, olderRunner, func(k fleet.Kind) ([]query.RunnerRow, error) {
			return l.sql.ListRunnersOfKind(ctx, query.ListRunnersOfKindParams{
				OrganizationID: string(l.q.Organization), Kind: int32(k),
				AfterAt: l.after.at, AfterID: l.after.id, MaxRows: l.rows,
			})
		})
	default:
		return l.sql.ListRunners(ctx, query.ListRunnersParams{
			OrganizationID: string(l.q.Organization),
			AfterAt:        l.after.at, AfterID: l.after.id, MaxRows: l.rows,
		})
	}
}

// visibleCreators are the creators whose runners the caller both may see and
// asks for: itself, or nobody.
func (l runnerList) visibleCreators() []string {
	me := l.q.Reach.Creator
	if me == "" || len(l.q.Creators) > 0 && !slices.Contains(l.q.Creators, me) {
		return nil
	}
	return []string{me}
}

func (l runnerList) ofCreators(ctx context.Context, creators []string) ([]query.RunnerRow, error) {
	return lanes(creators, l.rows, olderRunner, func(creator string) ([]query.RunnerRow, error) {
		return l.sql.ListRunnersOfCreator(ctx, query.ListRunnersOfCreatorParams{
			OrganizationID: string(l.q.Organization), CreatorID: creator, Kinds: mask(l.q.Kinds), Providers: mask(l.q.Providers),
			AfterAt: l.after.at, AfterID: l.after.id, MaxRows: l.rows,
		})
	})
}

// self is the runner that the caller is, if the filters let it through.
func (l runnerList) self(ctx context.Context) ([]query.RunnerRow, error) {
	rows, err := l.sql.FindRunner(ctx, query.FindRunnerParams{
		OrganizationID: string(l.q.Organization), ID: string(l.q.Reach.Self), Kinds: mask(l.q.Kinds), Providers: mask(l.q.Providers),
		AfterAt: l.after.at, AfterID: l.after.id,
	})
	if len(l.q.Creators) > 0 {
		rows = slices.DeleteFunc(rows, func(row query.RunnerRow) bool { return !slices.Contains(l.q.Creators, row.CreatorID) })
	}
	return rows, err
}
