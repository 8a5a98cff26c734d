package cli

import (
	"context"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/internal/cli/out"
)

// AuditCommands are the verbs of the noun audit.
type AuditCommands struct {
	List   AuditList   `cmd:"" help:"List who did what, newest first."`
	Get    AuditGet    `cmd:"" help:"Show an entry."`
	Export AuditExport `cmd:"" help:"Write the whole log with its proof, for verification and for keeping."`
	Verify AuditVerify `cmd:"" help:"Verify an export, without a control plane."`
}

// instant is a point in time that can be given as a length of time ago.
type instant struct {
	at  time.Time
	ago time.Duration
}

// UnmarshalText reads "24h", "7d", a date or a time of RFC 3339.
func (i *instant) UnmarshalText(text []byte) error {
	var ago days
	if ago.UnmarshalText(text) == nil {
		i.ago = time.Duration(ago)
		return nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if at, err := time.Parse(layout, string(text)); err == nil {
			i.at = at
			return nil
		}
	}
	return fmt.Errorf("%q is not a time; write 24h, 7d, 2026-01-31 or 2026-01-31T12:00:00Z", text)
}

// wire is the time as the API takes it; nil when none was given.
func (i *instant) wire(now time.Time) *timestamppb.Timestamp {
	switch {
	case i == nil:
		return nil
	case i.at.IsZero():
		return timestamppb.New(now.Add(-i.ago))
	default:
		return timestamppb.New(i.at)
	}
}

// AuditList lists entries of the audit log.
type AuditList struct {
	Actor       []string `placeholder:"WHO" help:"What these did: a member, a service account or a runner, by name or id; \"user/NAME\", \"service-account/NAME\" and \"runner/NAME\" say which. May be repeated."`
	Subject     []string `placeholder:"ID" help:"What was done to these: TYPE/NAME, such as group/builders or class/large, the name of a runner, or the id of anything. May be repeated."`
	Type        []string `placeholder:"TYPE" help:"What was done to resources of these types: ${types}. May be repeated."`
	Since       *instant `placeholder:"TIME" help:"Nothing older: 24h, 7d, 2026-01-31 or 2026-01-31T12:00:00Z."`
	Until       *instant `placeholder:"TIME" help:"Nothing newer."`
	OldestFirst bool     `help:"Turn the order around."`
	Limit       uint     `short:"n" default:"50" placeholder:"N" help:"How many to show; 50 without the flag, 0 for all."`
	Output
	Remote
}

// Run runs the command.
func (cmd *AuditList) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	req, err := cmd.request(ctx, c)
	if err != nil {
		return err
	}
	entries, more, err := c.listAuditLog(ctx, req, int(cmd.Limit))
	if err != nil {
		return err
	}
	return many(cmd.Output, env, entries, func() error {
		if len(entries) == 0 {
			_, err := fmt.Fprintln(env.Stdout, "No entries. What changes something or hands out a credential leaves one; widen the filters.")
			return err
		}
		names := c.auditNames(ctx, entries)
		t := out.NewTable("TIME (UTC)", "WHO", "ACTION", "SUBJECT", "ID")
		for _, e := range entries {
			t.Row(e.GetCreatedAt().AsTime().UTC().Format(time.DateTime), names.actor(e), e.GetAction(), names.subject(e), e.GetId())
		}
		if err := t.Write(env.Stdout); err != nil || !more {
			return err
		}
		_, err := fmt.Fprintf(env.Stderr, "There are more entries: --limit 0 shows all, --since and --until choose others.\n")
		return err
	})
}

