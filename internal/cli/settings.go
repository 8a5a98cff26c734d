package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// Remote holds the flags that choose a control plane. Commands that talk to one
// embed it.
type Remote struct {
	Server string `group:"connect" env:"MUSTER_SERVER" placeholder:"URL" help:"URL of the control plane. Without it: the nearest .muster directory of a \"muster dev\", then the one of \"muster login\"."`
	Token  string `group:"connect" env:"MUSTER_TOKEN" placeholder:"TOKEN" help:"Access token. Prefer the environment variable: others can see the arguments of a program."`
	CAFile string `group:"connect" env:"MUSTER_CA_FILE" name:"ca-file" placeholder:"FILE" help:"PEM file with the certificate authority of the control plane, when it is a private one."`
}

// Credentials are a control plane and what it takes to talk to it. The login
// file holds them as JSON.
type Credentials struct {
	Server string `json:"server"`
	Token  string `json:"token"`
	CAFile string `json:"caFile,omitempty"`
}

// DevDir is the directory in which "muster dev" keeps its state; the files in it
// are how the other commands find that control plane.
const (
	DevDir        = ".muster"
	DevServerFile = "server"
	DevTokenFile  = "token"
)

var errNoServer = errors.New(`no control plane is chosen. Log in to one with "muster login --server URL", ` +
	`set MUSTER_SERVER and MUSTER_TOKEN, or start one here with "muster dev"`)

// credentials finds the control plane: what the flags and the environment say,
// then the nearest .muster directory, then the login file.
//
// A stored token is sent to no other server than the one it was stored with,
// and a token given by hand to no server that merely lies about in a directory.
func (r *Remote) credentials(env *Env) (Credentials, error) {
	given := Credentials{Server: r.Server, Token: strings.TrimSpace(r.Token), CAFile: r.CAFile}
	if given.Server != "" {
		server, err := ServerURL(given.Server)
		if err != nil {
			return Credentials{}, err
		}
		given.Server = server
	}
	if given.Server == "" && given.Token != "" {
		return Credentials{}, usagef("a token is given (--token or MUSTER_TOKEN) and no control plane: add --server or MUSTER_SERVER")
	}
	if given.Server != "" && given.Token != "" {
		return given, nil
	}
	for _, find := range []func(*Env) (Credentials, bool, error){devCredentials, loginCredentials} {
		stored, ok, err := find(env)
		if err != nil {
			return Credentials{}, err
		}
		if !ok || given.Server != "" && given.Server != stored.Server {
			continue
		}
		if given.CAFile != "" {
			stored.CAFile = given.CAFile
		}
		return stored, nil
	}
	if given.Server != "" {
		return Credentials{}, fmt.Errorf(`there is no token for %s. Set MUSTER_TOKEN, or log in with "muster login --server %s"`, given.Server, given.Server)
	}
	return Credentials{}, errNoServer
}

// ServerURL brings the URL of a control plane into its one form, without a slash
// at the end.
func ServerURL(s string) (string, error) {
	u, err := url.Parse(strings.TrimSpace(s))
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return "", usagef("%q is not the URL of a control plane; it looks like https://muster.example.com", s)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return "", usagef("the URL of a control plane has no user, query or fragment")
	}
	u.Host = strings.ToLower(u.Host)
	return strings.TrimRight(u.String(), "/"), nil
}

// devCredentials looks for a .muster directory here and in the directories
// above.
func devCredentials(env *Env) (Credentials, bool, error) {
	for dir := env.Dir; ; dir = filepath.Dir(dir) {
		state := filepath.Join(dir, DevDir)
		server, err := os.ReadFile(filepath.Join(state, DevServerFile)) //nolint:gosec // the user names the directory
		switch {
		case err == nil:
			token, err := readSecret(filepath.Join(state, DevTokenFile))
			if err != nil {
				return Credentials{}, false, err
			}
			url, err := ServerURL(string(server))
			if err != nil {
				return Credentials{}, false, fmt.Errorf("%s: %w", filepath.Join(state, DevServerFile), err)
			}
			return Credentials{Server: url, Token: strings.TrimSpace(string(token))}, true, nil
		case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission):
			return Credentials{}, false, fmt.Errorf("looking for %s: %w", state, err)
		}
		if dir == filepath.Dir(dir) {
			return Credentials{}, false, nil
		}
	}
}

// FindDev returns the nearest .muster directory of a "muster dev", here or above;
// false when there is none.
func FindDev(env *Env) (string, bool) {
	for dir := env.Dir; ; dir = filepath.Dir(dir) {
		state := filepath.Join(dir, DevDir)
		if _, err := os.Stat(filepath.Join(state, DevServerFile)); err == nil {
			return state, true
		}
		if dir == filepath.Dir(dir) {
			return "", false
		}
	}
}

func loginCredentials(*Env) (Credentials, bool, error) {
	path, err := loginFile()
	if err != nil {
		// Without a home there is no login.
		return Credentials{}, false, nil //nolint:nilerr // see above
	}
	raw, err := readSecret(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Credentials{}, false, nil
	}
	if err != nil {
		return Credentials{}, false, err
	}
	var c Credentials
	if err := json.Unmarshal(raw, &c); err != nil || c.Server == "" || c.Token == "" {
		return Credentials{}, false, fmt.Errorf(`%s is damaged; write it anew with "muster login --server URL"`, path)
	}
	return c, true, nil
}

// loginFile is where "muster login" keeps its credentials.
func loginFile() (string, error) {
	dir := os.Getenv("XDG_CONFIG_HOME")
	if !filepath.IsAbs(dir) {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("finding the configuration directory: %w", err)
		}
		dir = filepath.Join(home, ".config")
	}
	return filepath.Join(dir, "muster", "credentials.json"), nil
}

// saveLogin writes the login file, readable by its owner alone.
func saveLogin(c Credentials) (string, error) {
	path, err := loginFile()
	if err != nil {
		return "", err
	}
	raw, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return "", fmt.Errorf("writing %s: %w", path, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", fmt.Errorf("saving the login: %w", err)
	}
	if err := WriteSecret(path, append(raw, '\n')); err != nil {
		return "", err
	}
	return path, nil
}
