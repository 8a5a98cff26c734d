package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/musterhq/muster/internal/agent/home"
	"github.com/musterhq/muster/internal/app"
	"github.com/musterhq/muster/internal/cli"
	"github.com/musterhq/muster/internal/datadir"
	"github.com/musterhq/muster/internal/durable"
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
// process has it. A directory that is not fit is left as it is.
func openState(dir string) (*state, error) {
	s := &state{dir: filepath.Join(dir, cli.DevDir)}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the state directory: %w", err)
	}
	if err := s.check(); err != nil {
		return nil, unfit("looking at", err)
	}
	lock, err := datadir.Hold(s.path(lockFile), strconv.Itoa(os.Getpid()))
	if _, busy := errors.AsType[*datadir.Busy](err); busy {
		return nil, fmt.Errorf("another \"muster dev\" runs in this directory; use that one, or start this one elsewhere with another --listen")
	}
	if err != nil {
		return nil, unfit("locking", err)
	}
	s.lock = lock
	if err := s.loadToken(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// check refuses a state that another user could replace, or whose place is taken by
// something else, in all its parts: none of them starts before all can.
func (s *state) check() error {
	if err := datadir.Private(s.dir); err != nil {
		return err
	}
	if !s.has(cli.DevTokenFile) && !s.has(cli.DevServerFile) {
		if err := datadir.Unused(s.dir, s.owns); err != nil {
			return err
		}
	}
	for _, err := range []error{datadir.Private(s.path(devPlane)), home.Check(s.path(devRunner))} {
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// owns tells whether a name in the directory is one of dev's.
func (s *state) owns(name string) bool {
	switch name {
	case lockFile:
		return datadir.IsLock(s.path(name))
	case devPlane, devRunner:
		return true
	}
	return slices.ContainsFunc([]string{cli.DevTokenFile, cli.DevServerFile, runnerIDFile}, func(file string) bool {
		return name == file || durable.IsLeftover(file, name)
	})
}

// unfit is the error of a state directory that cannot be used.
func unfit(doing string, err error) error {
	if flaw, ok := errors.AsType[*datadir.Flaw](err); ok {
		return fmt.Errorf("%s. %s, or start \"muster dev\" in another directory; nothing was changed in this one", flaw.Why, flaw.Remedy)
	}
	return fmt.Errorf("%s the state directory: %w", doing, err)
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

// What is in the state beside the files that other commands read.
const (
	lockFile     = "lock"
	runnerIDFile = "runner-id"
	// devRunner is the data directory of the runner.
	devRunner = "runner"
)

// runnerID is the id of the runner; empty when there is none yet.
func (s *state) runnerID() string {
	// An id that cannot be read makes a new runner.
	id, _ := s.read(runnerIDFile)
	return id
}

func (s *state) setRunnerID(id string) error {
	return cli.WriteSecret(s.path(runnerIDFile), []byte(id+"\n"))
}
