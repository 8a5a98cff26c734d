package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/musterhq/muster/internal/app"
	"github.com/musterhq/muster/internal/cli"
)

// state is the directory .muster of dev.
type state struct {
	dir   string
	lock  *os.File
	token string
	// bootstrap is the token when the control plane has yet to be made with it.
	bootstrap string
}

// openState opens the state below dir, and makes it when there is none. Only one
// process has it.
func openState(dir string) (*state, error) {
	s := &state{dir: filepath.Join(dir, cli.DevDir)}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the state directory: %w", err)
	}
	lock, err := os.OpenFile(s.path("lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the state directory: %w", err)
	}
	s.lock = lock
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		s.close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("another \"muster dev\" runs in this directory; use that one, or start this one elsewhere with another --listen")
		}
		return nil, fmt.Errorf("locking the state directory: %w", err)
	}
	if err := s.loadToken(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// close lets another process have the state.
func (s *state) close() { _ = s.lock.Close() }

func (s *state) path(name string) string { return filepath.Join(s.dir, name) }

func (s *state) has(name string) bool {
	_, err := os.Stat(s.path(name))
	return err == nil
}

// read returns what a file holds; nothing when it does not exist.
func (s *state) read(name string) (string, error) {
	raw, err := os.ReadFile(s.path(name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("reading the state: %w", err)
	}
	return strings.TrimSpace(string(raw)), nil
}

// loadToken reads the admin's token, and makes it at the first start: it is on
// disk before the control plane knows it, so that no interruption loses it.
func (s *state) loadToken() error {
	token, err := s.read(cli.DevTokenFile)
	if err != nil {
		return err
	}
	// The server file is written once the control plane has started.
	made := s.has(cli.DevServerFile)
	switch {
	case token == "" && made:
		return fmt.Errorf("%s is gone, and the control plane keeps only its hash. Put it back, or remove %s to start afresh", s.path(cli.DevTokenFile), s.dir)
	case token == "":
		token = app.NewBootstrapToken()
		if err := cli.WriteSecret(s.path(cli.DevTokenFile), []byte(token+"\n")); err != nil {
			return err
		}
	}
	s.token = token
	if !made {
		s.bootstrap = token
	}
	return nil
}

// setServer tells the other commands where the control plane is.
func (s *state) setServer(url string) error {
	return cli.WriteSecret(s.path(cli.DevServerFile), []byte(url+"\n"))
}

const runnerIDFile = "runner-id"

// runnerID is the id of the runner; empty when there is none yet.
func (s *state) runnerID() string {
	// An id that cannot be read makes a new runner.
	id, _ := s.read(runnerIDFile)
	return id
}

func (s *state) setRunnerID(id string) error {
	return cli.WriteSecret(s.path(runnerIDFile), []byte(id+"\n"))
}
