package sqlstore

import (
	"context"

	"github.com/musterhq/muster/internal/installation"
)

// Installation stores id as that of the installation, unless the database has one,
// and returns the one that it has.
func (s *Store) Installation(ctx context.Context, id string) (string, error) {
	var stored string
	err := s.write(ctx, func(tx *Tx) error {
		err := tx.q.InsertInstallation(ctx, id)
		if err == nil {
			stored, err = tx.q.GetInstallation(ctx)
		}
		return tx.explained(err, "storing the id of the installation")
	})
	return stored, err
}

// contents is what is known of a database whose schema may be any. Nothing is
// changed.
func contents(ctx context.Context, e engine) (installation.Database, error) {
	d := installation.Database{Name: e.name()}
	db, _ := e.migrationDB()
	read := func(table, text string, into any) error {
		there, err := e.hasTable(ctx, table)
		if err != nil || !there {
			return err
		}
		return db.QueryRowContext(ctx, text).Scan(into)
	}
	err := read("installation", "SELECT COALESCE(MAX(installation_id), '') FROM installation", &d.ID)
	if err == nil {
		err = read("organizations", "SELECT COUNT(*) > 0 FROM organizations", &d.Filled)
	}
	return d, explained(e, err, "reading to which installation the database belongs")
}
