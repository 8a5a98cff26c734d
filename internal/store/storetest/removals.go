package storetest

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/audit"
	"github.com/musterhq/muster/internal/departure"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/group"
	"github.com/musterhq/muster/internal/hosttoken"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/identity"
	paging "github.com/musterhq/muster/internal/page"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/scm"
	"github.com/musterhq/muster/internal/serviceaccount"
	"github.com/musterhq/muster/internal/token"
)

const (
	// crowd is how many rows hang on what is removed; more than fit into several
	// transactions.
	crowd = 1200
	// mostRows is how many rows one transaction may touch.
	mostRows = 500
)

// numbers is a table of the numbers up to crowd, for both engines.
const numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1200) "

// removalTests remove what very much hangs on: no transaction touches more than
// mostRows, nothing is visible after the first, and in the end each row has left
// the traces that it leaves when there are few.
func removalTests() map[string]func(*testing.T, *world) {
	return map[string]func(*testing.T, *world){
		"A member with many tokens, groups and credentials": func(t *testing.T, w *world) {
			u := w.user(1)
			w.addUsers(t, u)
			w.crowdOf(t, userSubject(u))
			s := identity.New(w.store.Identity(), quietLinks{}, slog.New(slog.DiscardHandler))
			w.removes(t, removal{
				tables: []string{"tokens", "memberships", "host_tokens"},
				remove: func(ctx context.Context, c access.Caller) error { return s.RemoveMember(ctx, c, u.ID) },
				hidden: func(t *testing.T) { w.wantNothingOf(t, userSubject(u)) },
				actions: map[string]int{
					"personal_access_token.delete": crowd, "group.member.remove": 2 * crowd, "host_authentication_token.delete": crowd, "member.remove": 1,
				},
			})
		},
		"A service account with many tokens, groups and credentials": func(t *testing.T, w *world) {
			a := w.account(1)
			must(t, w.store.ServiceAccounts().Write(t.Context(), func(tx serviceaccount.Tx) error { return tx.InsertServiceAccount(t.Context(), a) }))
			w.crowdOf(t, a.Subject())
			s := serviceaccount.New(w.store.ServiceAccounts(), quietLinks{}, w.identities())
			w.removes(t, removal{
				tables: []string{"tokens", "memberships", "host_tokens"},
				remove: func(ctx context.Context, c access.Caller) error { return s.Delete(ctx, c, a.ID) },
				hidden: func(t *testing.T) { w.wantNothingOf(t, a.Subject()) },
				actions: map[string]int{
					"service_account_token.delete": crowd, "group.member.remove": 2 * crowd, "host_authentication_token.delete": crowd, "service_account.delete": 1,
				},
			})
		},
		"A runner with much of everything":    testRemovedRunner,
		"A group with many members and roles": testRemovedGroup,
		"A host with many credentials":        testRemovedHost,
	}
}

// removal is how something is removed, and what that leaves.
type removal struct {
	// tables are empty in the end.
	tables []string
	remove func(context.Context, access.Caller) error
	// hidden fails when anything is visible. It is called after the first
	// transaction, between the others, and in the end.
	hidden func(*testing.T)
	// actions are those of the audit entries, and how many there are of each.
	actions map[string]int
}

