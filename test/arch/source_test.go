// Package arch_test holds the shape of the house: who may import whom, and what
// must exist beside each piece of code.
package arch_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/musterhq/muster"

// root is the repository.
const root = "../.."

// source is one Go file.
type source struct {
	// path is relative to the repository, with slashes.
	path string
	file *ast.File
	fset *token.FileSet
}

// dir is the folder of the package, relative to the repository.
func (s source) dir() string { return path.Dir(s.path) }

func (s source) isTest() bool { return strings.HasSuffix(s.path, "_test.go") }

// imports returns the import paths.
func (s source) imports() []string {
	var paths []string
	for _, spec := range s.file.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			panic(err) // the parser lets no such path pass
		}
		paths = append(paths, p)
	}
	return paths
}

// sources parses all Go files of the main module.
func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	for _, p := range files(t, ".go") {
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, filepath.Join(root, p), nil, parser.SkipObjectResolution|parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, source{path: p, file: file, fset: fset})
	}
	if len(all) < 50 {
		t.Fatalf("only %d Go files were found; the search is broken", len(all))
	}
	return all
}

// files lists the files of the repository with that ending. Folders with a
// module of their own, and those that the build does not look at, are left out.
func files(t *testing.T, ending string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if rel != "." && leftOut(p, d.Name()) {
				return fs.SkipDir
			}
			return nil
		}
		if strings.HasSuffix(rel, ending) {
			found = append(found, filepath.ToSlash(rel))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(found)
	return found
}

func leftOut(folder, name string) bool {
	if strings.HasPrefix(name, ".") || name == "testdata" || name == "node_modules" || name == "bin" {
		return true
	}
	_, err := os.Stat(filepath.Join(folder, "go.mod"))
	return err == nil
}
