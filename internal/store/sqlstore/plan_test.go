package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/departure"
	"github.com/musterhq/muster/internal/envclass"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/group"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/identity"
	"github.com/musterhq/muster/internal/llm"
	"github.com/musterhq/muster/internal/page"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/retention"
	"github.com/musterhq/muster/internal/serviceaccount"
	"github.com/musterhq/muster/internal/store/pgtest"
	"github.com/musterhq/muster/internal/store/sqlstore/query"
	"github.com/musterhq/muster/internal/token"
)

// big is how many rows of each kind the plans are made for.
const big = 4000

// A page costs the same wherever it is in a large table: an index finds its
// first row and gives the others in their order. No plan reads a whole table or
// sorts.
func TestPlans(t *testing.T) {
	for name, c := range map[string]struct {
		options Options
		explain func(*testing.T, *sql.DB, string, []any) string
		// forbidden are the steps that read or sort more than the page.
		forbidden []string
	}{
		"SQLite":     {Options{DataDir: t.TempDir()}, explainSQLite, []string{"SCAN", "TEMP B-TREE"}},
		"PostgreSQL": {Options{URL: pgtest.URL(t)}, explainPostgres, []string{"Seq Scan", "Sort", "Hash"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := Open(t.Context(), c.options)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close() //nolint:errcheck // the test is over
			var db *sql.DB
			switch e := s.engine.(type) {
			case *sqliteEngine:
				db = e.readDB
			case *postgresEngine:
				db = e.db.DB
			}
			w := fill(t, s)
			if c.options.URL != "" {
				if _, err := db.ExecContext(t.Context(), "ANALYZE"); err != nil {
					t.Fatal(err)
				}
			}
			for _, q := range w.queries() {
				rec := &recorder{}
				if err := q.run(reads{q: query.New(rec), explained: func(err error, _ string) error { return err }}); !errors.Is(err, errRecorded) {
					t.Fatal(err)
				}
				plan := c.explain(t, db, rec.text, rec.args)
				for _, step := range c.forbidden {
					if strings.Contains(plan, step) && !allowed(q, step) {
						t.Errorf("%s: %s\n%s", q.name, step, plan)
					}
				}
				if !strings.Contains(plan, q.index) {
					t.Errorf("%s: does not use %s\n%s", q.name, q.index, plan)
				}
			}
		})
	}
}

// filled is a database with many rows.
type filled struct {
	org     id.Organization
	creator string
	user    string
	account id.ServiceAccount
	runner  id.Runner
	group   id.Group
	sharer  id.Group
	middle  timeCursor
}

type plannedQuery struct {
	name, index string
	run         func(reads) error
}