func (w *world) removes(t *testing.T, r removal) {
	t.Helper()
	before := len(w.db.AuditEntries(t, w.org))
	w.published()
	touched := w.db.Touched(t)
	c := w.admin()
	ctx := audit.WithRequestID(t.Context(), "the call")
	must(t, r.remove(ctx, c))
	if n := touched(); n > mostRows {
		t.Errorf("the first transaction touched %d rows", n)
	}
	r.hidden(t)
	w.reopen(t) // what is left to do is in the database
	ctx, cancel := context.WithCancel(t.Context())
	steps := &countedSteps{Store: w.store.Departures(), touched: touched, done: cancel, between: func(n int64) {
		if n > mostRows {
			t.Errorf("a step touched %d rows", n)
		}
	}}
	departure.New(steps, quietLinks{}, func(context.Context, access.Subject) {}, slog.New(slog.DiscardHandler)).Run(ctx)
	if steps.taken < 2 {
		t.Errorf("%d steps; the first transaction did nearly everything", steps.taken)
	}
	r.hidden(t)
	for _, table := range append(r.tables, "removals") {
		w.wantRows(t, table, 0)
	}
	got, events := map[string]int{}, 0
	for _, e := range w.db.AuditEntries(t, w.org)[before:] {
		if e.Action == "group.create" {
			continue // that took the name
		}
		got[e.Action]++
		if e.Actor != c.Subject || e.RequestID != "the call" {
			t.Fatalf("%s was done by %v with the call %q", e.Action, e.Actor, e.RequestID)
		}
	}
	for action, n := range r.actions {
		if got[action] != n {
			t.Errorf("%d entries %s, want %d", got[action], action, n)
		}
	}
	for _, e := range w.published() {
		if e.Operation == event.Deleted {
			events++
		}
	}
	deleted := 0
	for action, n := range got {
		if strings.HasSuffix(action, ".delete") && action != "role_assignment.delete" {
			deleted += n
		}
	}
	if events < deleted {
		t.Errorf("%d events of %d deletions", events, deleted)
	}
}

// countedSteps counts the rows of each transaction, and ends when there is nothing
// left to do.
type countedSteps struct {
	departure.Store
	touched func() int64
	between func(rows int64)
	done    func()
	taken   int
}

func (s *countedSteps) Removals(ctx context.Context, limit int) ([]departure.Removal, error) {
	removals, err := s.Store.Removals(ctx, limit)
	if err == nil && len(removals) == 0 {
		s.done()
	}
	return removals, err
}

func (s *countedSteps) Write(ctx context.Context, fn func(departure.Tx) error) error {
	s.touched()
	err := s.Store.Write(ctx, fn)
	s.between(s.touched())
	s.taken++
	return err
}

type quietLinks struct{}

func (quietLinks) SecretsChanged(id.Runner, ...string) {}
func (quietLinks) ConfigurationChanged(id.Runner)      {}
func (quietLinks) Cut(id.Runner, error)                {}
func (quietLinks) Revoked(id.Token, access.Subject)    {}
func (quietLinks) Doubted(id.Token, access.Subject)    {}

// wantRows counts the rows of a table, past the store.
func (w *world) wantRows(t *testing.T, table string, want int64) {
	t.Helper()
	if n := w.db.Count(t, "SELECT COUNT(*) FROM "+table); n != want {
		t.Errorf("%d rows in %s, want %d", n, table, want)
	}
}

// crowdOf gives a user or a service account very many tokens, groups, and
// credentials on a runner of their own each.
func (w *world) crowdOf(t *testing.T, s access.Subject) {
	t.Helper()
	kind := token.Personal
	if s.Principal == access.PrincipalServiceAccount {
		kind = token.ServiceAccount
	}
	var tokens []token.Record
	for n := range crowd {
		tokens = append(tokens, w.token(kind, s, n))
	}
	for part := range slices.Chunk(tokens, 300) {
		w.addTokens(t, part...)
	}
	w.db.Exec(t, "INSERT INTO groups (id, organization_id, name, description, direct_principal, direct_id, created_at, updated_at, revision, name_lower) "+
		numbers+"SELECT 'group ' || i, '"+string(w.org)+"', 'group ' || i, '', 0, '', i, i, 1, '' FROM n")
	w.db.Exec(t, fmt.Sprintf("INSERT INTO memberships (id, organization_id, group_id, subject_principal, subject_id, created_at) "+
		numbers+"SELECT 'membership ' || i, '%s', 'group ' || i, %d, '%s', i FROM n", w.org, s.Principal, s.ID))
	r := w.runner(1)
	w.addRunners(t, r)
	w.credentials(t, r, fmt.Sprintf("'host ' || i AS host, %d AS principal, '%s' AS subject", s.Principal, s.ID))
}

