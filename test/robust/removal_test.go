package robust_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/test/muster"
)

// many is how many tokens the member has who is removed.
const many = 50_000

// A member with very many tokens is removed. All of them are refused and out of
// sight at once, nobody else waits for it, and what is left to do is done also
// when the control plane is killed in the middle.
func TestRemovingAMemberWithVeryManyTokens(t *testing.T) {
	for engine, options := range engines {
		t.Run(engine, func(t *testing.T) { // one after the other: it measures time
			o := options(t)
			s := muster.Serve(t, o)
			own := organizationOf(t, s, s.Token)
			hoarder := own.person(t, "Hoarder")
			runner, _ := s.Admin().NewRunner(t, "somebody else's")
			s.Stop(t)
			fill := databaseOf(t, s, o)
			hash := "CAST('hash ' || i AS BLOB)"
			if !fill.sqlite {
				hash = "CAST('hash ' || i AS BYTEA)"
			}
			if _, err := fill.ExecContext(t.Context(), fmt.Sprintf(`INSERT INTO tokens (id, organization_id, kind, hash, user_id, creator_principal, creator_id, description,
				read_only, created_at, expires_at, last_used_at, used_at, grants_for)
				WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)
				SELECT 'many ' || i, '%s', 'pat', %s, '%s', 2, '%[4]s', '', FALSE, i, 0, 0, 0, 0 FROM n`, many, own.id, hash, hoarder.id)); err != nil {
				t.Fatal(err)
			}
			if err := fill.Close(); err != nil {
				t.Fatal(err)
			}
			s.Restart(t)

			admin := s.Admin()
			quiet := worst(t, admin, runner, func(ctx context.Context) { <-ctx.Done() }, 3*time.Second)
			busy := worst(t, admin, runner, func(context.Context) {
				own.call(t, admins+"MemberService/RemoveMember", object{"userId": hoarder.id})
				if status, _ := hoarder.exchange(t, "/"+identities+"GetAuthenticatedIdentity", "Bearer "+hoarder.token, object{}); status != 401 {
					t.Errorf("a token of the member: %d", status)
				}
				left := own.call(t, "gitpod.v1.UserService/ListPersonalAccessTokens", object{"filter": object{"userIds": []string{hoarder.id}}})
				if strings.Contains(string(left), `"id"`) {
					t.Errorf("some tokens are still listed: %.300s", left)
				}
			}, 3*time.Second)
			t.Logf("the slowest percent of calls: %v while it is quiet, %v beside a removal", quiet, busy)
			if most := max(3*quiet, 50*time.Millisecond); busy > most {
				t.Errorf("beside the removal calls take %v, and may take %v", busy, most)
			}

			s.Kill()
			s.Wait(t, muster.Patience)
			s.Restart(t)
			look := lookInto(t, s, o)
			muster.Until(t, 5*time.Minute, func() error {
				var n int
				if err := look.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM tokens WHERE user_id = $1", hoarder.id).Scan(&n); err != nil || n > 0 {
					return fmt.Errorf("%d tokens are left, %w", n, err)
				}
				return nil
			})
			var entries, actors int
			err := look.QueryRowContext(t.Context(), `SELECT COUNT(DISTINCT subject_id), COUNT(DISTINCT actor_id) FROM audit_entries
				WHERE action = 'personal_access_token.delete' AND actor_id = $1`, own.me).Scan(&entries, &actors)
			if err != nil || entries != many+1 || actors != 1 {
				t.Errorf("%d audit entries by %d actors, %v; want one for each token", entries, actors, err)
			}
			unharmed(t, s)
		})
	}
}

// lookInto reads the database of a control plane that runs.
func lookInto(t *testing.T, s *muster.Server, o muster.ServerOptions) *sql.DB {
	t.Helper()
	driver, source := "pgx", o.DatabaseURL
	if source == "" {
		driver, source = "sqlite", "file:"+filepath.Join(s.DataDir, "muster.db")+"?_pragma=query_only(1)&_pragma=busy_timeout(5000)"
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// worst returns what the slowest percent of somebody's writes and reads take,
// while something is done, and for at least as long as that.
func worst(t *testing.T, api *muster.API, runner string, do func(context.Context), atLeast time.Duration) time.Duration {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), atLeast)
	defer cancel()
	var done sync.WaitGroup
	done.Go(func() { do(ctx) })
	finished := make(chan struct{})
	go func() {
		done.Wait()
		<-ctx.Done()
		close(finished)
	}()
	var mu sync.Mutex
	var took []time.Duration
	var callers sync.WaitGroup
	for caller := range 4 {
		callers.Go(func() {
			for on := false; ; on = !on {
				select {
				case <-finished:
					return
				default:
				}
				began := time.Now()
				var err error
				if caller%2 == 0 {
					_, err = api.Runners.UpdateRunner(t.Context(), connect.NewRequest(&gitpodv1.UpdateRunnerRequest{
						RunnerId: runner, Spec: &gitpodv1.UpdateRunnerRequest_Spec{Configuration: &gitpodv1.UpdateRunnerRequest_RunnerConfiguration{AutoUpdate: &on}},
					}))
				} else {
					_, err = api.Runners.ListRunners(t.Context(), connect.NewRequest(&gitpodv1.ListRunnersRequest{}))
				}
				if err != nil && connect.CodeOf(err) != connect.CodeAborted {
					t.Error(err)
					return
				}
				mu.Lock()
				took = append(took, time.Since(began))
				mu.Unlock()
			}
		})
	}
	callers.Wait()
	slices.Sort(took)
	return took[len(took)*99/100]
}
