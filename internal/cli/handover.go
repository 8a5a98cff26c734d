package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// takeBackTime is how long it may take to take back what was made.
const takeBackTime = 10 * time.Second

// handOver prints what was just made, with a secret that is shown this once. When
// nobody has seen that, it is taken back: it would live on for ever, or until it
// expires, and nobody would use it.
func handOver(ctx context.Context, env *Env, what, secret string, show func() error, takeBack func(context.Context) error) error {
	// A reader that is gone must not end the process before that.
	broken := make(chan os.Signal, 1)
	signal.Notify(broken, syscall.SIGPIPE)
	defer signal.Stop(broken)
	seen, err := showAtOnce(env, secret, show)
	switch {
	case err == nil:
		return nil
	case seen:
		return fmt.Errorf("%w. %s stays: its token was shown by then", err, what)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), takeBackTime)
	defer cancel()
	if kept := takeBack(ctx); kept != nil {
		return fmt.Errorf("%w. %s was made, nobody has seen its token, and it could not be taken back: %s", err, what, sentence(kept))
	}
	return fmt.Errorf("%w. %s was taken back", err, what)
}

// madeTokenID is the header in which a control plane says the id of a token that it
// has made.
const madeTokenID = "Muster-Token-Id" //nolint:gosec // no credential

// tokenMade is the id of the token in an answer.
func tokenMade(h http.Header) (string, error) {
	if made := h.Get(madeTokenID); made != "" {
		return made, nil
	}
	return "", errors.New("the control plane is older than this program and does not tell the id of the token, so look for it in the list")
}

// showAtOnce makes one write of all that show prints, so that a reader gets all of
// it, or leaves before there is anything. It tells whether the secret was among what
// was written.
func showAtOnce(env *Env, secret string, show func() error) (seen bool, err error) {
	to, page := env.Stdout, new(bytes.Buffer)
	env.Stdout = page
	err = show()
	env.Stdout = to
	if err != nil {
		return false, err
	}
	n, err := to.Write(page.Bytes())
	return bytes.Contains(page.Bytes()[:n], []byte(secret)), err
}
