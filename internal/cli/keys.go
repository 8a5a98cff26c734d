package cli

import (
	"context"
	"fmt"

	"connectrpc.com/connect"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	adminv1 "github.com/musterhq/muster/gen/muster/admin/v1"
)

// KeysCommands are the verbs of the noun keys.
type KeysCommands struct {
	Rotate KeysRotate `cmd:"" help:"Replace keys of the control plane; nothing stops working."`
}

// signed is what the signing keys of a rotation are for, in their order.
var signed = []string{"logs tokens", "the audit log", "ID tokens"}

// KeysRotate replaces keys.
type KeysRotate struct {
	Signing   bool `help:"Replace the keys that sign logs tokens, the audit log and ID tokens. What the old ones signed can be verified as before: tokens until they expire, the audit log for ever."`
	SecretKey bool `help:"Replace the key in the secret-key file, and encrypt everything under it anew. Back the file up afterwards."`
	Output
	Remote
}

// Run runs the command.
func (cmd *KeysRotate) Run(ctx context.Context, env *Env) error {
	if !cmd.Signing && !cmd.SecretKey {
		return usagef("say what to rotate: --signing, --secret-key or both")
	}
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	resp, err := c.Installation.RotateKeys(ctx, connect.NewRequest(&adminv1.RotateKeysRequest{SigningKeys: cmd.Signing, SecretKey: cmd.SecretKey}))
	if err != nil {
		return err
	}
	return cmd.one(env, resp.Msg, func() error {
		ids := resp.Msg.GetSigningKeyIds()
		for i, id := range ids {
			signs := ""
			if len(ids) == len(signed) {
				signs = " and signs " + signed[i]
			}
			if _, err := fmt.Fprintf(env.Stdout, "Signing key %s is in use%s.\n", id, signs); err != nil {
				return err
			}
		}
		if len(ids) > 0 {
			fmt.Fprintln(env.Stderr, "Save the new public key of the audit log where the earlier ones are: muster audit export --keys-only")
		}
		if !cmd.SecretKey {
			return nil
		}
		_, err := fmt.Fprintf(env.Stdout, "The secret-key file has a new key; secrets encrypted anew: %d. Back the file up now: copies of it from before open only copies of the database from before.\n", resp.Msg.GetRewrapped())
		return err
	})
}

// IDToken makes a token that proves to others who the caller is.
type IDToken struct {
	Audience []string `required:"" sep:"none" placeholder:"NAME" help:"Who shall accept the token, such as sts.amazonaws.com; may be repeated, up to 10 times."`
	Version  int      `enum:"1,2" default:"2" placeholder:"N" help:"Form of the subject: 2 is organization:ID/user:ID, 1 is user:ID."`
	Remote
}

// Run runs the command.
func (cmd *IDToken) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	resp, err := c.Identity.GetIDToken(ctx, connect.NewRequest(&gitpodv1.GetIDTokenRequest{
		Audience: cmd.Audience, Version: gitpodv1.IDTokenVersion(cmd.Version), //nolint:gosec // 1 or 2
	}))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(env.Stdout, resp.Msg.GetToken())
	return err
}
