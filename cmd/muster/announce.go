package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/musterhq/muster/internal/app"
	"github.com/musterhq/muster/internal/cli"
)

// announcement tells people, on the standard output, that a control plane answers,
// and where the first admin's token is when it was made just now. Nobody waits for
// whoever reads it.
type announcement struct {
	to io.Writer
	// terminal says that somebody reads who may see a token.
	terminal bool
	log      *slog.Logger
	said     chan struct{} // nil until there is something to say
}

func newAnnouncement(to io.Writer, log *slog.Logger) *announcement {
	return &announcement{to: to, terminal: cli.IsTerminal(to), log: log}
}

// tell says it. A token is in its file until somebody has seen it.
func (a *announcement) tell(s app.Started) {
	if s.TokenFile != "" && !a.terminal {
		a.log.Info("this is the first start: the admin's personal access token is in a file; log in with it, keep it in a safe place, and remove the file", "file", s.TokenFile)
	}
	a.said = make(chan struct{})
	go func() {
		defer close(a.said)
		_, err := io.WriteString(a.to, a.text(s))
		switch {
		case s.TokenFile == "" || !a.terminal:
		case err != nil:
			a.log.Warn("the terminal is gone, so the first admin's token could not be shown: it is in a file; log in with it, keep it in a safe place, and remove the file", "file", s.TokenFile)
		default:
			if err := os.Remove(s.TokenFile); err != nil {
				a.log.Warn("the token of the first admin was shown, and is in a file that could not be removed; remove it", "file", s.TokenFile, "error", err)
			}
		}
	}()
}

func (a *announcement) text(s app.Started) string {
	text := fmt.Sprintf("Muster is ready at %s\n", s.URL)
	switch {
	case s.TokenFile == "":
	case a.terminal:
		text += fmt.Sprintf("\nThis is the first start. The admin's personal access token, shown this once:\n\n  %s\n\nLog in with it: muster login --server %s\n", s.Token, s.URL)
	default:
		text += fmt.Sprintf("\nThis is the first start. The admin's personal access token is in %s\n\nLog in with it, keep it in a safe place, and remove the file: muster login --server %s < %s\n", s.TokenFile, s.URL, s.TokenFile)
	}
	return text
}

// end lets what is being said be said, for a moment.
func (a *announcement) end() {
	if a.said == nil {
		return
	}
	select {
	case <-a.said:
	case <-time.After(outletLast):
	}
}
