package compat

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestJavaScriptSDK runs the tests in js, each file against a control plane of
// its own.
func TestJavaScriptSDK(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("js/*.test.mjs")
	if err != nil || len(files) == 0 {
		t.Fatalf("no tests in js: %v", err)
	}
	// A copy, so that the repository stays as it is.
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("js")); err != nil {
		t.Fatal(err)
	}
	run(t, dir, nil, "npm", "ci", "--prefer-offline", "--no-audit", "--no-fund")
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			s := serve(t, "--gateway", "west=https://west.example.com", "--gateway", "east=https://east.example.com")
			env := []string{"MUSTER_TEST_URL=" + s.url, "MUSTER_TEST_TOKEN=" + bootstrapToken, "MUSTER_TEST_BINARY=" + muster}
			run(t, dir, env, "node", "--test", "--test-reporter=spec", "--test-timeout=30000", filepath.Base(file))
		})
	}
}

// run runs a program, which must succeed.
func run(t *testing.T, dir string, env []string, name string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(cleanEnvironment(), env...)
	cmd.WaitDelay = time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}
