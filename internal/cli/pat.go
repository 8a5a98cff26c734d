package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/internal/cli/out"
)

// PATCommands are the verbs of the noun pat.
type PATCommands struct {
	Create PATCreate `cmd:"" help:"Make a token and print it, this once."`
	List   PATList   `cmd:"" help:"List your tokens."`
	Get    PATGet    `cmd:"" help:"Show what is known of a token."`
	Delete PATDelete `cmd:"" help:"Revoke a token at once."`
}

// days is a length of time that can be given in days.
type days time.Duration

// UnmarshalText reads "30d" and whatever time.ParseDuration reads.
func (d *days) UnmarshalText(text []byte) error {
	if n, ok := strings.CutSuffix(string(text), "d"); ok {
		if count, err := strconv.ParseUint(n, 10, 16); err == nil {
			*d = days(time.Duration(count) * 24 * time.Hour)
			return nil
		}
	}
	parsed, err := time.ParseDuration(string(text))
	if err != nil || parsed < 0 {
		return fmt.Errorf("%q is not a length of time; write 30d or 12h", text)
	}
	*d = days(parsed)
	return nil
}

// lifetime is a length of time, longer than nothing, that can be given in days.
type lifetime time.Duration

// UnmarshalText reads what days reads.
func (l *lifetime) UnmarshalText(text []byte) error {
	var d days
	if err := d.UnmarshalText(text); err != nil {
		return err
	}
	if d == 0 {
		return fmt.Errorf("%q is no time at all; write 30d or 12h", text)
	}
	*l = lifetime(d)
	return nil
}

// PATCreate makes a token.
type PATCreate struct {
	Description string   `arg:"" help:"What the token is for."`
	ValidFor    lifetime `default:"90d" placeholder:"TIME" help:"How long it is valid, such as 30d or 12h; at most, and without the flag, 90d."`
	ReadOnly    bool     `help:"Let the token read only."`
	Output
	Remote
}

// Run runs the command.
func (cmd *PATCreate) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	me, err := c.me(ctx)
	if err != nil {
		return err
	}
	resp, err := c.Users.CreatePersonalAccessToken(ctx, connect.NewRequest(&gitpodv1.CreatePersonalAccessTokenRequest{
		UserId:      me.GetSubject().GetId(),
		Description: cmd.Description,
		ValidFor:    durationpb.New(time.Duration(cmd.ValidFor)),
		ReadOnly:    cmd.ReadOnly,
	}))
	if err != nil {
		return err
	}
	return handOver(ctx, env, "The token", resp.Msg.GetToken(), func() error {
		return cmd.one(env, resp.Msg, func() error { return printToken(env, resp.Msg.GetToken()) })
	}, func(ctx context.Context) error {
		made, err := tokenMade(resp.Header())
		if err != nil {
			return err
		}
		return c.deleteToken(ctx, made)
	})
}

func (c *Client) deleteToken(ctx context.Context, id string) error {
	_, err := c.Users.DeletePersonalAccessToken(ctx, connect.NewRequest(&gitpodv1.DeletePersonalAccessTokenRequest{PersonalAccessTokenId: id}))
	return err
}

// printToken prints a token alone on the standard output, so that a script can
// keep it, and the advice beside it.
func printToken(env *Env, token string) error {
	fmt.Fprintln(env.Stderr, "This token is shown this once. Keep it like a password:")
	_, err := fmt.Fprintln(env.Stdout, token)
	return err
}

// me returns who the token belongs to.
func (c *Client) me(ctx context.Context) (*gitpodv1.GetAuthenticatedIdentityResponse, error) {
	resp, err := c.Identity.GetAuthenticatedIdentity(ctx, connect.NewRequest(&gitpodv1.GetAuthenticatedIdentityRequest{}))
	if err != nil {
		return nil, err
	}
	return resp.Msg, nil
}

// listTokens returns the tokens of the caller, newest first.
func (c *Client) listTokens(ctx context.Context) ([]*gitpodv1.PersonalAccessToken, error) {
	me, err := c.me(ctx)
	if err != nil {
		return nil, err
	}
	filter := &gitpodv1.ListPersonalAccessTokensRequest_Filter{UserIds: []string{me.GetSubject().GetId()}}
	return pages(func(p *gitpodv1.PaginationRequest) ([]*gitpodv1.PersonalAccessToken, *gitpodv1.PaginationResponse, error) {
		resp, err := c.Users.ListPersonalAccessTokens(ctx, connect.NewRequest(&gitpodv1.ListPersonalAccessTokensRequest{Pagination: p, Filter: filter}))
		if err != nil {
			return nil, nil, err
		}
		return resp.Msg.GetPersonalAccessTokens(), resp.Msg.GetPagination(), nil
	})
}

