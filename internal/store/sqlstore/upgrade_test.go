package sqlstore_test

import (
	"testing"

	"github.com/pressly/goose/v3"

	"github.com/musterhq/muster/internal/store/migrations"
)

// An upgrade keeps who operates the installation: the oldest organization.
func TestUpgradeKeepsTheOperator(t *testing.T) {
	dialects := map[string]goose.Dialect{"SQLite": goose.DialectSQLite3, "PostgreSQL": goose.DialectPostgres}
	for name, fresh := range engines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := fresh(t).(database)
			provider, err := goose.NewProvider(dialects[name], d.raw(t), migrations.Files)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := provider.UpTo(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			for id, created := range map[string]int{"younger": 20, "oldest": 10, "youngest": 30} {
				d.Exec(t, "INSERT INTO organizations (id, name, created_at, updated_at) VALUES ($1, $1, $2, $2)", id, created)
			}
			s := d.Open(t, nil)
			defer s.Close() //nolint:errcheck // nothing was written
			o, found, err := s.Identity().OperatingOrganization(t.Context())
			if err != nil || !found || o.ID != "oldest" {
				t.Errorf("%+v operates, %v, %v", o, found, err)
			}
		})
	}
}
