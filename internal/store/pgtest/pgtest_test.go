package pgtest_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/musterhq/muster/internal/store/pgtest"
)

// Each call gives a database of its own, whose order of text is not that of
// its bytes.
func TestURL(t *testing.T) {
	for range 2 {
		conn, err := pgx.Connect(t.Context(), pgtest.URL(t))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(t.Context()) //nolint:errcheck // the test ends
		if _, err := conn.Exec(t.Context(), "CREATE TABLE mine (x TEXT)"); err != nil {
			t.Fatalf("the database is not empty: %v", err)
		}
		var first bool
		if err := conn.QueryRow(t.Context(), "SELECT 'a' < 'B'").Scan(&first); err != nil || !first {
			t.Errorf("'a' < 'B' is %v, %v; want true", first, err)
		}
	}
}
