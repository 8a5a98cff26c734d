// Package compat drives a freshly built muster binary with the vendor's own
// clients, unmodified: the Go SDK, the JavaScript SDK (package js), and bytes on
// the wire as the TypeScript SDK and the Terraform provider send them.
//
//	go test -count=1 ./...
//
// It needs Node.js 20 and npm for the JavaScript SDK. It must not know anything
// of the server but its command line and its API; of the repository it imports
// the generated messages alone.
package compat

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// muster is the path of the binary under test; TestMain sets it.
var muster string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "muster-compat-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	muster = filepath.Join(dir, "muster")
	build := exec.Command("go", "build", "-o", muster, "./cmd/muster")
	build.Dir = filepath.Join("..", "..")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "building muster:", err)
		return 1
	}
	return m.Run()
}