// credentials puts very many credentials on a runner; columns are the host and the
// subject.
func (w *world) credentials(t *testing.T, r fleet.Runner, columns string) {
	t.Helper()
	w.db.Exec(t, fmt.Sprintf("INSERT INTO host_tokens (id, organization_id, runner_id, host, subject_principal, subject_id, source, token, refresh_token, integration_id, scopes, "+
		"expires_at, created_at, updated_at, revision, host_lower) "+
		numbers+"SELECT 'credential ' || c.i, '%s', '%s', c.host, c.principal, c.subject, 1 + c.i %% 2, '', '', '', '[]', 0, c.i, c.i, 1, c.host FROM ("+
		"SELECT i, %s FROM n) c", w.org, r.ID, columns))
}

// wantNothingOf fails when anything of a user or a service account is visible.
func (w *world) wantNothingOf(t *testing.T, s access.Subject) {
	t.Helper()
	ctx, c := t.Context(), w.admin()
	identities, groups := w.identities(), w.groups(w.store.Groups())
	if rows, _, err := identities.PersonalTokens(ctx, c, []string{s.ID}, paging.Request{}); err != nil || len(rows) > 0 {
		t.Errorf("%d personal tokens, %v", len(rows), err)
	}
	accounts := serviceaccount.New(w.store.ServiceAccounts(), quietLinks{}, identities)
	if rows, _, err := accounts.Tokens(ctx, c, paging.Request{}); err != nil || len(rows) > 0 {
		t.Errorf("%d service account tokens, %v", len(rows), err)
	}
	if rows, _, err := hosttoken.New(w.store.HostTokens(), nil).List(ctx, c, hosttoken.Query{}, paging.Request{}); err != nil || len(rows) > 0 {
		t.Errorf("%d credentials for hosts, %v", len(rows), err)
	}
	if ids, err := w.store.Groups().GroupIDsOf(ctx, w.org, s.ID); err != nil || len(ids) > 0 {
		t.Errorf("still in %d groups, %v", len(ids), err)
	}
	for _, g := range []id.Group{"group 1", "group 600", "group 1200"} {
		if got, err := groups.Get(ctx, c, g); err != nil || got.Members != 0 {
			t.Errorf("%s has %d members, %v", g, got.Members, err)
		}
		if rows, _, err := groups.Members(ctx, c, group.MemberQuery{Group: g}, paging.Request{}); err != nil || len(rows) > 0 {
			t.Errorf("%s has the members %v, %v", g, rows, err)
		}
	}
}

