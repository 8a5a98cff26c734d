package sqlstore

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/musterhq/muster/internal/envclass"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/runnerschema"
	"github.com/musterhq/muster/internal/store/sqlstore/query"
)

// EnvClass returns the store as package envclass sees it.
func (s *Store) EnvClass() envclass.Store { return classStore{s} }

type classStore struct{ *Store }

func (s classStore) Write(ctx context.Context, fn func(envclass.Tx) error) error {
	return s.write(ctx, func(tx *Tx) error { return fn(tx) })
}

var _ envclass.Tx = (*Tx)(nil)

// EnvironmentClass returns a class.
func (r reads) EnvironmentClass(ctx context.Context, class string) (envclass.Class, bool, error) {
	row, err := r.q.GetEnvironmentClass(ctx, class)
	return one(r, row, err, "reading an environment class", classOf)
}

// InsertEnvironmentClass adds a class.
func (tx *Tx) InsertEnvironmentClass(ctx context.Context, c envclass.Class) error {
	const doing = "adding an environment class"
	configuration, err := json.Marshal(settingsOf(c.Configuration))
	if err != nil {
		return tx.explained(err, doing)
	}
	return tx.explained(tx.q.InsertEnvironmentClass(ctx, query.InsertEnvironmentClassParams{
		ID:             c.ID,
		OrganizationID: string(c.Organization),
		RunnerID:       string(c.Runner),
		DisplayName:    c.DisplayName,
		Description:    c.Description,
		Configuration:  string(configuration),
		Enabled:        c.Enabled,
		CreatedAt:      micros(c.CreatedAt),
		UpdatedAt:      micros(c.UpdatedAt),
		Revision:       c.Revision,
	}), doing)
}

// UpdateEnvironmentClass stores what can change when the revision is still
// c.Revision.
func (tx *Tx) UpdateEnvironmentClass(ctx context.Context, c envclass.Class) (bool, error) {
	n, err := tx.q.UpdateEnvironmentClass(ctx, query.UpdateEnvironmentClassParams{
		ID: c.ID, Revision: c.Revision, DisplayName: c.DisplayName, Description: c.Description, Enabled: c.Enabled, UpdatedAt: micros(c.UpdatedAt),
	})
	return n > 0, tx.explained(err, "changing an environment class")
}

// EnvironmentClasses returns up to Page.Limit+1 classes, oldest first.
func (r reads) EnvironmentClasses(ctx context.Context, q envclass.Query) ([]envclass.Class, error) {
	const doing = "listing environment classes"
	after, err := cursorOf(q.Page, beforeAll)
	if err != nil {
		return nil, err
	}
	p := query.ListEnvironmentClassesParams{
		OrganizationID: string(q.Organization), Kinds: mask(q.Kinds), Providers: mask(q.Providers), Enabled: choice(q.Enabled),
		Sees: number(q.Reach.All || q.Reach.Self != ""), CreatorID: q.Reach.Creator, GroupIds: joined(q.Reach.Groups),
		Usable: choice(q.Usable), Uses: number(q.Use.All), UserID: q.Use.Creator, UsingGroupIds: joined(q.Use.Groups), UseRoles: mask(q.Use.Roles),
		AfterAt: after.at, AfterID: after.id, MaxRows: maxRows(q.Page),
	}
	if len(q.Use.Roles) == 0 {
		p.UseRoles = 0
	}
	runners, some, err := r.classRunners(ctx, q)
	if err != nil {
		return nil, r.explained(err, doing)
	}
	var rows []query.EnvironmentClass
	if some {
		rows, err = lanes(runners, p.MaxRows, olderClass, func(runner id.Runner) ([]query.EnvironmentClass, error) {
			return r.q.ListEnvironmentClassesOfRunner(ctx, query.ListEnvironmentClassesOfRunnerParams{
				OrganizationID: p.OrganizationID, RunnerID: string(runner), Kinds: p.Kinds, Providers: p.Providers, Enabled: p.Enabled,
				Sees: p.Sees, CreatorID: p.CreatorID, GroupIds: p.GroupIds,
				Usable: p.Usable, Uses: p.Uses, UserID: p.UserID, UsingGroupIds: p.UsingGroupIds, UseRoles: p.UseRoles,
				AfterAt: p.AfterAt, AfterID: p.AfterID, MaxRows: p.MaxRows,
			})
		})
	} else {
		rows, err = r.q.ListEnvironmentClasses(ctx, p)
	}
	return all(r, rows, err, doing, classOf)
}

// classRunners are the runners whose classes are to be asked for one by one, if
// they are few enough: those of the filter, the one that the caller is, or those
// that it sees. Whoever sees more finds a page soon by walking through all.
func (r reads) classRunners(ctx context.Context, q envclass.Query) (runners []id.Runner, some bool, err error) {
	switch {
	case q.Reach.Self != "" && (len(q.Runners) == 0 || slices.Contains(q.Runners, q.Reach.Self)):
		return []id.Runner{q.Reach.Self}, true, nil
	case q.Reach.Self != "":
		return nil, true, nil
	case len(q.Runners) > 0:
		return q.Runners, true, nil
	case q.Reach.All:
		return nil, false, nil
	default:
		return r.fewRunners(ctx, q.Organization, q.Reach)
	}
}

func olderClass(a, b query.EnvironmentClass) int {
	return cmp.Or(cmp.Compare(a.CreatedAt, b.CreatedAt), cmp.Compare(a.ID, b.ID))
}

// choice is a filter by yes or no as a mask: bit 0 for no, bit 1 for yes.
func choice(b *bool) int64 {
	switch {
	case b == nil:
		return 3
	case *b:
		return 2
	default:
		return 1
	}
}

func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// joined are groups as one text, to look for one in.
func joined(groups []id.Group) string {
	ids := make([]string, len(groups))
	for i, g := range groups {
		ids[i] = string(g)
	}
	return strings.Join(ids, ",")
}

// setting is one setting of a class as it is stored, in JSON.
type setting struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

func settingsOf(values []runnerschema.Value) []setting {
	out := make([]setting, len(values))
	for i, v := range values {
		out[i] = setting(v)
	}
	return out
}

func classOf(row query.EnvironmentClass) (envclass.Class, error) {
	var settings []setting
	if err := json.Unmarshal([]byte(row.Configuration), &settings); err != nil {
		return envclass.Class{}, fmt.Errorf("reading the configuration of environment class %s: %w", row.ID, err)
	}
	c := envclass.Class{
		ID: row.ID, Organization: id.Organization(row.OrganizationID), Runner: id.Runner(row.RunnerID),
		DisplayName: row.DisplayName, Description: row.Description, Enabled: row.Enabled,
		CreatedAt: moment(row.CreatedAt), UpdatedAt: moment(row.UpdatedAt), Revision: row.Revision,
	}
	for _, s := range settings {
		c.Configuration = append(c.Configuration, runnerschema.Value(s))
	}
	return c, nil
}
