package fakehost_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/musterhq/muster/internal/agent/scmhost/fakehost"
)

func TestGitClonesFromAFake(t *testing.T) {
	s := fakehost.NewPlain(t)
	repo := fakehost.NewRepo(t)
	id := repo.Commit("main", "first")
	repo.Ref("refs/heads/feature/login", id)
	repo.Tag("v1", id)
	s.Git("/scm/acme/widgets.git", repo, nil)
	cmd := exec.CommandContext(t.Context(), "git", "-c", "protocol.version=2", "ls-remote", "--symref", s.URL+"/scm/acme/widgets.git") //nolint:gosec // the fake's own URL
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"ref: refs/heads/main\tHEAD", id + "\trefs/heads/feature/login", id + "\trefs/tags/v1^{}"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("ls-remote does not say %q:\n%s", want, out)
		}
	}
	if calls := s.Calls(); len(calls) != 2 || calls[1].Header.Get("Git-Protocol") != "version=2" {
		t.Errorf("two calls of version 2 were expected, got %+v", calls)
	}
}
