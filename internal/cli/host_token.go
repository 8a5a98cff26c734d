package cli

import (
	"context"
	"fmt"
	"strings"

	"connectrpc.com/connect"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/internal/cli/out"
)

const prefixSource = "HOST_AUTHENTICATION_TOKEN_SOURCE_"

// HostTokenCommands are the verbs of the noun host-token.
type HostTokenCommands struct {
	List   HostTokenList   `cmd:"" help:"List credentials: yours, and those on runners that you administer."`
	Get    HostTokenGet    `cmd:"" help:"Show what is known of a credential."`
	Create HostTokenCreate `cmd:"" help:"Store a credential of yours for a source code host on a runner."`
	Update HostTokenUpdate `cmd:"" help:"Replace a credential of yours, or what is known of it."`
	Delete HostTokenDelete `cmd:"" help:"Delete a credential; the runner forgets it too."`
}

// HostTokenArg names a credential on the command line.
type HostTokenArg struct {
	HostToken string `arg:"" name:"host-token" help:"Host of a credential of yours, or the id of any."`
	Runner    string `placeholder:"RUNNER" help:"Runner that it is on, by name or id, when you have one for the host on several."`
	Remote
}

// find connects and returns the credential that was named.
func (a *HostTokenArg) find(ctx context.Context, env *Env) (*Client, *gitpodv1.HostAuthenticationToken, error) {
	c, err := a.connect(env)
	if err != nil {
		return nil, nil, err
	}
	if uuidPattern.MatchString(a.HostToken) {
		t, err := c.getHostToken(ctx, a.HostToken)
		return c, t, err
	}
	filter := &gitpodv1.ListHostAuthenticationTokensRequest_Filter{}
	if err := c.onlyMine(ctx, filter); err != nil {
		return nil, nil, err
	}
	if err := c.onlyOn(ctx, filter, a.Runner); err != nil {
		return nil, nil, err
	}
	all, err := c.listHostTokens(ctx, filter)
	if err != nil {
		return nil, nil, err
	}
	names := c.runnerNames(ctx)
	t, err := pick("credential", a.HostToken, all,
		func(t *gitpodv1.HostAuthenticationToken) bool { return strings.EqualFold(t.GetHost(), a.HostToken) },
		func(t *gitpodv1.HostAuthenticationToken) string {
			return fmt.Sprintf("%s  on %s", t.GetId(), names(t.GetRunnerId()))
		})
	return c, t, err
}

// onlyMine limits a list to the caller's own.
func (c *Client) onlyMine(ctx context.Context, filter *gitpodv1.ListHostAuthenticationTokensRequest_Filter) error {
	me, err := c.me(ctx)
	if err == nil {
		mine := me.GetSubject().GetId()
		filter.SubjectId = &mine
	}
	return err
}

// onlyOn limits a list to a runner, if one is named.
func (c *Client) onlyOn(ctx context.Context, filter *gitpodv1.ListHostAuthenticationTokensRequest_Filter, runner string) error {
	if runner == "" {
		return nil
	}
	r, err := c.FindRunner(ctx, runner)
	if err == nil {
		filter.RunnerId = &r.RunnerId
	}
	return err
}

func (c *Client) getHostToken(ctx context.Context, id string) (*gitpodv1.HostAuthenticationToken, error) {
	resp, err := c.Configuration.GetHostAuthenticationToken(ctx, connect.NewRequest(&gitpodv1.GetHostAuthenticationTokenRequest{Id: id}))
	if err != nil {
		return nil, err
	}
	return resp.Msg.GetToken(), nil
}

func (c *Client) listHostTokens(ctx context.Context, filter *gitpodv1.ListHostAuthenticationTokensRequest_Filter) ([]*gitpodv1.HostAuthenticationToken, error) {
	return pages(func(p *gitpodv1.PaginationRequest) ([]*gitpodv1.HostAuthenticationToken, *gitpodv1.PaginationResponse, error) {
		resp, err := c.Configuration.ListHostAuthenticationTokens(ctx, connect.NewRequest(&gitpodv1.ListHostAuthenticationTokensRequest{Pagination: p, Filter: filter}))
		if err != nil {
			return nil, nil, err
		}
		return resp.Msg.GetTokens(), resp.Msg.GetPagination(), nil
	})
}

// HostTokenList lists credentials.
type HostTokenList struct {
	Runner  string `placeholder:"RUNNER" help:"Only those on this runner, by name or id."`
	Subject string `xor:"whose" placeholder:"WHO" help:"Only those of this member or service account, by name or id. \"user/NAME\" and \"service-account/NAME\" say which."`
	Mine    bool   `xor:"whose" help:"Only your own."`
	Output
	Remote
}

