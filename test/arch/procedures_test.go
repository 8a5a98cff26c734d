package arch_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	_ "github.com/musterhq/muster/gen/gitpod/v1"
	_ "github.com/musterhq/muster/gen/muster/admin/v1"
	_ "github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/internal/access"
)

// procedures lists every procedure of the compiled definitions, such as
// "gitpod.v1.RunnerService/GetRunner".
func procedures(t *testing.T) []string {
	t.Helper()
	var all []string
	protoregistry.GlobalFiles.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			service := f.Services().Get(i)
			for j := range service.Methods().Len() {
				all = append(all, string(service.FullName())+"/"+string(service.Methods().Get(j).Name()))
			}
		}
		return true
	})
	if len(all) < 80 {
		t.Fatalf("only %d procedures are compiled in; the search is broken", len(all))
	}
	slices.Sort(all)
	return all
}

// Nothing ships unguarded: a procedure without a row would be refused to
// everybody, and a row without a procedure guards nothing.
func TestEveryProcedureHasItsRow(t *testing.T) {
	all := procedures(t)
	for _, p := range all {
		rule, ok := access.RuleOf(p)
		switch {
		case !ok:
			t.Errorf("%s has no row in internal/access/table.go", p)
		case rule.Permission == "":
			t.Errorf("%s: its row in internal/access/table.go names no permission", p)
		case rule.Class == access.Reads && changes(p):
			t.Errorf("%s: its row says that it only reads; its name says otherwise", p)
		}
	}
	rows := matches(t, "internal/access/table.go", `(?m)^\t"([a-z0-9.]+\.[A-Za-z]+/[A-Za-z]+)":`)
	for _, row := range rows {
		if !slices.Contains(all, row) {
			t.Errorf("internal/access/table.go has a row for %s, which is not defined", row)
		}
	}
	if len(rows) < len(all) {
		t.Errorf("internal/access/table.go has %d rows for %d procedures", len(rows), len(all))
	}
}

// changes tells by its name whether a procedure changes something or hands out
// a secret.
func changes(procedure string) bool {
	_, name, _ := strings.Cut(procedure, "/")
	for _, verb := range []string{
		"Add", "Approve", "Create", "Delete", "Exchange", "Remove", "Resume", "Set", "Share", "Suspend", "Unshare", "Update",
	} {
		if strings.HasPrefix(name, verb) {
			return true
		}
	}
	return false
}

// Every procedure says in its .proto file what it does; that comment is the API
// documentation.
func TestEveryProcedureIsDocumented(t *testing.T) {
	var found int
	for _, p := range files(t, ".proto") {
		if strings.HasPrefix(p, "proto/buf/") {
			continue
		}
		raw, err := os.ReadFile(filepath.Join(root, p))
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(raw), "\n")
		for i, line := range lines {
			name, ok := strings.CutPrefix(strings.TrimSpace(line), "rpc ")
			if !ok {
				continue
			}
			found++
			name, _, _ = strings.Cut(name, "(")
			if !strings.HasPrefix(strings.TrimSpace(lines[i-1]), "// ") {
				t.Errorf("%s: rpc %s has no comment that says what it does", p, name)
			}
		}
	}
	if want := len(procedures(t)); found != want {
		t.Errorf("the .proto files define %d procedures, the compiled code %d", found, want)
	}
}

// matches returns the first groups of all matches of a pattern in a file.
func matches(t *testing.T, file, pattern string) []string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(raw), -1) {
		found = append(found, m[1])
	}
	return found
}
