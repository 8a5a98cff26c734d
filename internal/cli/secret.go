package cli

import "context"

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
	secret, err := SecretFlags{File: s.File, Env: s.Env}.read(env, flag)
	if err != nil {
		return "", err
	}
	return *secret, nil
}