func (w filled) queries() []plannedQuery {
	at := func(key string) page.Query {
		q, err := page.Parse(page.Request{Size: 100}, "")
		if err != nil {
			panic(err)
		}
		if key != "" {
			q.After = &page.Cursor{Key: key, ID: w.middle.id}
		}
		return q
	}
	runners := func(q fleet.Query) func(reads) error {
		return func(r reads) error {
			_, err := r.Runners(context.Background(), q)
			return err
		}
	}
	users := func(s identity.UserSort, key string) func(reads) error {
		return func(r reads) error {
			_, err := r.Users(context.Background(), identity.UserQuery{Organization: w.org, Sort: s, Page: at(key)})
			return err
		}
	}
	tokens := func(key string, users ...string) func(reads) error {
		return func(r reads) error {
			_, err := r.PersonalTokens(context.Background(), identity.TokenQuery{Organization: w.org, Users: users, Page: at(key)})
			return err
		}
	}
	all := access.Reach{All: true}
	half := fmt.Sprintf("%016x", w.middle.at)
	queries := w.codeHostQueries()
	for where, key := range map[string]string{"from the start": "", "from the middle": half} {
		queries = append(queries, w.llmQueries(where, at(key))...)
		queries = append(queries, w.groupQueries(where, at(key))...)
		queries = append(queries, w.retentionQueries(where, at(key))...)
		queries = append(queries, w.auditQueries(where, at(key))...)
		queries = append(queries, w.classQueries(where, at(key))...)
		queries = append(queries, w.scmQueries(where, at(key))...)
		queries = append(queries, w.hostTokenQueries(where, at(key))...)
		queries = append(queries, w.fewSeenQueries(where, at(key))...)
		queries = append(queries, w.serviceAccountQueries(where, at(key))...)
		queries = append(queries,
			plannedQuery{"all runners " + where, "runners_by_age", runners(fleet.Query{Organization: w.org, Reach: all, Page: at(key)})},
			plannedQuery{"runners of a creator " + where, "runners_by_creator", runners(fleet.Query{Organization: w.org, Reach: all, Creators: []string{w.creator}, Page: at(key)})},
			plannedQuery{"visible runners " + where, "runners_by_creator", runners(fleet.Query{Organization: w.org, Reach: access.Reach{Creator: w.creator}, Page: at(key)})},
			plannedQuery{"runners of a provider " + where, "runners_by_provider", runners(fleet.Query{Organization: w.org, Reach: all, Providers: []fleet.Provider{5}, Page: at(key)})},
			plannedQuery{"runners of a kind " + where, "runners_by_kind", runners(fleet.Query{Organization: w.org, Reach: all, Kinds: []fleet.Kind{1}, Page: at(key)})},
			plannedQuery{"users by joining " + where, "users_by_joining", users(identity.ByJoined, key)},
			plannedQuery{"users by joining, descending, " + where, "users_by_joining", users(identity.ByJoinedDescending, key)},
			plannedQuery{"tokens " + where, "tokens_personal", tokens(key)},
			plannedQuery{"tokens of a user " + where, "tokens_by_user", tokens(key, w.user)},
		)
	}
	for where, key := range map[string]string{"from the start": "", "from the middle": "person 2000"} {
		queries = append(queries,
			plannedQuery{"users by name " + where, "users_by_name", users(identity.ByName, key)},
			plannedQuery{"users by name, descending, " + where, "users_by_name", users(identity.ByNameDescending, key)},
		)
	}
	return append(queries,
		plannedQuery{"a runner", "runners", func(r reads) error { _, _, err := r.Runner(context.Background(), "x"); return err }},
		plannedQuery{"a credential", "tokens", func(r reads) error { _, _, err := r.Credential(context.Background(), []byte("x")); return err }},
		plannedQuery{"runners that are being deleted", "runners_deleting", func(r reads) error { _, err := r.q.ListDeletingRunners(context.Background()); return err }},
		plannedQuery{"the log of a runner's keys", "runner_keys", func(r reads) error { _, err := r.KeyLog(context.Background(), "x", 10); return err }},
		plannedQuery{"a profile", "users", func(r reads) error { _, _, err := r.Profile(context.Background(), w.org, "x"); return err }},
		plannedQuery{"live sessions", "sessions_live", func(r reads) error { _, err := r.LiveSessionsOf(context.Background(), "replica 7", 10); return err }},
	)
}

func (w filled) llmQueries(where string, p page.Query) []plannedQuery {
	list := func(reach access.Reach, runners ...id.Runner) func(reads) error {
		return func(r reads) error {
			_, err := r.LLMIntegrations(context.Background(), llm.Query{Organization: w.org, Reach: reach, Runners: runners, Page: p})
			return err
		}
	}
	return []plannedQuery{
		{"LLM integrations " + where, "llm_integrations_by_age", list(access.Reach{All: true})},
		{"LLM integrations of a runner " + where, "llm_integrations_of_runner", list(access.Reach{All: true}, "r")},
	}
}

func (w filled) classQueries(where string, p page.Query) []plannedQuery {
	list := func(reach access.Reach, runners ...id.Runner) func(reads) error {
		return func(r reads) error {
			q := envclass.Query{Organization: w.org, Reach: reach, Runners: runners, Usable: new(bool), Page: p}
			q.Use = envclass.Use{Subject: w.user, Roles: []resource.Role{resource.RoleRunnerUser}}
			_, err := r.EnvironmentClasses(context.Background(), q)
			return err
		}
	}
	return []plannedQuery{
		{"classes " + where, "environment_classes_by_age", list(access.Reach{All: true})},
		{"classes of a runner " + where, "environment_classes_of_runner", list(access.Reach{All: true}, w.runner)},
	}
}

