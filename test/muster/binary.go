// Package muster runs the real binary for the suites that look at it from
// outside: it builds it, starts, stops and kills its processes, and speaks its
// public API.
//
// It knows the command line and the generated clients, nothing of the insides,
// and not what a suite is about.
package muster

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// binary is the path of the muster that Main built.
var binary string

// onExit is called when the tests of a package have run.
var onExit []func()

// Binary is the path of the muster that Main built.
func Binary() string { return binary }

// Main builds muster, runs the tests of a package, and ends the process. It is
// for TestMain.
func Main(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "muster-test-")
	if err == nil {
		defer os.RemoveAll(dir) //nolint:errcheck // it is in the temporary directory
		binary, err = Build(dir, "github.com/musterhq/muster/cmd/muster")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() {
		for _, clean := range onExit {
			clean()
		}
	}()
	stop := make(chan struct{})
	defer close(stop)
	go machine.measure(stop)
	return m.Run()
}

// Build builds the command of that import path into a directory, as releases
// are built, and returns the path of the program.
func Build(dir, pkg string) (string, error) {
	path := filepath.Join(dir, filepath.Base(pkg))
	build := exec.Command("go", "build", "-trimpath", "-o", path, pkg)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s: %w\n%s", pkg, err, out)
	}
	return path, nil
}
