package arch_test

import (
	"go/ast"
	"slices"
	"testing"
)

// A sleep waits for nothing in particular. In a test it moves the fake time of
// testing/synctest, and in the product there is none.
func TestNobodySleeps(t *testing.T) {
	for _, s := range sources(t) {
		if s.isTest() && slices.Contains(s.imports(), "testing/synctest") {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok && sel.Sel.Name == "Sleep" {
				if pkg, ok := sel.X.(*ast.Ident); ok && pkg.Name == "time" {
					t.Errorf("%s: time.Sleep; wait for what you wait for, in tests inside of testing/synctest", s.fset.Position(sel.Pos()))
				}
			}
			return true
		})
	}
}