func (w filled) serviceAccountQueries(where string, p page.Query) []plannedQuery {
	accounts := func(suspended bool) func(reads) error {
		return func(r reads) error {
			_, err := r.ListServiceAccounts(context.Background(), serviceaccount.Query{Organization: w.org, IncludeSuspended: suspended, Page: p})
			return err
		}
	}
	tokens := func(account id.ServiceAccount) func(reads) error {
		return func(r reads) error {
			_, err := r.ListServiceAccountTokens(context.Background(), serviceaccount.TokenQuery{Organization: w.org, Account: account, Page: p})
			return err
		}
	}
	return []plannedQuery{
		{"service accounts in use " + where, "service_accounts_in_use", accounts(false)},
		{"all service accounts " + where, "service_accounts_by_age", accounts(true)},
		{"service account tokens " + where, "tokens_long", tokens("")},
		{"tokens of a service account " + where, "tokens_by_service_account", tokens(w.account)},
		{"organizations " + where, "organizations", func(r reads) error {
			_, err := r.Organizations(context.Background(), p)
			return err
		}},
	}
}

func (w filled) retentionQueries(where string, p page.Query) []plannedQuery {
	middle := time.UnixMicro(w.middle.at)
	limits := retention.Limits{NeverConnectedBefore: middle, OfflineBefore: middle.Add(-time.Millisecond)}
	return []plannedQuery{
		{"stale runners " + where, "runners_by_age", func(r reads) error {
			_, err := r.StaleRunners(context.Background(), retention.Query{Organization: w.org, Limits: limits, Page: p})
			return err
		}},
	}
}

func fill(t *testing.T, s *Store) filled {
	t.Helper()
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	w := filled{org: id.Organization(id.New()), creator: "creator 0", middle: timeCursor{at: start.UnixMicro() + big/2, id: id.New()}}
	w.group = id.Group(id.New())
	err := s.write(t.Context(), func(tx *Tx) error {
		return errors.Join(tx.InsertOrganization(t.Context(), identity.Organization{ID: w.org}), tx.InsertGroup(t.Context(), group.Group{ID: w.group, Organization: w.org}))
	})
	if err != nil {
		t.Fatal(err)
	}
	const batch = 500 // a transaction must end in time, also on a busy machine
	for from := 0; from < big; from += batch {
		fillRows(t, s, &w, start, from, from+batch)
	}
	return w
}

// fillRows adds the rows with the numbers from to until, in one transaction.
func fillRows(t *testing.T, s *Store, w *filled, start time.Time, from, until int) {
	t.Helper()
	err := s.write(t.Context(), func(tx *Tx) error {
		var errs []error
		for i := from; i < until; i++ {
			at := start.Add(time.Duration(i) * time.Microsecond)
			u := identity.User{ID: id.User(id.New()), Organization: w.org, Name: fmt.Sprintf("Person %04d", i), Email: fmt.Sprint(i), Role: 2, Status: 1, CreatedAt: at}
			r := fleet.Runner{
				ID: id.Runner(id.New()), Organization: w.org, Creator: access.Subject{Principal: access.PrincipalUser, ID: fmt.Sprintf("creator %d", i%3)},
				Kind: fleet.Kind(i%3 + 1), Provider: fleet.Provider(i%6 + 1), CreatedAt: at,
			}
			if i%500 == 0 {
				r.DeletingAt = at
			}
			if i%(big/10) == 0 {
				r.Creator.ID = creatorOfFew
			} else if i%3 > 0 {
				r.Creator.ID = string(u.ID) // most people make few
			}
			if i%8 == 0 || w.user == "" {
				w.user = string(u.ID)
			}
			errs = append(errs, tx.InsertUser(t.Context(), u), tx.InsertRunner(t.Context(), r), tx.InsertToken(t.Context(), token.Record{
				ID: id.Token(id.New()), Organization: w.org, Kind: token.Personal, Hash: token.Hash(string(u.ID)), CreatedAt: at,
				Subject: access.Subject{Principal: access.PrincipalUser, ID: w.user},
			}))
			_, _, err := tx.OpenSession(t.Context(), fleet.Session{Runner: r.ID, Replica: fmt.Sprintf("replica %d", i%50)})
			errs = append(errs, err)
			a := serviceaccount.Account{ID: id.ServiceAccount(id.New()), Organization: w.org, CreatedAt: at, ValidUntil: at.AddDate(1, 0, 0)}
			if i%3 > 0 {
				a.SuspendedAt = at
			}
			if i%8 == 0 {
				w.account = a.ID
			}
			errs = append(errs, tx.InsertServiceAccount(t.Context(), a), tx.InsertToken(t.Context(), token.Record{
				ID: id.Token(id.New()), Organization: w.org, Kind: token.ServiceAccount, Hash: token.Hash(string(a.ID)), CreatedAt: at,
				Subject: access.Subject{Principal: access.PrincipalServiceAccount, ID: string(w.account)},
			}), tx.InsertOrganization(t.Context(), identity.Organization{ID: id.Organization(id.New()), CreatedAt: at}))
			errs = append(errs, tx.InsertEnvironmentClass(t.Context(), envclass.Class{ID: id.New(), Organization: w.org, Runner: r.ID, CreatedAt: at}))
			errs = append(errs, fillGroups(t, tx, w, i, at, r, u.ID)...)
			if w.runner = r.ID; i%10 == 0 {
				errs = append(errs, tx.InsertAssignment(t.Context(), group.Assignment{
					ID: id.New(), Organization: w.org, Group: w.group, Type: resource.Runner, Resource: string(r.ID), Role: resource.RoleRunnerUser, CreatedAt: at,
				}))
			}
			errs = append(errs, tx.AppendKey(t.Context(), fleet.KeyEvent{Runner: r.ID, Operation: fleet.KeyFirst, CreatedAt: at}))
			errs = append(errs, w.fillAudit(t.Context(), tx, i, at))
			errs = append(errs, fillSCM(t.Context(), tx, *w, r, at)...)
			errs = append(errs, tx.InsertRemoval(t.Context(), departure.Removal{
				Kind: departure.OfHost, ID: id.New(), Object: access.Object{ID: string(r.ID), Organization: w.org}, Host: "example.com", At: at,
			}))
			errs = append(errs, tx.InsertLLMIntegration(t.Context(), llm.Integration{ID: id.New(), Organization: w.org, Runner: r.ID, CreatedAt: at}))
		}
		return errors.Join(errs...)
	})
	if err != nil {
		t.Fatal(err)
	}
}

