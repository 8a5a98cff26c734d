package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// takeBackTime is how long it may take to take back what was made.
const takeBackTime = 10 * time.Second

// handOver prints what was just made and is shown this once. When that fails,
// nobody has it, so it is taken back: it would live on for ever, or until it
// expires, and nobody would use it.
func handOver(ctx context.Context, what string, show func() error, takeBack func(context.Context) error) error {
	// A reader that is gone must not end the process before that.
	broken := make(chan os.Signal, 1)
	signal.Notify(broken, syscall.SIGPIPE)
	defer signal.Stop(broken)
	err := show()
	if err == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), takeBackTime)
	defer cancel()
	if kept := takeBack(ctx); kept != nil {
		return fmt.Errorf("%w. %s was made, nobody has seen its token, and it could not be taken back: %s", err, what, sentence(kept))
	}
	return fmt.Errorf("%w. %s was taken back", err, what)
}