func (cmd *AuditList) request(ctx context.Context, c *Client) (*gitpodv1.ListAuditLogsRequest, error) {
	f := &gitpodv1.ListAuditLogsRequest_Filter{From: cmd.Since.wire(c.env.Now()), To: cmd.Until.wire(c.env.Now())}
	if f.From != nil && f.To != nil && !f.From.AsTime().Before(f.To.AsTime()) {
		return nil, usagef("nothing can be between --since and --until: the one is not before the other")
	}
	for _, typed := range cmd.Type {
		t := parseType(typed)
		if t == 0 {
			return nil, usagef("--type: there is no type %q; types are %s", typed, typesKept())
		}
		f.SubjectTypes = append(f.SubjectTypes, t)
	}
	for _, who := range cmd.Actor {
		if !uuidPattern.MatchString(who) {
			found, err := c.findSubject(ctx, who,
				gitpodv1.Principal_PRINCIPAL_USER, gitpodv1.Principal_PRINCIPAL_SERVICE_ACCOUNT, gitpodv1.Principal_PRINCIPAL_RUNNER)
			if err != nil {
				return nil, err
			}
			who = found.id
		}
		f.ActorIds = append(f.ActorIds, who)
	}
	for _, what := range cmd.Subject {
		if !uuidPattern.MatchString(what) {
			found, err := c.findAudited(ctx, what)
			if err != nil {
				return nil, err
			}
			what = found
		}
		f.SubjectIds = append(f.SubjectIds, what)
	}
	req := &gitpodv1.ListAuditLogsRequest{Filter: f}
	if cmd.OldestFirst {
		req.Sort = &gitpodv1.Sort{Order: gitpodv1.SortOrder_SORT_ORDER_ASC}
	}
	return req, nil
}

// listAuditLog returns up to limit entries, or all for 0, and whether there are
// more.
func (c *Client) listAuditLog(ctx context.Context, req *gitpodv1.ListAuditLogsRequest, limit int) (entries []*gitpodv1.ListAuditLogsResponse_AuditLogEntry, more bool, err error) {
	token := ""
	for {
		size := pageSize
		if limit > 0 {
			size = min(pageSize, limit-len(entries))
		}
		req.Pagination = &gitpodv1.PaginationRequest{PageSize: int32(size), Token: token}
		resp, err := c.Events.ListAuditLogs(ctx, connect.NewRequest(req))
		if err != nil {
			return nil, false, err
		}
		entries = append(entries, resp.Msg.GetEntries()...)
		next := resp.Msg.GetPagination().GetNextToken()
		switch {
		case next == "":
			return entries, false, nil
		case limit > 0 && len(entries) >= limit:
			return entries, true, nil
		case next == token:
			return nil, false, fmt.Errorf("the control plane repeats the same page of a list")
		}
		token = next
	}
}

// findAudited returns the id of something that entries are about: TYPE/NAME,
// "organization", or the name of a runner.
func (c *Client) findAudited(ctx context.Context, what string) (string, error) {
	if t, _ := cutType(what); t != 0 || what == "organization" {
		found, err := c.findResource(ctx, what)
		if err != nil {
			return "", err
		}
		return found.id, nil
	}
	r, err := c.FindRunner(ctx, what)
	return r.GetRunnerId(), err
}

// AuditGet shows an entry of the audit log.
type AuditGet struct {
	ID string `arg:"" help:"Id of the entry."`
	Output
	Remote
}

// Run runs the command.
func (cmd *AuditGet) Run(ctx context.Context, env *Env) error {
	if !uuidPattern.MatchString(cmd.ID) {
		return usagef("%q is not the id of an entry; \"muster audit list\" shows them", cmd.ID)
	}
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	resp, err := c.Events.GetAuditLog(ctx, connect.NewRequest(&gitpodv1.GetAuditLogRequest{AuditLogEntryId: cmd.ID}))
	if err != nil {
		return err
	}
	e := resp.Msg.GetEntry()
	return cmd.one(env, e, func() error {
		names := c.auditNames(ctx, []*gitpodv1.ListAuditLogsResponse_AuditLogEntry{e})
		return out.Fields(
			env.Stdout,
			"Time", out.Time(env.Now(), e.GetCreatedAt()),
			"Who", names.actor(e),
			"Who (id)", e.GetActorId(),
			"Action", e.GetAction(),
			"Subject", names.subject(e),
			"Subject (id)", e.GetSubjectId(),
			"Kind", words(prefixAuditKind, e.GetKind()),
			"ID", e.GetId(),
		)
	})
}