var errRecorded = errors.New("sqlstore: the query was recorded")

// recorder keeps the text and the arguments of a query.
type recorder struct {
	query.DBTX
	text string
	args []any
}

func (r *recorder) QueryContext(_ context.Context, text string, args ...any) (*sql.Rows, error) {
	r.text, r.args = text, args
	return nil, errRecorded
}

// QueryRowContext gets its error from a pool that cannot connect, since only
// the package sql makes a Row.
func (r *recorder) QueryRowContext(ctx context.Context, text string, args ...any) *sql.Row {
	r.text, r.args = text, args
	db := sql.OpenDB(unconnectable{})
	defer db.Close() //nolint:errcheck // it never opened
	return db.QueryRowContext(ctx, text)
}

type unconnectable struct{ driver.Connector }

func (unconnectable) Connect(context.Context) (driver.Conn, error) { return nil, errRecorded }

func explainSQLite(t *testing.T, db *sql.DB, text string, args []any) string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+text, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err is checked
	var plan []string
	for rows.Next() {
		var a, b, c int
		var step string
		if err := rows.Scan(&a, &b, &c, &step); err != nil {
			t.Fatal(err)
		}
		if step != "SCAN v" { // the runners that were found for a viewer
			plan = append(plan, step)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return strings.Join(plan, "\n")
}

// explainPostgres explains the plan for these arguments and the one for any,
// of which the server chooses when a statement is used often.
func explainPostgres(t *testing.T, db *sql.DB, text string, args []any) string {
	t.Helper()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // the test is over
	literals := make([]string, len(args))
	for i, a := range args {
		switch a := a.(type) {
		case string:
			literals[i] = "'" + a + "'"
		case sql.NullString:
			literals[i] = "'" + a.String + "'"
		case []byte:
			literals[i] = fmt.Sprintf("'\\x%x'", a)
		default:
			literals[i] = fmt.Sprint(a)
		}
	}
	var plans []string
	for _, mode := range []string{"force_custom_plan", "force_generic_plan"} {
		for _, statement := range []string{"SET plan_cache_mode = " + mode, "DEALLOCATE ALL", "PREPARE planned AS " + text} {
			if _, err := conn.ExecContext(t.Context(), statement, pgx.QueryExecModeSimpleProtocol); err != nil {
				t.Fatal(err)
			}
		}
		plans = append(plans, mode+":")
		execute := "EXECUTE planned"
		if len(literals) > 0 {
			execute += " (" + strings.Join(literals, ", ") + ")"
		}
		rows, err := conn.QueryContext(t.Context(), "EXPLAIN ANALYZE "+execute, pgx.QueryExecModeSimpleProtocol)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var line string
			if err := rows.Scan(&line); err != nil {
				t.Fatal(err)
			}
			plans = append(plans, line)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return strings.Join(plans, "\n")
}