// testRemovedRunner removes a runner with many classes, integrations, credentials,
// roles, tokens and keys.
func testRemovedRunner(t *testing.T, w *world) {
	r, g, u := w.runner(1), w.ordinaryGroup(1), w.user(1)
	w.addRunners(t, r)
	w.addGroups(t, g)
	w.addUsers(t, u)
	var tokens []token.Record
	for n := range crowd {
		tokens = append(tokens, w.token(token.Runner, runnerSubject(r), n))
	}
	for part := range slices.Chunk(tokens, 300) {
		w.addTokens(t, part...)
	}
	of := fmt.Sprintf("'%s', '%s'", w.org, r.ID)
	w.db.Exec(t, "INSERT INTO environment_classes (id, organization_id, runner_id, display_name, description, configuration, enabled, created_at, updated_at, revision) "+
		numbers+"SELECT 'class ' || i, "+of+", 'c', '', '[]', TRUE, i, i, 1 FROM n")
	w.db.Exec(t, "INSERT INTO scm_integrations (id, organization_id, runner_id, scm_id, host, pat, oauth_client_id, oauth_client_secret, issuer_url, virtual_directory, created_at, updated_at, revision, host_lower) "+
		numbers+"SELECT 'integration ' || i, "+of+", 'github', 'host ' || i, TRUE, '', '', '', '', i, i, 1, 'host ' || i FROM n")
	w.db.Exec(t, "INSERT INTO llm_integrations (id, organization_id, runner_id, models, endpoint, api_key, max_tokens, enabled, headers, created_at, updated_at, revision) "+
		numbers+"SELECT 'llm ' || i, "+of+", '[]', '', '', 0, TRUE, '[]', i, i, 1 FROM n")
	w.credentials(t, r, "'host ' || i AS host, 2 AS principal, 'user ' || i AS subject")
	// A group with a role, and very many people with whom it is shared.
	w.db.Exec(t, "INSERT INTO groups (id, organization_id, name, description, direct_principal, direct_id, created_at, updated_at, revision, name_lower) "+
		numbers+"SELECT 'share ' || i, '"+string(w.org)+"', 'direct-share-' || i, '', 2, 'user ' || i, i, i, 1, '' FROM n")
	w.db.Exec(t, "INSERT INTO memberships (id, organization_id, group_id, subject_principal, subject_id, created_at) "+
		numbers+"SELECT 'membership ' || i, '"+string(w.org)+"', 'share ' || i, 2, 'user ' || i, i FROM n")
	w.db.Exec(t, "INSERT INTO role_assignments (id, organization_id, group_id, resource_type, resource_id, resource_role, slot, created_at, revision, runner_id, runner_created_at) "+
		numbers+fmt.Sprintf("SELECT 'role ' || i, '%s', 'share ' || i, 2, '%s', 17, 14, i, 1, '%[2]s', 0 FROM n", w.org, r.ID))
	w.addAssignments(t, w.onRunner(g, r, resource.RoleRunnerUser, 0))
	w.db.Exec(t, "INSERT INTO runner_keys (runner_id, sequence, operation, public_key, signing_key, actor_principal, actor_id, created_at) "+
		numbers+"SELECT '"+string(r.ID)+"', i, 3, '', '', 0, '', i FROM n")
	fleets := func() *fleet.Service {
		return fleet.New(fleet.Config{Store: w.store.Fleet(), Links: runnerLinks{}, Revoker: quietLinks{}, Log: slog.New(slog.DiscardHandler)})
	}
	w.removes(t, removal{
		tables: []string{"runners", "tokens", "environment_classes", "scm_integrations", "llm_integrations", "host_tokens", "role_assignments", "memberships", "runner_keys"},
		remove: func(ctx context.Context, c access.Caller) error { return fleets().Delete(ctx, c, r.ID, true) },
		hidden: func(t *testing.T) {
			ctx, c := t.Context(), w.admin()
			if _, err := fleets().Get(ctx, c, r.ID); err == nil {
				t.Error("the runner is there")
			}
			if rows, _, err := fleets().List(ctx, c, fleet.Query{}, paging.Request{}); err != nil || len(rows) > 0 {
				t.Errorf("%d runners, %v", len(rows), err)
			}
			if _, ok, err := w.store.Identity().Credential(ctx, tokens[crowd-1].Hash); err != nil || ok {
				t.Errorf("a token of it: %v, %v", ok, err)
			}
			if rows, err := w.store.SCM().SCMIntegrations(ctx, scm.Query{Organization: w.org, Reach: access.Reach{All: true}, Page: paging.Query{Limit: 10}}); err != nil || len(rows) > 0 {
				t.Errorf("%d integrations, %v", len(rows), err)
			}
			direct := true
			groups := w.groups(w.store.Groups())
			if rows, _, err := groups.List(ctx, c, group.Query{Direct: &direct}, paging.Request{}); err != nil || len(rows) > 0 {
				t.Errorf("%d groups for sharing, %v", len(rows), err)
			}
			for _, f := range []group.AssignmentFilter{{}, {Group: g.ID}, {Resource: string(r.ID)}, {Roles: []resource.Role{resource.RoleRunnerUser}}} {
				if rows, _, err := groups.Assignments(ctx, c, f, paging.Request{}); err != nil || len(rows) > 0 {
					t.Errorf("%+v: %d role assignments, %v", f, len(rows), err)
				}
			}
			for _, o := range []access.Object{
				{Type: resource.EnvironmentClass, ID: "class 1100"},
				{Type: resource.RunnerSCMIntegration, ID: "integration 1100"},
				{Type: resource.RunnerLLMIntegration, ID: "llm 1100"},
				{Type: resource.HostAuthenticationToken, ID: "credential 1100"},
				{Type: resource.RoleAssignment, ID: "role 1100"},
				{Type: resource.Group, ID: "share 1100"},
			} {
				if _, ok, err := w.store.Groups().Object(ctx, w.org, o.Type, o.ID); err != nil || ok {
					t.Errorf("%s %s is there, %v", o.Type, o.ID, err)
				}
			}
		},
		actions: map[string]int{
			"environment_class.delete": crowd, "scm_integration.delete": crowd, "llm_integration.delete": crowd, "host_authentication_token.delete": crowd,
			"role_assignment.delete": crowd + 1, "group.delete": crowd, "runner.delete": 1,
		},
	})
}

