package sqlstore

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"

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
	after, err := cursorOf(q.Page, beforeAll)
	if err != nil {
		return nil, err
	}
	p := query.ListEnvironmentClassesParams{
		OrganizationID: string(q.Organization), Kinds: mask(q.Kinds), Providers: mask(q.Providers), Enabled: choice(q.Enabled),
		Usable: choice(q.Usable), UserID: q.Use.Subject, AfterAt: after.at, AfterID: after.id, MaxRows: maxRows(q.Page),
	}
	if q.Use.All {
		p.Uses = 1
	}
	if len(q.Use.Roles) > 0 {
		p.UseRoles = mask(q.Use.Roles)
	}
	rows, err := belongings[query.EnvironmentClass]{
		reach: q.Reach, runners: q.Runners, rows: p.MaxRows, older: olderClass,
		everybodys: func() ([]query.EnvironmentClass, error) { return r.q.ListEnvironmentClasses(ctx, p) },
		ofRunner: func(runner id.Runner) ([]query.EnvironmentClass, error) {
			return r.q.ListEnvironmentClassesOfRunner(ctx, query.ListEnvironmentClassesOfRunnerParams{
				OrganizationID: p.OrganizationID, RunnerID: string(runner), Kinds: p.Kinds, Providers: p.Providers, Enabled: p.Enabled,
				Usable: p.Usable, Uses: p.Uses, UserID: p.UserID, UseRoles: p.UseRoles, AfterAt: p.AfterAt, AfterID: p.AfterID, MaxRows: p.MaxRows,
			})
		},
		seenBy: func(viewer string) ([]query.EnvironmentClass, error) {
			return r.q.ListEnvironmentClassesSeenBy(ctx, query.ListEnvironmentClassesSeenByParams{
				OrganizationID: p.OrganizationID, ViewerID: viewer, Kinds: p.Kinds, Providers: p.Providers, Enabled: p.Enabled,
				Usable: p.Usable, Uses: p.Uses, UserID: p.UserID, UseRoles: p.UseRoles, AfterAt: p.AfterAt, AfterID: p.AfterID, MaxRows: p.MaxRows,
			})
		},
	}.list(ctx, r)
	return all(r, rows, err, "listing environment classes", classOf)
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
