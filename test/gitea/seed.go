package gitea

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	sdk "code.gitea.io/sdk/gitea"

	"github.com/musterhq/muster/test/muster"
)

// Everybody has the same Password. Admin administers the server. Alice owns the
// organization acme, and the repositories that are named after her; Bob is a
// stranger to acme and has a fork of alice/pub; Carol had one.
const (
	Password = "right-horse-battery"
	Admin    = "root1"
	Alice    = "alice"
	Bob      = "bob"
	Carol    = "carol"
)

// Numbers of pull requests and issues.
const (
	// Of acme/widgets, which is private.
	DraftChange = "1" // "WIP: login form", from feature/login-form to main
	Bug         = "2" // the issue "Login is slow"

	// Of alice/pub, whose default branch is trunk.
	ForkChange   = "1" // "Fix a typo", from fix/typo of bob/pub
	MergedChange = "2" // "Done", from done, which was deleted then
	ClosedChange = "3" // "Never mind", from never
	OrphanChange = "4" // "Gone", from a fork of carol that was deleted
)

// Seed is what is in a server and is not known before.
type Seed struct {
	// Tokens are personal access tokens with the scopes that people are asked to
	// give, by login.
	Tokens map[string]string
	// NarrowToken is one of Alice's that may only read who she is.
	NarrowToken string
	// Commits are the newest of branches, by "owner/repo/branch", also of those that
	// were deleted.
	Commits map[string]string
}

// Scopes are those of Seed.Tokens.
var Scopes = []sdk.AccessTokenScope{"read:user", "read:organization", "read:repository", "read:issue"}

// What a server is made of; when it changes, the data is made anew.
//
//go:embed seed.go app.ini
var recipe embed.FS

// plant puts the data of a seeded server into dir. Whoever comes first makes it.
func plant(t testing.TB, program, dir string) Seed {
	t.Helper()
	hash := sha256.New()
	for _, name := range []string{"seed.go", "app.ini"} {
		b, err := recipe.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		hash.Write(b)
	}
	kept := program + "-seed-" + hex.EncodeToString(hash.Sum(nil))[:16]
	defer locked(t, program+"-seed.lock")()
	if _, err := os.Stat(kept); errors.Is(err, fs.ErrNotExist) {
		sow(t, program, kept)
	}
	tidy(t, program, kept)
	if err := copyData(dir, kept); err != nil {
		t.Fatalf("copying %s: %v", kept, err)
	}
	var seed Seed
	b, err := os.ReadFile(filepath.Join(dir, "seed.json"))
	if err == nil {
		err = json.Unmarshal(b, &seed)
	}
	if err != nil {
		t.Fatal(err)
	}
	return seed
}

// tidy removes what was made by other recipes and not used for a day; the lock is
// held.
func tidy(t testing.TB, program, kept string) {
	t.Helper()
	now := time.Now()
	err := os.Chtimes(kept, now, now)
	seeds, globErr := filepath.Glob(program + "-seed-*")
	for _, seed := range seeds {
		if info, statErr := os.Stat(seed); statErr == nil && now.Sub(info.ModTime()) > 24*time.Hour {
			err = errors.Join(err, os.RemoveAll(seed))
		}
	}
	if err = errors.Join(err, globErr); err != nil {
		t.Fatal(err)
	}
}

// locked holds a lock that other processes respect, until the function that it
// returns is called.
func locked(t testing.TB, path string) (unlock func()) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err == nil {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
	}
	if err != nil {
		t.Fatal(err)
	}
	return func() { _ = f.Close() }
}

// nowhere stands in kept data for the directory that the data is in.
const nowhere = "/nowhere/to/be/found"

// copyData copies kept data. The hooks of repositories name the directory that
// they are in, so it is put in there.
func copyData(to, from string) error {
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		return err
	}
	return inHooks(to, nowhere, to)
}

