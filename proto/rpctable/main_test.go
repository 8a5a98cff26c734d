package main

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/musterhq/muster/internal/access"
)

func TestTheReadmeTellsWhatIsBuilt(t *testing.T) {
	raw, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	want, err := fill(string(raw))
	if err != nil {
		t.Fatal(err)
	}
	if string(raw) != want {
		t.Error("the table of procedures in the README is not what the definitions and the access table say; run \"make generate\"")
	}
}

// Every procedure is in the table once, under what it is.
func TestTable(t *testing.T) {
	columns := map[string][3]string{}
	for line := range strings.Lines(table()) {
		if cells := strings.Split(strings.Trim(line, "|\n "), " | "); strings.HasPrefix(cells[0], "`") {
			columns[strings.Trim(cells[0], "`")] = [3]string(append(cells, "", "")[:3])
		}
	}
	for _, p := range access.Procedures() {
		service, name, _ := strings.Cut(p, "/")
		rule, _ := access.RuleOf(p)
		want := 1
		if rule.Permission == access.Unbuilt {
			want = 2
		}
		for i := 1; i < 3; i++ {
			if here := slices.Contains(strings.Split(columns[service][i], ", "), name); here != (i == want) {
				t.Errorf("%s: in column %d: %v, belongs into %d", p, i, here, want)
			}
		}
	}
}
