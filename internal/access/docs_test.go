package access_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/resource"
)

var update = flag.Bool("update", false, "write the table of actions to docs/access.md")

// The table of actions in the documentation is what the tables here say.
func TestDocumentedActions(t *testing.T) {
	const path, title, next = "../../docs/access.md", "\n## Actions\n", "\n## "
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, section, found := strings.Cut(string(raw), title)
	if !found {
		t.Fatalf("%s has no section %q", path, title)
	}
	section, after, _ := strings.Cut(section, next)
	text, table, _ := strings.Cut(section, "\n|")
	if diff := cmp.Diff(actions(), "|"+table); diff != "" && !*update {
		t.Errorf("the table of actions in %s; write it with: go test ./internal/access -update\n%s", path, diff)
	}
	if *update {
		if err := os.WriteFile(path, []byte(before+title+text+"\n"+actions()+next+after), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func actions() string {
	var b strings.Builder
	b.WriteString("| action | asked for on | roles | and |\n|---|---|---|---|\n")
	for _, a := range access.Actions() {
		var on, roles []string
		for _, t := range a.On {
			if t != resource.Organization || len(a.On) == 1 {
				on = append(on, t.Words())
			}
		}
		for _, r := range a.Roles {
			roles = append(roles, "`"+r.Words()+"`")
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", a.Permission, strings.Join(on, ", "), strings.Join(roles, ", "), strings.Join(a.Others, ", "))
	}
	return b.String()
}