// inHooks replaces a text in the hooks of all repositories below dir.
func inHooks(dir, old, by string) error {
	hooks, err := filepath.Glob(filepath.Join(dir, "repositories", "*", "*.git", "hooks", "*.d", "gitea"))
	if err != nil {
		return err
	}
	for _, hook := range hooks {
		b, err := os.ReadFile(hook) //nolint:gosec // found right here
		if err == nil {
			err = os.WriteFile(hook, bytes.ReplaceAll(b, []byte(old), []byte(by)), 0o700) //nolint:gosec // git runs it
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// sow makes the data.
func sow(t testing.TB, program, kept string) {
	t.Helper()
	dir := t.TempDir()
	configure(t, program, dir, Options{})
	run(t, program, dir, "migrate")
	run(t, program, dir, "admin", "user", "create", "--admin", "--username", Admin, "--password", Password,
		"--email", Admin+"@example.com", "--must-change-password=false")
	s := serve(t, program, dir, Options{})
	(&sower{t, s}).sow()
	s.process.Stop(t)
	// The program is built without its web assets, and complains of it.
	assets := filepath.Join(dir, "custom", "public", "assets", ".vite")
	err := os.MkdirAll(assets, 0o700)
	if err == nil {
		err = os.WriteFile(filepath.Join(assets, "manifest.json"), []byte("{}"), 0o600)
	}
	b, jsonErr := json.Marshal(s.Seed)
	err = errors.Join(err, jsonErr)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "seed.json"), b, 0o600)
	}
	if err == nil {
		err = inHooks(dir, dir, nowhere)
	}
	if err == nil {
		err = os.RemoveAll(filepath.Join(dir, "log"))
	}
	// A copy may be interrupted, a renaming may not.
	half := kept + ".new"
	if err == nil {
		err = os.RemoveAll(half)
	}
	if err == nil {
		err = os.CopyFS(half, os.DirFS(dir))
	}
	if err == nil {
		err = os.Rename(half, kept)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func run(t testing.TB, program, dir string, args ...string) {
	t.Helper()
	if code := command(t, program, dir, args...).Wait(t, muster.Patience); code != 0 {
		t.Fatalf("gitea %s ended with %d", strings.Join(args, " "), code)
	}
}

// sower fills a server.
type sower struct {
	t testing.TB
	*Server
}

func (s *sower) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("seeding: %v", err)
	}
}

func (s *sower) sow() {
	s.Commits, s.Tokens = map[string]string{}, map[string]string{}
	for _, login := range []string{Alice, Bob, Carol} {
		_, _, err := s.API(s.t, Admin).AdminCreateUser(sdk.CreateUserOption{
			Username: login, Email: login + "@example.com", Password: Password, MustChangePassword: new(false),
		})
		s.must(err)
		s.Tokens[login] = s.token(login, "muster", Scopes...)
	}
	s.NarrowToken = s.token(Alice, "narrow", "read:user")
	s.widgets()
	s.pub()
	s.repo(Alice, sdk.CreateRepoOption{Name: "empty", Private: true})
}

func (s *sower) token(login, name string, scopes ...sdk.AccessTokenScope) string {
	token, _, err := s.API(s.t, login).CreateAccessToken(sdk.CreateAccessTokenOption{Name: name, Scopes: scopes})
	s.must(err)
	return token.Token
}

// widgets makes acme/widgets, with names that are hard to tell apart.
func (s *sower) widgets() {
	api := s.API(s.t, Alice)
	_, _, err := api.CreateOrg(sdk.CreateOrgOption{Name: "acme", Visibility: sdk.VisibleTypePrivate})
	s.must(err)
	_, _, err = api.CreateOrgRepo("acme", sdk.CreateRepoOption{Name: "widgets", Private: true, AutoInit: true, DefaultBranch: "main"})
	s.must(err)
	s.file(Alice, "acme", "widgets", "main", "main", "src/app.go")
	for _, branch := range []string{"feature/login-form", "feature/login/v2", "release/1.x"} {
		s.file(Alice, "acme", "widgets", "main", branch, branch+".md")
	}
	for _, tag := range []string{"rel/1.0", "v1"} {
		_, _, err = api.CreateTag("acme", "widgets", sdk.CreateTagOption{TagName: tag, Target: "main"})
		s.must(err)
	}
	s.change(Alice, "acme", "widgets", DraftChange, sdk.CreatePullRequestOption{Head: "feature/login-form", Base: "main", Title: "WIP: login form"})
	_, _, err = api.CreateIssue("acme", "widgets", sdk.CreateIssueOption{Title: "Login is slow"})
	s.must(err)
}

