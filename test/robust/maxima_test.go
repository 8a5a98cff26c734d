package robust_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/musterhq/muster/test/muster"
)

// Of many that make one more at the same time, as many do as there is room for.
// What has expired takes no room. Whoever has more keeps it.
func TestThereIsAMostOfEverything(t *testing.T) {
	t.Parallel()
	for engine, options := range engines {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			o := options(t)
			s := muster.Serve(t, o)
			own := organizationOf(t, s, s.Token)
			person, robot := own.person(t, "Person"), own.account(t, "robot")
			runner, _ := s.Admin().NewRunner(t, "runner")
			s.Stop(t)
			d := databaseOf(t, s, o)
			hash := "CAST('%s ' || i AS BLOB)"
			if !d.sqlite {
				hash = "CAST('%s ' || i AS BYTEA)"
			}
			numbers := func(n int) string {
				return fmt.Sprintf("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) ", n)
			}
			exec := func(statement string) {
				t.Helper()
				if _, err := d.ExecContext(t.Context(), statement); err != nil {
					t.Fatalf("%s: %v", statement, err)
				}
			}
			// 200 of each that expired long ago.
			for kind, owner := range map[string][2]string{"pat": {"user_id", person.id}, "sa": {"service_account_id", robot.id}, "exchange": {"runner_id", runner}} {
				exec("INSERT INTO tokens (id, organization_id, kind, hash, " + owner[0] + ", creator_principal, creator_id, description, read_only, created_at, expires_at, last_used_at, used_at, grants_for) " +
					numbers(200) + fmt.Sprintf("SELECT '%[1]s ' || i, '%[2]s', '%[1]s', "+fmt.Sprintf(hash, kind)+", '%[3]s', 2, '%[2]s', '', FALSE, i, 1700000000000000, 0, 0, 0 FROM n", kind, own.id, owner[1]))
			}
			exec("INSERT INTO groups (id, organization_id, name, description, direct_principal, direct_id, created_at, updated_at, revision, name_lower) " +
				numbers(9_995) + "SELECT 'group ' || i, '" + own.id + "', 'group ' || i, '', 0, '', i, i, 1, '' FROM n")
			exec("INSERT INTO service_accounts (id, organization_id, name, description, creator_principal, creator_id, valid_until, suspended_at, created_at, updated_at, revision, name_lower) " +
				numbers(10_094) + "SELECT 'account ' || i, '" + own.id + "', 'account', '', 2, '', CASE WHEN i > 9994 THEN 1 ELSE 4000000000000000 END, 0, i, i, 1, '' FROM n")
			exec("INSERT INTO runners (id, organization_id, name, kind, provider, manager_id, creator_principal, creator_id, variant, desired_phase, configuration, configuration_revision, " +
				"public_key, pending_key, epoch, report, config_schema, status_at, created_at, updated_at, deleting_at, revision) " +
				numbers(99_994) + "SELECT 'runner ' || i, '" + own.id + "', 'runner', 1, 5, '', 2, '', 1, 2, '{}', 1, '', '', 0, '{}', '', i, i, i, 0, 1 FROM n")
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			s.Restart(t)

			as := func(w *witness) *organization {
				return &organization{witness: w, server: s, client: muster.NewAPI(s.URL, w.token).HTTP}
			}
			for what, c := range map[string]struct {
				who       *organization
				procedure string
				body      func(i int) object
				room      int64
			}{
				"personal access tokens": {as(person.witness), users + "CreatePersonalAccessToken", func(int) object { return object{"userId": person.id, "description": "x"} }, 99},
				"tokens of an account":   {as(robot.witness), accounts + "CreateServiceAccountToken", func(int) object { return object{"description": "x"} }, 100},
				"exchange tokens":        {own, runners + "CreateRunnerToken", func(int) object { return object{"runnerId": runner} }, 99},
				"groups":                 {own, groups + "CreateGroup", func(i int) object { return object{"organizationId": own.id, "name": fmt.Sprint("new ", i)} }, 5},
				"service accounts": {own, accounts + "CreateServiceAccount", func(int) object {
					return object{"name": "new", "validUntil": "2090-01-01T00:00:00Z"}
				}, 5},
				"runners": {own, runners + "CreateRunner", func(int) object {
					return object{"name": "new", "provider": "RUNNER_PROVIDER_LINUX_HOST", "spec": object{}}
				}, 5},
			} {
				t.Run(what, func(t *testing.T) {
					var made atomic.Int64
					var wg sync.WaitGroup
					for caller := range 8 {
						wg.Go(func() {
							for n := range 16 {
								_, err := c.who.try(context.WithoutCancel(t.Context()), c.procedure, c.body(caller*100+n))
								switch {
								case err == nil:
									made.Add(1)
								case !strings.Contains(err.Error(), "failed_precondition") || !strings.Contains(err.Error(), "limit-reached"):
									t.Error(err)
								}
							}
						})
					}
					wg.Wait()
					if n := made.Load(); n != c.room {
						t.Errorf("%d were made, and there was room for %d", n, c.room)
					}
				})
			}
		})
	}
}
