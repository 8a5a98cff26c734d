//go:build unix

package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// IsTerminal tells whether a stream is a terminal.
func IsTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), getTermios)
	return err == nil
}

// askSecret reads one line from the terminal without showing it, or all of a
// stream that is none.
func askSecret(ctx context.Context, env *Env, prompt string) (string, error) {
	if !IsTerminal(env.Stdin) {
		raw, err := io.ReadAll(io.LimitReader(env.Stdin, 64<<10))
		if err != nil {
			return "", fmt.Errorf("reading the standard input: %w", err)
		}
		return strings.TrimSpace(string(raw)), nil
	}
	fd := int(env.Stdin.(*os.File).Fd())
	before, err := unix.IoctlGetTermios(fd, getTermios)
	if err != nil {
		return "", fmt.Errorf("reading from the terminal: %w", err)
	}
	silent := *before
	silent.Lflag &^= unix.ECHO
	if err := unix.IoctlSetTermios(fd, setTermios, &silent); err != nil {
		return "", fmt.Errorf("reading from the terminal: %w", err)
	}
	defer func() {
		_ = unix.IoctlSetTermios(fd, setTermios, before)
		fmt.Fprintln(env.Stderr)
	}()
	return ask(ctx, env, prompt)
}

// ask shows a question and reads one line. An interrupt ends the wait.
func ask(ctx context.Context, env *Env, question string) (string, error) {
	fmt.Fprint(env.Stderr, question)
	type result struct {
		line string
		err  error
	}
	read := make(chan result, 1)
	go func() {
		line, err := bufio.NewReader(env.Stdin).ReadString('\n')
		if errors.Is(err, io.EOF) {
			err = nil
		}
		read <- result{strings.TrimSpace(line), err}
	}()
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case r := <-read:
		return r.line, r.err
	}
}

// Confirmation is the flag of commands that destroy something.
type Confirmation struct {
	Yes bool `short:"y" help:"Do not ask. Needed where nobody can be asked, because the standard input is no terminal."`
}

// confirm asks before something that cannot be undone. Where nobody can be
// asked, only --yes says yes.
func (c Confirmation) confirm(ctx context.Context, env *Env, question string) error {
	if c.Yes {
		return nil
	}
	if !IsTerminal(env.Stdin) {
		return usagef("%s Nobody can be asked, because the standard input is no terminal: say --yes if you mean it. Nothing was done", question)
	}
	reply, err := ask(ctx, env, question+" [y/N] ")
	if err != nil {
		return err
	}
	switch strings.ToLower(reply) {
	case "y", "yes":
		return nil
	default:
		return errors.New("nothing was done")
	}
}

// ownedByUs tells whether a file belongs to the user of this process.
func ownedByUs(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return !ok || int(stat.Uid) == os.Geteuid()
}
