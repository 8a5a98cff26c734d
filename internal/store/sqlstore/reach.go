package sqlstore

import (
	"context"
	"slices"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
)

// belongings is one list of what belongs to runners. Whose runners are asked for
// decides which query serves it: a list costs what its caller sees, or less, and
// never what the organization has.
type belongings[R any] struct {
	reach access.Reach
	// runners are those that the list is to be of; none for all.
	runners []id.Runner
	rows    int32
	// older compares two rows by their place in the list.
	older func(a, b R) int
	// everybodys walks through what the organization has.
	everybodys func() ([]R, error)
	// ofRunner walks through what a runner has.
	ofRunner func(id.Runner) ([]R, error)
	// seenBy sorts what the runners have that are visible to one viewer: a group,
	// or who made them.
	seenBy func(viewer string) ([]R, error)
}

func (l belongings[R]) list(ctx context.Context, r reads) ([]R, error) {
	switch {
	case len(l.runners) > 0 || l.reach.Self != "":
		runners, err := r.visible(ctx, l.reach, l.runners)
		if err != nil {
			return nil, err
		}
		return lanes(runners, l.rows, l.older, l.ofRunner)
	case l.reach.All:
		return l.everybodys()
	default:
		return lanes(viewers(l.reach), l.rows, l.older, l.seenBy)
	}
}

// visible are those of the wanted runners that somebody sees; the runner that it
// is when none are named.
func (r reads) visible(ctx context.Context, reach access.Reach, wanted []id.Runner) ([]id.Runner, error) {
	if reach.All {
		return wanted, nil
	}
	if self := reach.Self; self != "" {
		return both([]id.Runner{self}, wanted), nil
	}
	var runners []id.Runner
	for _, want := range wanted {
		runner, found, err := r.Runner(ctx, want)
		if err != nil {
			return nil, err
		}
		if found && sees(reach, &runner) {
			runners = append(runners, want)
		}
	}
	return runners, nil
}

// sees tells whether a runner is visible to one of the viewers.
func sees(reach access.Reach, r *fleet.Runner) bool {
	return reach.Creator != "" && reach.Creator == r.Creator.ID ||
		slices.ContainsFunc(r.Grants, func(g access.Grant) bool { return slices.Contains(reach.Groups, g.Group) })
}

// viewers are as whom somebody sees runners; see the view runner_viewers.
func viewers(reach access.Reach) []string {
	var ids []string
	if reach.Creator != "" {
		ids = append(ids, reach.Creator)
	}
	for _, g := range reach.Groups {
		ids = append(ids, string(g))
	}
	return ids
}
