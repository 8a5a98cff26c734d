// Package make holds the Makefile to what the README and CONTRIBUTING say of its
// targets. The programs that it starts are stand-ins.
package make

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// standIn is a program that writes down how it was called, and fails when the
// variable BREAKS is among its arguments.
const standIn = `#!/bin/sh
echo "$(basename "$0") $*" >>"$CALLS"
case " $* " in *" $BREAKS "*) exit 1 ;; esac
`

// runMake makes a target while one kind of call fails, and returns what it
// printed and what it started.
func runMake(t *testing.T, target, breaks string) (printed, calls string, err error) {
	t.Helper()
	bin, log := t.TempDir(), filepath.Join(t.TempDir(), "calls")
	for _, name := range []string{"go", "npm", "buf"} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte(standIn), 0o700); err != nil { //nolint:gosec // it is a program
			t.Fatal(err)
		}
	}
	cmd := exec.Command("make", "TOOLS="+t.TempDir(), target)
	cmd.Dir = filepath.Join("..", "..")
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "MAKE") && !strings.HasPrefix(kv, "MFLAGS") {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	cmd.Env = append(cmd.Env, "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "XDG_CACHE_HOME="+t.TempDir(), "CALLS="+log, "BREAKS="+breaks)
	out, err := cmd.CombinedOutput()
	raw, readErr := os.ReadFile(log)
	if readErr != nil {
		t.Fatalf("nothing was started: %s", out)
	}
	return string(out), string(raw), err
}

// A suite that fails keeps none of the others from running, and is named at the
// end.
func TestMakeTestGoesOnAfterAFailure(t *testing.T) {
	printed, calls, err := runMake(t, "test", "vet")
	if err == nil {
		t.Error("it did not fail")
	}
	for _, suite := range []string{"./test/robust/...", "npm ci --prefix test/compat/js", "npm ci --prefix test/hosts", "-list ^Fuzz"} {
		if !strings.Contains(calls, suite) {
			t.Errorf("after a failure %q was not started:\n%s", suite, calls)
		}
	}
	lines := strings.Split(strings.TrimSpace(printed), "\n")
	last := strings.Join(lines[max(0, len(lines)-4):], "\n")
	if _, failed, _ := strings.Cut(last, "==> failed: "); !slices.Contains(strings.Fields(failed), "vet") || slices.Contains(strings.Fields(failed), "test-alone") {
		t.Errorf("the end does not say what failed:\n%s", last)
	}
}
