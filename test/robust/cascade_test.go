package robust_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musterhq/muster/test/muster"
)

// A connected runner is deleted with all that belongs to it. Everybody who
// watches learns of exactly what they could see, and nothing is left.
func TestDeletingARunnerWithEverything(t *testing.T) {
	t.Parallel()
	for engine, options := range engines {
		for _, force := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/force=%v", engine, force), func(t *testing.T) {
				t.Parallel()
				o := options(t)
				s := muster.Serve(t, o)
				deleteWithEverything(t, s, o, force)
			})
		}
	}
}

func deleteWithEverything(t *testing.T, s *muster.Server, o muster.ServerOptions, force bool) {
	own := organizationOf(t, s, s.Token)
	r, other := connected(t, s, "has everything"), connected(t, s, "stays")
	admin := &observer{witness: own.witness, id: own.me}
	user, manager, account, sharer, passer := own.person(t, "User"), own.person(t, "Manager"), own.account(t, "robot"), own.person(t, "Sharer"), own.person(t, "Passer-by")
	second := own.call(t, admins+"InstallationService/CreateOrganization", object{"name": "Second", "adminName": "Eve", "adminEmail": "eve@example.com"})
	foreign := organizationOf(t, s, second.text("token"))
	stranger := &observer{witness: foreign.witness, id: foreign.me}

	users, managers := own.group(t), own.group(t)
	own.join(t, users, "PRINCIPAL_USER", user.id)
	own.join(t, users, "PRINCIPAL_SERVICE_ACCOUNT", account.id)
	own.join(t, managers, "PRINCIPAL_USER", manager.id)
	for _, runner := range []string{r.id, other.id} {
		own.policy(t, runner, users, "RUNNER_ROLE_USER")
		own.policy(t, runner, managers, "RUNNER_ROLE_ADMIN")
		own.call(t, groups+"ShareResourceWithPrincipal", object{
			"resourceType": "RESOURCE_TYPE_RUNNER", "resourceId": runner, "principal": "PRINCIPAL_USER", "principalId": sharer.id, "role": "RESOURCE_ROLE_RUNNER_USER",
		})
	}

	// One of everything for both runners; what belongs to the other one stays.
	belongs := map[string]map[string]string{}
	for _, runner := range []string{r.id, other.id} {
		hostToken := func(w *observer) string {
			return w.call(t, config+"CreateHostAuthenticationToken", object{
				"runnerId": runner, "host": "git.example.com", "token": "t", "source": "HOST_AUTHENTICATION_TOKEN_SOURCE_PAT",
			}).text("token", "id")
		}
		oauth := object{"runnerId": runner, "scmId": "gitea", "host": "git.example.com", "oauthClientId": "x", "oauthPlaintextClientSecret": "y"}
		belongs[runner] = map[string]string{
			"class":    own.call(t, config+"CreateEnvironmentClass", object{"runnerId": runner, "displayName": "Small", "description": "A small one"}).text("id"),
			"disabled": own.call(t, config+"CreateEnvironmentClass", object{"runnerId": runner, "displayName": "Large", "description": "A large one"}).text("id"),
			"scm":      own.call(t, config+"CreateSCMIntegration", oauth).text("id"),
			"llm": own.call(t, config+"CreateLLMIntegration", object{
				"runnerId": runner, "models": []any{"SUPPORTED_MODEL_SONNET_4"}, "apiKey": "k",
			}).text("id"),
			"admin": hostToken(admin), "user": hostToken(user), "account": hostToken(account), "sharer": hostToken(sharer),
		}
		own.call(t, config+"UpdateEnvironmentClass", object{"environmentClassId": belongs[runner]["disabled"], "enabled": false})
	}
	assignments := map[string]string{} // of the runner, by group
	var roles struct {
		Assignments []struct{ ID, GroupID string }
	}
	if err := json.Unmarshal(own.call(t, groups+"ListRoleAssignments", object{"filter": object{"resourceId": r.id}}), &roles); err != nil || len(roles.Assignments) != 3 {
		t.Fatalf("the roles on the runner are %v, %v", roles, err)
	}
	direct := ""
	for _, a := range roles.Assignments {
		assignments[a.GroupID] = a.ID
		if a.GroupID != users && a.GroupID != managers {
			direct = a.GroupID
		}
	}

	watchers := []*observer{admin.watch(t), user.watch(t), manager.watch(t), account.watch(t), sharer.watch(t), passer.watch(t), stranger.watch(t)}
	r.delete(t, force)
	muster.Until(t, muster.Patience, func() error { return r.gone(t) })
	r.host.Wait(t, muster.Patience)
	own.mark(t)
	foreign.mark(t)
	for _, w := range watchers {
		w.marked(t, 1)
	}

	b := belongs[r.id]
	common := []string{"RUNNER DELETE " + r.id, "ENVIRONMENT_CLASS DELETE " + b["class"], "ENVIRONMENT_CLASS DELETE " + b["disabled"], "RUNNER_SCM_INTEGRATION DELETE " + b["scm"], "RUNNER_LLM_INTEGRATION DELETE " + b["llm"]}
	hostTokens := func(whose ...string) (all []string) {
		for _, name := range whose {
			all = append(all, "HOST_AUTHENTICATION_TOKEN DELETE "+b[name])
		}
		return all
	}
	role := func(group string) string { return "ROLE_ASSIGNMENT DELETE " + assignments[group] }
	everything := slices.Concat(common, hostTokens("admin", "user", "account", "sharer"), []string{role(users), role(managers), role(direct)})
	for name, tt := range map[string]struct {
		who  *observer
		want []string
	}{
		"the admin":           {admin, everything},
		"the manager":         {manager, everything},
		"the user":            {user, slices.Concat(common, hostTokens("user"), []string{role(users)})},
		"the service account": {account, slices.Concat(common, hostTokens("account"), []string{role(users)})},
		"the sharer":          {sharer, slices.Concat(common, hostTokens("sharer"), []string{role(direct)})},
		"the passer-by":       {passer, nil},
		"the stranger":        {stranger, nil},
	} {
		slices.Sort(tt.want)
		if d := cmp.Diff(tt.want, tt.who.deletions()); d != "" {
			t.Errorf("%s saw other deletions (-want +got):\n%s", name, d)
		}
	}
	for _, w := range []*observer{passer, stranger} {
		for _, e := range w.Seen() {
			if e.GetResourceId() == r.id {
				t.Errorf("%s saw %s", w.id, said(e))
			}
		}
	}

	// Nothing is left of it, and everything of the other one.
	for procedure, field := range map[string]string{
		runners + "GetRunner": "", config + "GetEnvironmentClass": "class", config + "GetSCMIntegration": "scm",
		config + "GetLLMIntegration": "llm", config + "GetHostAuthenticationToken": "user",
	} {
		key := map[string]string{runners + "GetRunner": "runnerId", config + "GetEnvironmentClass": "environmentClassId"}[procedure]
		if key == "" {
			key = "id"
		}
		gone, stays := b[field], belongs[other.id][field]
		if field == "" {
			gone, stays = r.id, other.id
		}
		own.notFound(t, "of a deleted runner", procedure, object{key: gone})
		own.call(t, procedure, object{key: stays})
	}
	for _, list := range []string{runners + "ListRunners", config + "ListEnvironmentClasses", config + "ListSCMIntegrations", config + "ListLLMIntegrations", config + "ListHostAuthenticationTokens", groups + "ListRoleAssignments", groups + "ListGroups"} {
		got := string(own.call(t, list, object{}))
		if strings.Contains(got, r.id) || !strings.Contains(list, "Group") && !strings.Contains(got, other.id) {
			t.Errorf("%s: %s", list, got)
		}
	}
	s.Kill()
	d := databaseOf(t, s, o)
	for table, column := range d.runnerTables(t) {
		if n := d.count(t, table, column+" = '"+r.id+"'"); n > 0 {
			t.Errorf("%d rows of %s refer to the runner that was deleted", n, table)
		}
		if n := d.count(t, table, column+" = '"+other.id+"'"); n == 0 {
			t.Errorf("no row of %s refers to the runner that stays", table)
		}
	}
	d.orphans(t)
}
