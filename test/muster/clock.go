package muster

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// WrongClock tells a WrongClockBinary how far its wall clock is off; it is for the
// environment.
func WrongClock(off time.Duration) string {
	return fmt.Sprintf("WRONG_CLOCK_SECONDS=%d", int64(off/time.Second))
}

// wrongClock is the path of a muster whose wall clock can be off. Building it
// takes a minute or two, the first time.
var wrongClock = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "muster-wrong-clock-")
	if err != nil {
		return "", err
	}
	path, err := buildWrongClock(dir)
	onExit = append(onExit, func() { _ = os.RemoveAll(dir) })
	return path, err
})

// buildWrongClock builds muster with another time.Now: the offset is in a file of
// the package time that is there under a build tag, for this build alone.
func buildWrongClock(dir string) (string, error) {
	_, here, _, _ := runtime.Caller(0)
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOROOT: %w", err)
	}
	library := filepath.Join(strings.TrimSpace(string(root)), "src", "time")
	original, err := os.ReadFile(filepath.Join(library, "time.go"))
	if err != nil {
		return "", err
	}
	const reading = "sec += unixToInternal - minWall\n"
	if strings.Count(string(original), reading) != 1 {
		return "", fmt.Errorf("time.Now does not read the clock as it did: mend test/muster")
	}
	changed := filepath.Join(dir, "time.go")
	if err := os.WriteFile(changed, []byte(strings.Replace(string(original), reading, "sec += unixToInternal - minWall + wallOffset\n", 1)), 0o600); err != nil {
		return "", err
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {
		filepath.Join(library, "time.go"):       changed,
		filepath.Join(library, "wrongclock.go"): filepath.Join(filepath.Dir(here), "testdata", "wrongclock.go"),
	}})
	if err != nil {
		return "", err
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, overlay, 0o600); err != nil {
		return "", err
	}
	path := filepath.Join(dir, "muster")
	build := exec.Command("go", "build", "-buildvcs=false", "-tags", "wrongclock", "-overlay", list, "-o", path, "github.com/musterhq/muster/cmd/muster")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building muster with a wrong clock: %w\n%s", err, out)
	}
	return path, nil
}

// WrongClockBinary is the path of a muster that WrongClock tells how far its wall
// clock is off.
func WrongClockBinary(t testing.TB) string {
	t.Helper()
	path, err := wrongClock()
	if err != nil {
		t.Fatal(err)
	}
	return path
}
