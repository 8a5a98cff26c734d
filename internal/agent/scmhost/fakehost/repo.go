package fakehost

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Repo is a bare repository on disk.
type Repo struct {
	// Dir is the repository itself.
	Dir string
	t   testing.TB
}

// NewRepo makes a repository without commits, whose default branch is to be
// "main".
func NewRepo(t testing.TB) *Repo {
	t.Helper()
	return newRepo(t, "sha1")
}

// NewSHA256Repo makes one whose ids are SHA-256.
func NewSHA256Repo(t testing.TB) *Repo {
	t.Helper()
	return newRepo(t, "sha256")
}

func newRepo(t testing.TB, format string) *Repo {
	t.Helper()
	r := &Repo{Dir: filepath.Join(t.TempDir(), "repo.git"), t: t}
	r.run("init", "--quiet", "--bare", "--object-format="+format, "--initial-branch=main", r.Dir)
	return r
}

// Commit adds a commit on top of a branch, makes the branch if it is not there,
// and returns the commit's id.
func (r *Repo) Commit(branch, message string) string {
	r.t.Helper()
	tree := r.run("--git-dir", r.Dir, "mktree")
	args := []string{"--git-dir", r.Dir, "commit-tree", "-m", message, tree}
	if parent, err := exec.Command("git", "--git-dir", r.Dir, "rev-parse", "--verify", "--quiet", "refs/heads/"+branch).Output(); err == nil { //nolint:gosec // a test's own branch
		args = append(args, "-p", strings.TrimSpace(string(parent)))
	}
	id := r.run(args...)
	r.Ref("refs/heads/"+branch, id)
	return id
}

// Ref points a ref such as "refs/tags/v1" at a commit.
func (r *Repo) Ref(name, commit string) {
	r.t.Helper()
	r.run("--git-dir", r.Dir, "update-ref", name, commit)
}

// Tag makes an annotated tag.
func (r *Repo) Tag(name, commit string) {
	r.t.Helper()
	r.run("--git-dir", r.Dir, "tag", "-a", "-m", "tag", name, commit)
}

// Default makes a branch the default one.
func (r *Repo) Default(branch string) {
	r.t.Helper()
	r.run("--git-dir", r.Dir, "symbolic-ref", "HEAD", "refs/heads/"+branch)
}

// ManyRefs adds n branches "many/000001" and so on, at a commit.
func (r *Repo) ManyRefs(n int, commit string) {
	r.t.Helper()
	r.run("--git-dir", r.Dir, "pack-refs", "--all")
	path := filepath.Join(r.Dir, "packed-refs")
	packed, err := os.ReadFile(path) //nolint:gosec // a test's own file
	if err != nil {
		r.t.Fatal(err)
	}
	// Git sorts what does not say that it is sorted.
	out := bytes.NewBuffer(bytes.Replace(packed, []byte(" sorted"), nil, 1))
	for i := range n {
		fmt.Fprintf(out, "%s refs/heads/many/%06d\n", commit, i)
	}
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		r.t.Fatal(err)
	}
	r.run("--git-dir", r.Dir, "pack-refs", "--all")
}

// run runs git with a fixed identity and clock.
func (r *Repo) run(args ...string) string {
	r.t.Helper()
	cmd := exec.Command("git", args...) //nolint:gosec // a test's own arguments
	cmd.Env = append(os.Environ(),
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.com", "GIT_AUTHOR_DATE=2026-01-02T03:04:05Z",
		"GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.com", "GIT_COMMITTER_DATE=2026-01-02T03:04:05Z")
	out, err := cmd.Output()
	if err != nil {
		r.t.Fatalf("git %s: %v", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out))
}

// Detach makes HEAD point at a commit instead of a branch.
func (r *Repo) Detach(commit string) {
	r.t.Helper()
	r.run("--git-dir", r.Dir, "update-ref", "--no-deref", "HEAD", commit)
}
