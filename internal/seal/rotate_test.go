package seal_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/musterhq/muster/internal/seal"
)

func load(t *testing.T, path string) *seal.Key {
	t.Helper()
	k, err := seal.LoadKey(path)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func opens(t *testing.T, k *seal.Key, s seal.Secret) bool {
	t.Helper()
	plain, err := k.Unwrap(s, "p")
	if err != nil && !errors.Is(err, seal.ErrOpen) {
		t.Fatal(err)
	}
	return err == nil && string(plain) == "hunter2"
}

func lines(t *testing.T, path string) []string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v; want 0600", info.Mode(), err)
	}
	return strings.Split(strings.TrimSpace(string(raw)), "\n")
}

func add(t *testing.T, k *seal.Key) *seal.Addition {
	t.Helper()
	a, err := k.Add()
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestRotatingTheFile goes through a rotation step by step. After each, a process
// that starts anew must open everything.
func TestRotatingTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret-key")
	k := load(t, path)
	old := k.Wrap("p", []byte("hunter2"))
	before := lines(t, path)

	a := add(t, k)
	if !opens(t, load(t, path), old) || !slices.Equal(lines(t, path), before) {
		t.Fatal("after Add: the file has changed")
	}
	if err := a.Commit(); err != nil {
		t.Fatal(err)
	}
	a.Discard()
	if now := lines(t, path); len(now) != 2 || now[1] != before[0] || now[0] == now[1] {
		t.Fatalf("after Commit: %d lines", len(now))
	}
	fresh := k.Wrap("p", []byte("hunter2"))
	restarted := load(t, path)
	if !opens(t, restarted, old) || !opens(t, restarted, fresh) || !opens(t, k, old) || restarted.Older() != 1 {
		t.Fatal("after Commit: not everything opens")
	}
	rewrapped, err := restarted.Rewrap(old, "p")
	if err != nil || !opens(t, restarted, rewrapped) {
		t.Fatalf("Rewrap: %v", err)
	}
	if again, err := restarted.Rewrap(rewrapped, "p"); err != nil || &again[0] != &rewrapped[0] {
		t.Errorf("what is under the key in use was wrapped anew: %v", err)
	}
	if _, err := restarted.Rewrap(old, "q"); !errors.Is(err, seal.ErrOpen) {
		t.Errorf("Rewrap for another purpose: %v", err)
	}
	if err := restarted.Forget(); err != nil {
		t.Fatal(err)
	}
	last := load(t, path)
	if opens(t, last, old) || !opens(t, last, rewrapped) || !opens(t, last, fresh) || last.Older() != 0 || len(lines(t, path)) != 1 {
		t.Error("after Forget: the file does not have the new key alone")
	}
	if !opens(t, restarted, old) {
		t.Error("who read a secret just before it was wrapped anew cannot open it")
	}
	if err := restarted.Forget(); err != nil {
		t.Errorf("Forget, again: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".secret-key-*")); len(left) > 0 {
		t.Errorf("temporary files are left behind: %v", left)
	}
}

func TestARotationThatACrashEndedLeavesNoKeysBehind(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret-key")
	add(t, load(t, path)) // and no more
	a := add(t, load(t, path))
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".secret-key-*")); len(left) != 1 {
		t.Errorf("temporary files: %v", left)
	}
	a.Discard()
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".secret-key-*")); len(left) != 0 {
		t.Errorf("temporary files: %v", left)
	}
}

func TestAFileThatSomebodyElseChangedIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret-key")
	k := load(t, path)
	a := add(t, k)
	defer a.Discard()
	// Another process rotates in between.
	theirs := load(t, path)
	b := add(t, theirs)
	if err := b.Commit(); err != nil {
		t.Fatal(err)
	}
	want := lines(t, path)
	if err := a.Commit(); !errors.Is(err, seal.ErrKeyFileChanged) {
		t.Errorf("Commit: %v", err)
	}
	if _, err := k.Add(); !errors.Is(err, seal.ErrKeyFileChanged) {
		t.Errorf("Add: %v", err)
	}
	if err := k.Forget(); !errors.Is(err, seal.ErrKeyFileChanged) {
		t.Errorf("Forget: %v", err)
	}
	if !slices.Equal(lines(t, path), want) {
		t.Error("the file of the other process was overwritten")
	}
}

func TestALinkedFileStaysALink(t *testing.T) {
	dir := t.TempDir()
	target, path := filepath.Join(dir, "mounted", "key"), filepath.Join(dir, "secret-key")
	load(t, target)
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
	k := load(t, path)
	if err := add(t, k).Commit(); err != nil {
		t.Fatal(err)
	}
	if err := k.Forget(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link was replaced: %v, %v", info, err)
	}
	if len(lines(t, target)) != 1 {
		t.Error("the file behind the link was not rotated")
	}
}

// TestCommitWaitsForHolders holds the key while it is rotated: what was wrapped
// before must be stored before the rotation goes on.
func TestCommitWaitsForHolders(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret-key")
	k := load(t, path)
	old := k.Wrap("p", []byte("hunter2"))
	release := k.Hold()
	var released atomic.Bool
	done := make(chan struct{})
	a := add(t, k)
	go func() {
		defer close(done)
		if err := a.Commit(); err != nil {
			t.Error(err)
		}
		if !released.Load() {
			t.Error("Commit returned while the key was held")
		}
	}()
	for same := true; same; runtime.Gosched() { // until the new key is in use
		again, err := k.Rewrap(old, "p")
		same = err == nil && &again[0] == &old[0]
	}
	released.Store(true)
	release()
	<-done
}

func TestFilesOfSeveralLines(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "secret-key")
	one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
	first, second := load(t, one), load(t, two)
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a, b := lines(t, one)[0], lines(t, two)[0]
	write("\n" + a + "\r\n\n " + b + " ")
	k := load(t, path)
	if !opens(t, k, first.Wrap("p", []byte("hunter2"))) || !opens(t, k, second.Wrap("p", []byte("hunter2"))) || k.Older() != 1 {
		t.Error("a file of two lines does not open what either wrapped")
	}
	if !opens(t, first, k.Wrap("p", []byte("hunter2"))) {
		t.Error("the first line is not in use")
	}
	for name, text := range map[string]string{
		"empty": "\n", "a bad second line": a + "\n" + b[:len(b)-3], "no header": strings.TrimPrefix(a, "muster-secret-key-1:"), "a word": a + "\nx",
	} {
		write(text)
		if _, err := seal.LoadKey(path); err == nil || strings.Contains(err.Error(), b[len(b)-10:]) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestUseDuringRotations wraps and opens from many goroutines while the file is
// rotated over and over; the race detector watches.
func TestUseDuringRotations(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret-key")
	k := load(t, path)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				release := k.Hold()
				s := k.Wrap("p", []byte("hunter2"))
				release()
				if _, err := k.Unwrap(s, "p"); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 20 {
		if err := add(t, k).Commit(); err != nil {
			t.Error(err)
		}
		if err := k.Forget(); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	wg.Wait()
}