// Run runs the command.
func (cmd *HostTokenList) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	filter := &gitpodv1.ListHostAuthenticationTokensRequest_Filter{}
	if cmd.Mine {
		if err := c.onlyMine(ctx, filter); err != nil {
			return err
		}
	} else if cmd.Subject != "" {
		who := cmd.Subject
		if !uuidPattern.MatchString(who) {
			found, err := c.findSubject(ctx, who, gitpodv1.Principal_PRINCIPAL_USER, gitpodv1.Principal_PRINCIPAL_SERVICE_ACCOUNT)
			if err != nil {
				return err
			}
			who = found.id
		}
		filter.SubjectId = &who
	}
	if err := c.onlyOn(ctx, filter, cmd.Runner); err != nil {
		return err
	}
	tokens, err := c.listHostTokens(ctx, filter)
	if err != nil {
		return err
	}
	return many(cmd.Output, env, tokens, func() error {
		if len(tokens) == 0 {
			_, err := fmt.Fprintln(env.Stdout, "No credentials for source code hosts. Store one: muster host-token create --runner RUNNER --host HOST")
			return err
		}
		names, stale := c.runnerNames(ctx), c.staleSecrets(ctx)
		subjects := make([]*gitpodv1.Subject, len(tokens))
		for i, token := range tokens {
			subjects[i] = token.GetSubject()
		}
		owners := c.namesOf(ctx, subjects...)
		t := out.NewTable("HOST", "ID", "RUNNER", "OWNER", "SOURCE", "EXPIRES", "STATE")
		for _, token := range tokens {
			t.Row(token.GetHost(), token.GetId(), names(token.GetRunnerId()), owners.subjectName(token.GetSubject()), short(prefixSource, token.GetSource()),
				hostTokenExpiry(env, token), stale(token.GetRunnerId(), token.GetId()))
		}
		return t.Write(env.Stdout)
	})
}

func hostTokenExpiry(env *Env, t *gitpodv1.HostAuthenticationToken) string {
	at := t.GetExpiresAt()
	if at == nil {
		return ""
	}
	left := at.AsTime().Sub(env.Now())
	if left <= 0 {
		return "expired"
	}
	return "in " + out.Span(left)
}

// HostTokenGet shows a credential.
type HostTokenGet struct {
	HostTokenArg
	Output
}

// Run runs the command.
func (cmd *HostTokenGet) Run(ctx context.Context, env *Env) error {
	c, t, err := cmd.find(ctx, env)
	if err != nil {
		return err
	}
	return cmd.one(env, t, func() error {
		value := "set"
		if state := c.staleSecrets(ctx)(t.GetRunnerId(), t.GetId()); state != "" {
			value = state + ": muster host-token update " + t.GetId() + " --secret-file FILE"
		}
		expires := ""
		if t.GetExpiresAt() != nil {
			expires = out.Time(env.Now(), t.GetExpiresAt())
		}
		return out.Fields(
			env.Stdout,
			"Host", t.GetHost(),
			"ID", t.GetId(),
			"Runner", c.runnerNames(ctx)(t.GetRunnerId()),
			"Owner", c.namesOf(ctx, t.GetSubject()).subjectName(t.GetSubject()),
			"Source", short(prefixSource, t.GetSource()),
			"Secret", value,
			"Scopes", strings.Join(t.GetScopes(), ", "),
			"Integration", t.GetIntegrationId(),
			"Expires", expires,
		)
	})
}

// HostTokenDelete deletes a credential.
type HostTokenDelete struct {
	HostTokenArg
	Confirmation
}

// Run runs the command.
func (cmd *HostTokenDelete) Run(ctx context.Context, env *Env) error {
	c, t, err := cmd.find(ctx, env)
	if err != nil {
		return err
	}
	runner := c.runnerNames(ctx)(t.GetRunnerId())
	q := fmt.Sprintf("Delete the credential of %s for %s on runner %q?", c.namesOf(ctx, t.GetSubject()).subjectName(t.GetSubject()), t.GetHost(), runner)
	if err := cmd.confirm(ctx, env, q); err != nil {
		return err
	}
	if _, err := c.Configuration.DeleteHostAuthenticationToken(ctx, connect.NewRequest(&gitpodv1.DeleteHostAuthenticationTokenRequest{Id: t.GetId()})); err != nil {
		return err
	}
	_, err = fmt.Fprintf(env.Stdout, "The credential for %s on runner %q is deleted.\n", t.GetHost(), runner)
	return err
}
