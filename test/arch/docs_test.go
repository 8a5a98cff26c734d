package arch_test

import (
	"go/ast"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/musterhq/muster/internal/fault"
)

// An error names its reason; whoever looks the reason up finds a page that says
// what happened, why, and what to do.
func TestEveryReasonHasItsPage(t *testing.T) {
	listed := map[string]bool{}
	for _, r := range fault.Reasons() {
		if listed[string(r)] {
			t.Errorf("fault.Reasons lists %s twice", r)
		}
		listed[string(r)] = true
		page := "docs/errors/" + string(r) + ".md"
		raw, err := os.ReadFile(filepath.Join(root, page))
		if err != nil {
			t.Errorf("the reason %s has no page: %v", r, err)
			continue
		}
		text := string(raw)
		if !strings.HasPrefix(text, "# "+string(r)+"\n") {
			t.Errorf("%s: the title must be the reason", page)
		}
		for _, part := range []string{"## What happened", "## Why", "## What to do"} {
			if _, after, ok := strings.Cut(text, part+"\n"); !ok || strings.TrimSpace(after) == "" || strings.HasPrefix(strings.TrimSpace(after), "## ") {
				t.Errorf("%s: %q is missing or empty", page, part)
			}
		}
	}
	for _, p := range files(t, ".md") {
		if name, ok := strings.CutPrefix(p, "docs/errors/"); ok && name != "README.md" && !listed[strings.TrimSuffix(name, ".md")] {
			t.Errorf("%s is the page of no reason", p)
		}
	}
	// A reason that is declared and not listed would escape all of the above.
	for _, src := range sources(t) {
		if src.isTest() {
			continue
		}
		for _, r := range reasonsOf(src.file) {
			if !listed[r] {
				t.Errorf("%s declares the reason %s, which fault.Reasons does not list", src.path, r)
			}
		}
	}
}

// reasonsOf returns the values of a file's constants of type fault.Reason.
func reasonsOf(file *ast.File) []string {
	var found []string
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		typ := spec.Type
		if sel, ok := typ.(*ast.SelectorExpr); ok {
			typ = sel.Sel
		}
		if name, ok := typ.(*ast.Ident); !ok || name.Name != "Reason" {
			return true
		}
		for _, v := range spec.Values {
			if lit, ok := v.(*ast.BasicLit); ok {
				found = append(found, strings.Trim(lit.Value, `"`))
			}
		}
		return true
	})
	return found
}

// The table and the page of a reason name the same codes.
func TestErrorPagesAgreeWithTheirTable(t *testing.T) {
	for _, row := range matches(t, "docs/errors/README.md", "(?m)^(\\| \\[[a-z-]+\\].*)$") {
		cells := strings.Split(row, "|")
		reason, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(cells[1]), "["), "]")
		inTable := codeNames.FindAllString(cells[2], -1)
		codeLines := matches(t, "docs/errors/"+reason+".md", `Code: ([^\n]*)`)
		if len(codeLines) != 1 {
			t.Errorf("docs/errors/%s.md must have one line that says \"Code: \"", reason)
			continue
		}
		onPage := codeNames.FindAllString(codeLines[0], -1)
		slices.Sort(inTable)
		slices.Sort(onPage)
		if !slices.Equal(inTable, slices.Compact(onPage)) {
			t.Errorf("docs/errors/%s.md names the codes %v, and the table names %v", reason, onPage, inTable)
		}
	}
}

var codeNames = regexp.MustCompile("`[a-z_]+`")

// markdownLink matches a link of a document; the group is where it leads.
const markdownLink = `\]\(([^)\s]+)\)`

func TestLinksOfDocumentsLead(t *testing.T) {
	all := files(t, ".md")
	for _, p := range all {
		for _, target := range linksOf(t, p) {
			if _, err := os.Stat(filepath.Join(root, target)); err != nil {
				t.Errorf("%s links to %s, which does not exist", p, target)
			}
		}
	}
	// Every document is found from the README.
	reached := map[string]bool{"README.md": true}
	for queue := []string{"README.md"}; len(queue) > 0; queue = queue[1:] {
		for _, target := range linksOf(t, queue[0]) {
			if strings.HasSuffix(target, ".md") && slices.Contains(all, target) && !reached[target] {
				reached[target] = true
				queue = append(queue, target)
			}
		}
	}
	for _, p := range all {
		if strings.HasPrefix(p, "docs/") && !reached[p] {
			t.Errorf("no chain of links leads from README.md to %s", p)
		}
	}
}

// linksOf returns where a document's links within the repository lead, relative
// to the repository.
func linksOf(t *testing.T, document string) []string {
	t.Helper()
	var targets []string
	for _, link := range matches(t, document, markdownLink) {
		u, err := url.Parse(link)
		if err != nil {
			t.Errorf("%s: %v", document, err)
			continue
		}
		if u.Scheme == "" && u.Path != "" {
			targets = append(targets, path.Join(path.Dir(document), u.Path))
		}
	}
	return targets
}

// A direct dependency is a decision; ADR 8 says what it is for.
func TestDependenciesAreExplained(t *testing.T) {
	const decision = "docs/adr/0008-dependencies.md"
	explained := matches(t, decision, "`([a-z0-9.-]+\\.[a-z]+/[A-Za-z0-9./_-]+)`")
	required := matches(t, "go.mod", `(?m)^\t(\S+) v\S+( // indirect)?$`)
	direct := matches(t, "go.mod", `(?m)^\t(\S+) v\S+$`)
	for _, m := range direct {
		if !slices.Contains(explained, m) {
			t.Errorf("go.mod requires %s, and %s does not say what for", m, decision)
		}
	}
	for _, m := range explained {
		if !slices.Contains(required, m) {
			t.Errorf("%s explains %s, which go.mod does not require", decision, m)
		}
	}
}