// pub makes alice/pub, with pull requests in every state.
func (s *sower) pub() {
	api := s.API(s.t, Alice)
	s.repo(Alice, sdk.CreateRepoOption{Name: "pub", AutoInit: true, DefaultBranch: "trunk"})
	s.file(Alice, Alice, "pub", "trunk", "trunk", "main.go")

	s.fork(Bob, "fix/typo")
	s.change(Bob, Alice, "pub", ForkChange, sdk.CreatePullRequestOption{Head: "bob:fix/typo", Base: "trunk", Title: "Fix a typo"})

	s.file(Alice, Alice, "pub", "trunk", "done", "done.go")
	s.change(Alice, Alice, "pub", MergedChange, sdk.CreatePullRequestOption{Head: "done", Base: "trunk", Title: "Done"})
	// Whether it can be merged is found out in the background.
	muster.Until(s.t, muster.Patience, func() error {
		merged, _, err := api.MergePullRequest(Alice, "pub", 2, sdk.MergePullRequestOption{Style: sdk.MergeStyleMerge, DeleteBranchAfterMerge: new(true)})
		if err == nil && !merged {
			err = errors.New("the pull request cannot be merged yet")
		}
		return err
	})

	s.file(Alice, Alice, "pub", "trunk", "never", "never.go")
	s.change(Alice, Alice, "pub", ClosedChange, sdk.CreatePullRequestOption{Head: "never", Base: "trunk", Title: "Never mind"})
	closed := sdk.StateClosed
	_, _, err := api.EditPullRequest(Alice, "pub", 3, sdk.EditPullRequestOption{State: &closed})
	s.must(err)

	s.fork(Carol, "gone")
	s.change(Carol, Alice, "pub", OrphanChange, sdk.CreatePullRequestOption{Head: "carol:gone", Base: "trunk", Title: "Gone"})
	_, err = s.API(s.t, Carol).DeleteRepo(Carol, "pub")
	s.must(err)
}

func (s *sower) repo(login string, o sdk.CreateRepoOption) {
	_, _, err := s.API(s.t, login).CreateRepo(o)
	s.must(err)
}

// fork gives somebody a fork of alice/pub with a branch of its own.
func (s *sower) fork(login, branch string) {
	_, _, err := s.API(s.t, login).CreateFork(Alice, "pub", sdk.CreateForkOption{})
	s.must(err)
	s.file(login, login, "pub", "trunk", branch, "typo.go")
}

// file commits a file to a branch, which is made from another one if need be.
func (s *sower) file(login, owner, repo, from, branch, path string) {
	o := sdk.FileOptions{Message: "Add " + path, BranchName: from}
	if branch != from {
		o.NewBranchName = branch
	}
	file, _, err := s.API(s.t, login).CreateFile(owner, repo, path, sdk.CreateFileOptions{
		FileOptions: o, Content: base64.StdEncoding.EncodeToString([]byte(path + "\n")),
	})
	s.must(err)
	s.Commits[owner+"/"+repo+"/"+branch] = file.Commit.SHA
}

// change opens a pull request, which must get that number.
func (s *sower) change(login, owner, repo, number string, o sdk.CreatePullRequestOption) {
	pr, _, err := s.API(s.t, login).CreatePullRequest(owner, repo, o)
	s.must(err)
	if got := strconv.FormatInt(pr.Index, 10); got != number {
		s.t.Fatalf("seeding: the pull request %q has the number %s", o.Title, got)
	}
}
