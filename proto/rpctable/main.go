// Command rpctable writes the table of the API's procedures into the README:
// which are built and which are not. It takes the procedures from
// the compiled definitions and what is built from the access table, so the
// README cannot say anything else; a test holds it to that.
//
//	go run ./proto/rpctable README.md
package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	_ "github.com/musterhq/muster/gen/gitpod/v1"
	_ "github.com/musterhq/muster/gen/muster/admin/v1"
	_ "github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/internal/access"
)

// The lines that the table stands between.
const (
	begin = "<!-- begin: procedures, written by \"make generate\" -->"
	end   = "<!-- end: procedures -->"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: rpctable FILE")
		os.Exit(2)
	}
	if err := rewrite(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "rpctable:", err)
		os.Exit(1)
	}
}

func rewrite(file string) error {
	old, err := os.ReadFile(file) //nolint:gosec // the caller names the file
	if err != nil {
		return err
	}
	text, err := fill(string(old))
	if err != nil || text == string(old) {
		return err
	}
	return os.WriteFile(file, []byte(text), 0o644) //nolint:gosec // a document
}

// fill puts the table between its lines.
func fill(text string) (string, error) {
	before, rest, ok := strings.Cut(text, begin)
	_, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		return "", fmt.Errorf("the file lacks %q or %q", begin, end)
	}
	return before + begin + "\n" + table() + end + after, nil
}

// table has a row for every service of the definitions.
func table() string {
	var b strings.Builder
	built, all := 0, 0
	rows := ""
	for _, s := range services() {
		var done, missing []string
		for i := range s.Methods().Len() {
			m := s.Methods().Get(i)
			procedure := string(s.FullName()) + "/" + string(m.Name())
			if rule, _ := access.RuleOf(procedure); rule.Permission == access.Unbuilt {
				missing = append(missing, string(m.Name()))
			} else {
				done = append(done, string(m.Name()))
			}
		}
		if strings.HasPrefix(string(s.FullName()), "gitpod.") {
			built, all = built+len(done), all+len(done)+len(missing)
		}
		rows += fmt.Sprintf("| `%s` | %s | %s |\n", s.FullName(), cell(done), cell(missing))
	}
	fmt.Fprintf(&b, "\nOf the %d procedures of `gitpod.v1` %d are built. One that is not answers `unimplemented`.\n\n", all, built)
	b.WriteString("| service | built | not built |\n|---|---|---|\n" + rows + "\n")
	return b.String()
}

func cell(names []string) string { return strings.Join(names, ", ") }

// services are those of this API, by name, with the contract's first.
func services() []protoreflect.ServiceDescriptor {
	var all []protoreflect.ServiceDescriptor
	protoregistry.GlobalFiles.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			all = append(all, f.Services().Get(i))
		}
		return true
	})
	slices.SortFunc(all, func(a, b protoreflect.ServiceDescriptor) int {
		return strings.Compare(string(a.FullName()), string(b.FullName()))
	})
	return all
}
