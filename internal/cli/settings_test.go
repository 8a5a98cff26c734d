package cli_test

import (
	"encoding/json"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musterhq/muster/internal/cli"
)

// devDir makes a .muster directory as "muster dev" does.
func devDir(t *testing.T, dir, server, token string) {
	t.Helper()
	state := filepath.Join(dir, cli.DevDir)
	if err := os.MkdirAll(state, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{cli.DevServerFile: server + "\n", cli.DevTokenFile: token + "\n"} {
		if err := os.WriteFile(filepath.Join(state, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func login(t *testing.T, server, token string) {
	t.Helper()
	dir := filepath.Join(os.Getenv("XDG_CONFIG_HOME"), "muster")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(cli.Credentials{Server: server, Token: token})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "credentials.json"), raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Which control plane is chosen shows in whether whoami succeeds: only one of
// the servers exists, and it knows one token.
func TestPrecedence(t *testing.T) {
	p := newPlane(t)
	const elsewhere = "http://127.0.0.1:1"
	for _, c := range []struct {
		name          string
		env           [2]string
		dev, login    [2]string
		args          string
		code          int
		want, wantErr string
	}{
		{
			name: "flags win over all", env: [2]string{elsewhere, "x"}, dev: [2]string{elsewhere, "x"}, login: [2]string{elsewhere, "x"},
			args: "--server " + p.URL + " --token " + adminToken,
		},
		{name: "the environment wins over files", env: [2]string{p.URL, adminToken}, dev: [2]string{elsewhere, "x"}, login: [2]string{elsewhere, "x"}},
		{name: "the directory wins over the login", dev: [2]string{p.URL, adminToken}, login: [2]string{elsewhere, "x"}},
		{name: "the login", login: [2]string{p.URL, adminToken}},
		{name: "a server given by hand takes its stored token", env: [2]string{p.URL + "/", ""}, dev: [2]string{elsewhere, "x"}, login: [2]string{p.URL, adminToken}},
		{
			name: "a stored token goes to no other server", env: [2]string{p.URL, ""}, dev: [2]string{elsewhere, adminToken}, login: [2]string{elsewhere, adminToken},
			code: 1, wantErr: "there is no token for " + p.URL,
		},
		{name: "a token alone is sent nowhere", env: [2]string{"", adminToken}, dev: [2]string{p.URL, "x"}, code: 2, wantErr: "add --server"},
		{name: "nothing", code: 1, wantErr: "no control plane is chosen"},
		{name: "no URL", env: [2]string{"muster.example.com", "x"}, code: 2, wantErr: "is not the URL of a control plane"},
		{name: "nobody there", env: [2]string{elsewhere, "x"}, code: 1, wantErr: "nothing answers at " + elsewhere},
	} {
		t.Run(c.name, func(t *testing.T) {
			isolate(t)
			t.Setenv("MUSTER_SERVER", c.env[0])
			t.Setenv("MUSTER_TOKEN", c.env[1])
			dir := t.TempDir()
			below := filepath.Join(dir, "a", "b")
			if err := os.MkdirAll(below, 0o700); err != nil {
				t.Fatal(err)
			}
			if c.dev[0] != "" {
				devDir(t, dir, c.dev[0], c.dev[1])
			}
			if c.login[0] != "" {
				login(t, c.login[0], c.login[1])
			}
			r := command{dir: below}.run(t, append([]string{"whoami"}, strings.Fields(c.args)...)...).want(t, c.code)
			if c.code == 0 && !strings.Contains(r.stdout, p.URL) {
				t.Errorf("it talked to somebody else:\n%s", r.stdout)
			}
			if !strings.Contains(r.stderr, c.wantErr) {
				t.Errorf("it says %q, want %q", r.stderr, c.wantErr)
			}
		})
	}
}

func TestOpenTokenFileIsRefused(t *testing.T) {
	p := newPlane(t)
	isolate(t)
	dir := t.TempDir()
	devDir(t, dir, p.URL, adminToken)
	token := filepath.Join(dir, cli.DevDir, cli.DevTokenFile)
	if err := os.Chmod(token, 0o644); err != nil {
		t.Fatal(err)
	}
	if r := (command{dir: dir}).run(t, "whoami").want(t, 1); !strings.Contains(r.stderr, "chmod 600 "+token) {
		t.Errorf("it says %q", r.stderr)
	}
}

func TestLogin(t *testing.T) {
	p := newPlane(t)
	isolate(t)
	path := filepath.Join(os.Getenv("XDG_CONFIG_HOME"), "muster", "credentials.json")

	r := command{stdin: "wrong\n"}.run(t, "login", "--server", p.URL).want(t, 1)
	if !strings.Contains(r.stderr, "The token is not known.") {
		t.Errorf("a bad token gave %q", r.stderr)
	}
	if _, err := os.Stat(path); err == nil {
		t.Fatal("a bad token was saved")
	}
	command{stdin: "two words\n"}.run(t, "login", "--server", p.URL).want(t, 1)

	r = command{stdin: adminToken + "\n"}.run(t, "login", "--server", p.URL+"/").want(t, 0)
	if want := "Logged in to " + p.URL + " as Ada. The token is in " + path + ".\n"; r.stdout != want {
		t.Errorf("it says %q", r.stdout)
	}
	if strings.Contains(r.stdout+r.stderr, adminToken) {
		t.Error("it printed the token")
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %v, %v", info.Mode(), err)
	}
	want := `Server:        ` + p.URL + `
Name:          Ada
Email:         ada@example.com
Principal:     USER
ID:            ` + meID + `
Organization:  ` + orgID + `
`
	if diff := cmp.Diff(want, muster(t, "whoami").want(t, 0).stdout); diff != "" {
		t.Error(diff)
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := muster(t, "whoami").want(t, 1); !strings.Contains(r.stderr, "is damaged") {
		t.Errorf("a damaged file gave %q", r.stderr)
	}
}

func TestLoginWarnsOfPlainHTTP(t *testing.T) {
	isolate(t)
	r := command{stdin: "x\n"}.run(t, "login", "--server", "http://muster.invalid").want(t, 1)
	if !strings.Contains(r.stderr, "Warning: without https") {
		t.Errorf("it says %q", r.stderr)
	}
}

func TestPrivateAuthority(t *testing.T) {
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	isolate(t)
	t.Setenv("MUSTER_SERVER", server.URL)
	t.Setenv("MUSTER_TOKEN", "x")
	r := muster(t, "whoami").want(t, 1)
	if !strings.Contains(r.stderr, "give its certificate with --ca-file") {
		t.Errorf("an unknown authority gave %q", r.stderr)
	}
	if r := muster(t, "whoami", "--ca-file", os.DevNull).want(t, 1); !strings.Contains(r.stderr, "holds no PEM certificate") {
		t.Errorf("an empty file gave %q", r.stderr)
	}
}
