package sqlstore

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What is being removed is hidden from every read. So every query of a table in
// which rows may be hidden asks table removals, or reads a view that does, or is
// here with the reason why not.
func TestQueriesHideWhatIsRemoved(t *testing.T) {
	sees := map[string]bool{
		// Writes, behind a look-up that finds nothing hidden.
		"UseExchangeToken": true, "TouchToken": true, "DeleteToken": true, "ExpireToken": true, "DeleteRotatedTokens": true,
		"LockGroup": true, "UpdateGroup": true, "DeleteGroup": true, "DeleteMembership": true, "UpdateRoleAssignment": true, "DeleteRoleAssignment": true,
		"LockRunner": true, "UpdateRunner": true, "DeleteRunner": true, "UpdateStatus": true, "NextEpoch": true, "EndSession": true, "UpdateSession": true,
		"UpdateEnvironmentClass": true, "UpdateSCMIntegration": true, "DeleteSCMIntegration": true, "UpdateLLMIntegration": true, "DeleteLLMIntegration": true,
		"UpdateHostToken": true, "DeleteHostToken": true, "InsertRoleAssignment": true,
		"TakeToken": true, "EndAccess": true, "SetAccessEnd": true,
		// What was made under a wrong clock is named, whether or not it is there.
		"ListTokensOfDoubt": true,
		// Of an owner that is locked and there.
		"CountLiveTokensOfUser": true, "CountLiveTokensOfServiceAccount": true, "CountLiveExchangeTokens": true, "ListLLMIntegrationIDs": true,
		"ListSealedHeaders": true, "ListSealedHeadersOf": true,
		// What is not hidden in the view that they read is left.
		"ListSCMIntegrationsSeenBy": true,
		// Each runner is looked up before anything is done to it.
		"ListRunnersWithoutKey": true,
	}
	hiding := regexp.MustCompile(`\b(?:FROM|JOIN|UPDATE|INTO)\s+(tokens|runners|sessions|groups|memberships|role_assignments|environment_classes|scm_integrations|llm_integrations|host_tokens)\b`)
	files, err := filepath.Glob("query/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	used := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file) //nolint:gosec // one of this package's
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Base(file) == "departure.sql" {
			continue // what removes it sees it
		}
		for _, q := range strings.Split(string(text), "-- name: ")[1:] {
			name, body, _ := strings.Cut(q, " ")
			body, _, _ = strings.Cut(body, ";")
			tables := hiding.FindAllStringSubmatch(body, -1)
			if len(tables) == 0 || strings.Contains(body, "INSERT INTO") && len(tables) == 1 {
				continue
			}
			allowed := sees[name]
			used[name] = allowed
			if hides := strings.Contains(body, "FROM removals d"); hides == allowed {
				t.Errorf("%s: %s reads %s; it hides what is removed: %v, and is in the list of those that need not: %v", file, name, tables[0][1], hides, allowed)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(sees)) {
		if !used[name] {
			t.Errorf("%s is in the list, and there is no such query", name)
		}
	}
}
