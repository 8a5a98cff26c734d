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
	columns := map[string][4]string{}
	for line := range strings.Lines(table()) {
		if cells := strings.Split(strings.Trim(line, "|\n "), " | "); strings.HasPrefix(cells[0], "`") {
			columns[strings.Trim(cells[0], "`")] = [4]string(append(cells, "", "", "")[:4])
		}
	}
	for _, p := range access.Procedures() {
		service, name, _ := strings.Cut(p, "/")
		rule, _ := access.RuleOf(p)
		want := 1
		switch {
		case rule.Permission == access.Unbuilt:
			want = 3
		case partly[p] != "":
			want = 2
		}
		for i := 1; i < 4; i++ {
			here := slices.ContainsFunc(strings.Split(columns[service][i], ", "), func(c string) bool {
				return c == name || strings.HasPrefix(c, name+" (")
			})
			if here != (i == want) {
				t.Errorf("%s: in column %d: %v, belongs into %d", p, i, here, want)
			}
		}
	}
	for p := range partly {
		if rule, ok := access.RuleOf(p); !ok || rule.Permission == access.Unbuilt {
			t.Errorf("%s is listed as partly built and is not built at all", p)
		}
	}
}
