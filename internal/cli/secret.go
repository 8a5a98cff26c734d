package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
)

// SecretSource says where a secret is that is needed: never on the command line
// itself, which others can see.
type SecretSource struct {
	File string `placeholder:"FILE" help:"File with the secret; - for the standard input. A terminal does not show what is typed."`
	Env  string `placeholder:"VARIABLE" help:"Environment variable with the secret."`
}

// given tells whether a flag says where the secret is.
func (s SecretSource) given() bool { return s.File != "" || s.Env != "" }

// read returns the secret. A terminal is asked for it when it is where the
// secret is to come from, or when no flag says so.
func (s SecretSource) read(ctx context.Context, env *Env, flag, prompt string) (string, error) {
	if s.Env == "" && (s.File == "" || s.File == "-") && IsTerminal(env.Stdin) {
		secret, err := askSecret(ctx, env, prompt)
		if err == nil && secret == "" {
			err = usagef("nothing was typed")
		}
		return secret, err
	}
	if !s.given() {
		return "", usagef("say where the secret is: %s-file or %s-env", flag, flag)
	}
	secret, err := s.take(env, flag)
	if err != nil {
		return "", err
	}
	return *secret, nil
}

// take returns the secret without asking for it; nil when no flag says where it
// is.
func (s SecretSource) take(env *Env, flag string) (*string, error) {
	if s.File != "" && s.Env != "" {
		return nil, usagef("give only one of %s-file and %s-env", flag, flag)
	}
	if !s.given() {
		return nil, nil
	}
	var secret, source string
	switch {
	case s.Env != "":
		secret, source = os.Getenv(s.Env), "the environment variable "+s.Env
	case s.File == "-":
		raw, err := io.ReadAll(io.LimitReader(env.Stdin, 64<<10))
		if err != nil {
			return nil, fmt.Errorf("reading the standard input: %w", err)
		}
		secret, source = string(raw), "the standard input"
	default:
		raw, err := os.ReadFile(s.File)
		if err != nil {
			return nil, fmt.Errorf("reading %s-file: %w", flag, err)
		}
		secret, source = string(raw), s.File
	}
	if secret = strings.TrimRight(secret, "\r\n"); secret == "" {
		return nil, &emptySecret{source}
	}
	return &secret, nil
}

// emptySecret says that there is nothing where a secret was to be.
type emptySecret struct{ source string }

func (e *emptySecret) Error() string { return e.source + " holds nothing" }