type runnerLinks struct{ fleet.Links }

func (runnerLinks) Cut(id.Runner, error) {}

// testRemovedGroup removes a group with many members, with a role on many runners,
// and on which many people have a role.
func testRemovedGroup(t *testing.T, w *world) {
	g := w.ordinaryGroup(1)
	w.addGroups(t, g)
	org := string(w.org)
	w.db.Exec(t, "INSERT INTO memberships (id, organization_id, group_id, subject_principal, subject_id, created_at) "+
		numbers+"SELECT 'membership ' || i, '"+org+"', '"+string(g.ID)+"', 2, 'user ' || i, i FROM n")
	r := w.runner(1)
	w.addRunners(t, r)
	w.addAssignments(t, w.onRunner(g, r, resource.RoleRunnerUser, 0))
	w.db.Exec(t, "INSERT INTO role_assignments (id, organization_id, group_id, resource_type, resource_id, resource_role, slot, created_at, revision, runner_id, runner_created_at) "+
		numbers+"SELECT 'own ' || i, '"+org+"', '"+string(g.ID)+"', 9, 'class ' || i, 11, 11, i, 1, NULL, 0 FROM n")
	w.db.Exec(t, "INSERT INTO groups (id, organization_id, name, description, direct_principal, direct_id, created_at, updated_at, revision, name_lower) "+
		numbers+"SELECT 'share ' || i, '"+org+"', 'direct-share-' || i, '', 2, 'user ' || i, i, i, 1, '' FROM n")
	w.db.Exec(t, "INSERT INTO memberships (id, organization_id, group_id, subject_principal, subject_id, created_at) "+
		numbers+"SELECT 'own membership ' || i, '"+org+"', 'share ' || i, 2, 'user ' || i, i FROM n")
	w.db.Exec(t, "INSERT INTO role_assignments (id, organization_id, group_id, resource_type, resource_id, resource_role, slot, created_at, revision, runner_id, runner_created_at) "+
		numbers+"SELECT 'on ' || i, '"+org+"', 'share ' || i, 12, '"+string(g.ID)+"', 5, 5, i, 1, NULL, 0 FROM n")
	again := 0
	w.removes(t, removal{
		tables: []string{"memberships", "role_assignments"},
		remove: func(ctx context.Context, c access.Caller) error {
			return w.groups(w.store.Groups()).Delete(ctx, c, g.ID)
		},
		hidden: func(t *testing.T) {
			ctx, c := t.Context(), w.admin()
			groups := w.groups(w.store.Groups())
			if _, err := groups.Get(ctx, c, g.ID); err == nil {
				t.Error("the group is there")
			}
			if _, err := groups.GetByName(ctx, c, g.Name); (err == nil) != (again > 0) {
				t.Errorf("its name: %v", err)
			}
			if rows, _, err := groups.Assignments(ctx, c, group.AssignmentFilter{}, paging.Request{}); err != nil || len(rows) > 0 {
				t.Errorf("%d role assignments, %v", len(rows), err)
			}
			if rows, _, err := groups.List(ctx, c, group.Query{}, paging.Request{}); err != nil || len(rows) != again {
				t.Errorf("%d groups, %v", len(rows), err)
			}
			if grants := w.readRunner(t, r).Grants; len(grants) > 0 {
				t.Errorf("the runner has the roles %v", grants)
			}
			if ids, err := w.store.Groups().GroupIDsOf(ctx, w.org, "user 1100"); err != nil || slices.Contains(ids, g.ID) {
				t.Errorf("somebody is in %v, %v", ids, err)
			}
			if again == 0 {
				must(t, w.store.Groups().Write(ctx, func(tx group.Tx) error {
					n, err := tx.CountGroups(ctx, w.org)
					if n != 0 {
						t.Errorf("%d groups are counted", n)
					}
					return err
				}))
				_, err := groups.Create(ctx, c, w.org, g.Name, "") // its name is free
				must(t, err)
				again++
			}
		},
		actions: map[string]int{"group.member.remove": 2 * crowd, "role_assignment.delete": 3 * (2*crowd + 1), "group.delete": crowd + 1},
	})
}