// findToken returns the token with the given id or description.
func (c *Client) findToken(ctx context.Context, descriptionOrID string) (*gitpodv1.PersonalAccessToken, error) {
	if uuidPattern.MatchString(descriptionOrID) {
		resp, err := c.Users.GetPersonalAccessToken(ctx, connect.NewRequest(&gitpodv1.GetPersonalAccessTokenRequest{PersonalAccessTokenId: descriptionOrID}))
		if err != nil {
			return nil, err
		}
		return resp.Msg.GetPat(), nil
	}
	all, err := c.listTokens(ctx)
	if err != nil {
		return nil, err
	}
	return pick("token", descriptionOrID, all,
		func(t *gitpodv1.PersonalAccessToken) bool { return t.GetDescription() == descriptionOrID },
		func(t *gitpodv1.PersonalAccessToken) string {
			return fmt.Sprintf("%s  made %s ago", t.GetId(), out.Age(c.env.Now(), t.GetCreatedAt()))
		})
}

// PATArg names a token on the command line.
type PATArg struct {
	PAT string `arg:"" name:"pat" help:"Description or id of the token."`
}

// PATList lists tokens.
type PATList struct {
	Output
	Remote
}

// Run runs the command.
func (cmd *PATList) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	tokens, err := c.listTokens(ctx)
	if err != nil {
		return err
	}
	return many(cmd.Output, env, tokens, func() error {
		if len(tokens) == 0 {
			_, err := fmt.Fprintln(env.Stdout, "No tokens. Make one: muster pat create DESCRIPTION")
			return err
		}
		t := out.NewTable("DESCRIPTION", "ID", "SCOPE", "AGE", "EXPIRES", "LAST USED")
		for _, p := range tokens {
			t.Row(p.GetDescription(), p.GetId(), scope(p), out.Age(env.Now(), p.GetCreatedAt()), expiry(env, p.GetExpiresAt()), ago(env, p.GetLastUsed()))
		}
		return t.Write(env.Stdout)
	})
}

func scope(p *gitpodv1.PersonalAccessToken) string {
	if p.GetReadOnly() {
		return "read"
	}
	return "full"
}

// expiry is when something ends.
func expiry(env *Env, at *timestamppb.Timestamp) string {
	if at == nil {
		return "never"
	}
	left := at.AsTime().Sub(env.Now())
	if left <= 0 {
		return "expired"
	}
	return "in " + out.Span(left)
}

// ago is when something was last done.
func ago(env *Env, at *timestamppb.Timestamp) string {
	if at == nil {
		return "never"
	}
	return out.Age(env.Now(), at) + " ago"
}

// PATGet shows a token.
type PATGet struct {
	PATArg
	Output
	Remote
}

// Run runs the command.
func (cmd *PATGet) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	p, err := c.findToken(ctx, cmd.PAT)
	if err != nil {
		return err
	}
	return cmd.one(env, p, func() error {
		owner := &gitpodv1.Subject{Principal: gitpodv1.Principal_PRINCIPAL_USER, Id: p.GetUserId()}
		return out.Fields(
			env.Stdout,
			"Description", p.GetDescription(),
			"ID", p.GetId(),
			"User", c.namesOf(ctx, owner).subjectName(owner),
			"Scope", scope(p),
			"Created", out.Time(env.Now(), p.GetCreatedAt()),
			"Expires", out.Time(env.Now(), p.GetExpiresAt()),
			"Last used", ago(env, p.GetLastUsed()),
		)
	})
}

// PATDelete revokes a token.
type PATDelete struct {
	PATArg
	Confirmation
	Remote
}

// Run runs the command.
func (cmd *PATDelete) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	p, err := c.findToken(ctx, cmd.PAT)
	if err != nil {
		return err
	}
	if err := cmd.confirm(ctx, env, fmt.Sprintf("Revoke the token %q (%s)?", p.GetDescription(), p.GetId())); err != nil {
		return err
	}
	if err := c.deleteToken(ctx, p.GetId()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(env.Stdout, "Token %q is revoked.\n", p.GetDescription())
	return err
}
