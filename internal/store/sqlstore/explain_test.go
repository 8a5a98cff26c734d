package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/musterhq/muster/internal/fault"
)

// What PostgreSQL says becomes a fault that fits, without the server's words.
func TestExplainPostgres(t *testing.T) {
	d := postgresDialect{server: "db:5432", database: "muster", user: "me"}
	for code, want := range map[string]fault.Code{
		"22021": fault.InvalidArgument,
		"25006": fault.Unavailable,
		"28000": fault.FailedPrecondition,
		"28P01": fault.FailedPrecondition,
		"3D000": fault.FailedPrecondition,
		"42501": fault.FailedPrecondition,
		"53100": fault.Unavailable,
		"53200": fault.Unavailable,
		"53300": fault.Unavailable,
		"57P03": fault.Unavailable,
		"42601": fault.Internal, // a syntax error is ours
		"23502": fault.Internal, // and so is a NULL
	} {
		err := explained(d, fmt.Errorf("wrapped: %w", &pgconn.PgError{Code: code, Message: "the server's words"}), "testing")
		if f := fault.From(err); f.Code != want || strings.Contains(f.Message, "words") {
			t.Errorf("%s: code %d, %q; want code %d", code, f.Code, f.Message, want)
		}
	}
	for _, code := range []string{"40001", "40P01", "23505", "23503"} {
		if err := explained(d, &pgconn.PgError{Code: code}, "testing"); !errors.Is(err, fault.ErrLost) {
			t.Errorf("%s is not a lost race: %v", code, err)
		}
	}
}

// A call that its caller gave up is not a failure of the database.
func TestExplainContext(t *testing.T) {
	for _, d := range []dialect{postgresDialect{}, sqliteDialect{}} {
		if err := explained(d, context.Canceled, "testing"); !fault.Is(err, fault.Canceled) {
			t.Errorf("%T: canceled is %v", d, err)
		}
		if err := explained(d, context.DeadlineExceeded, "testing"); !fault.Is(err, fault.DeadlineExceeded) {
			t.Errorf("%T: late is %v", d, err)
		}
	}
}