// testRemovedHost removes an integration with a host for which many have a
// credential, and makes it and a credential anew while that goes on.
func testRemovedHost(t *testing.T, w *world) {
	r, u := w.runner(1), w.user(1)
	w.addRunners(t, r)
	w.addUsers(t, u)
	i := scmIntegration(r, "GitHub.com", 1)
	w.writeSCM(t, func(tx scm.Tx) error { return tx.InsertSCMIntegration(t.Context(), i) })
	w.credentials(t, r, "'github.com' AS host, 2 AS principal, CASE WHEN i = 1100 THEN '"+string(u.ID)+"' ELSE 'user ' || i END AS subject")
	elsewhere := hostToken(r, "gitlab.com", 1)
	w.addHostTokens(t, elsewhere)
	fresh := hostToken(r, "github.com", 1)
	fresh.Subject = userSubject(u)
	again := false
	w.removes(t, removal{
		remove: func(ctx context.Context, c access.Caller) error {
			return scm.New(w.store.SCM(), quietLinks{}, nil).Delete(ctx, c, i.ID)
		},
		hidden: func(t *testing.T) {
			ctx := t.Context()
			if !again {
				got, ok, err := w.store.HostTokens().HostTokenOf(ctx, r.ID, "github.com", userSubject(u))
				missing(t, got, ok, err)
				again = true
				w.writeSCM(t, func(tx scm.Tx) error {
					j := scmIntegration(r, "github.com", 1)
					return tx.InsertSCMIntegration(ctx, j)
				})
				w.addHostTokens(t, fresh)
			}
			rows, _, err := hosttoken.New(w.store.HostTokens(), nil).List(ctx, w.admin(), hosttoken.Query{}, paging.Request{})
			if err != nil || len(rows) != 2 || rows[0].ID != elsewhere.ID && rows[1].ID != elsewhere.ID {
				t.Errorf("%d credentials, %v", len(rows), err)
			}
			items, err := w.store.Sealed().Sealed(ctx, r.ID)
			for _, item := range items {
				if strings.HasPrefix(item.ID, "credential") {
					t.Fatalf("the runner can still have %+v", item)
				}
			}
			must(t, err)
		},
		actions: map[string]int{"host_authentication_token.delete": crowd, "scm_integration.delete": 1},
	})
	w.wantRows(t, "host_tokens", 2)
	if got, ok, err := w.store.HostTokens().HostTokenOf(t.Context(), r.ID, "github.com", userSubject(u)); found(t, got, ok, err).ID != fresh.ID {
		t.Errorf("the credential is %+v", got)
	}
}
