package scmhost

import (
	"context"
	"errors"

	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/scmurl"
)

// changeOrIssue resolves a page of a change, which is that of an issue when a host
// that numbers both together has no change of that number.
func (q *inquiry) changeOrIssue(ctx context.Context, t scmurl.Target) (Context, error) {
	found, err := q.change(ctx, t)
	if !fault.Is(err, fault.NotFound) || q.SCMID != scmurl.GitHub && q.SCMID != scmurl.Gitea {
		return found, err
	}
	found, why := q.issue(ctx, t)
	if fault.Is(why, fault.NotFound) || fault.Is(why, fault.PermissionDenied) {
		return Context{}, err
	}
	return found, why
}

// change resolves a page of a change: what it is made from, if that is there still.
func (q *inquiry) change(ctx context.Context, t scmurl.Target) (Context, error) {
	change, err := recall(ctx, q.cache, q.key("change", t.Owner, t.Repo, t.Number), changeLife, func(ctx context.Context) (Change, error) {
		return q.provider.Change(ctx, t.Owner, t.Repo, t.Number)
	})
	if err != nil {
		return Context{}, q.noNumber(err, t, "pull request")
	}
	c := q.at(change.Base)
	if change.Head != nil {
		c = q.at(*change.Head)
		c.Branch = q.head(ctx, &change)
		if change.Head.CloneURL != change.Base.CloneURL {
			c.UpstreamURL = change.Base.CloneURL
		}
	}
	c.Commit, c.Change = change.Commit, &change
	return c, nil
}

// head is the branch that a change comes from; empty when it is gone. That of an
// open change is taken to be there. Others are looked for, which also tells the
// newest commit where the API does not. An answer without the branch is better than
// none: what keeps git from being read fails nothing.
func (q *inquiry) head(ctx context.Context, change *Change) string {
	if change.State == ChangeOpen || change.FromBranch == "" {
		return change.FromBranch
	}
	names := candidates(scmurl.Ref{Kind: scmurl.Branch, Tail: []string{change.FromBranch}, Whole: true})
	if len(names) == 0 {
		return ""
	}
	listed, err := q.list(ctx, change.Head.CloneURL, names)
	id, ok := listed.found[names[0]]
	if err != nil || !ok {
		return ""
	}
	if change.Commit == "" {
		change.Commit = id
	}
	return change.FromBranch
}

// issue resolves a page of an issue.
func (q *inquiry) issue(ctx context.Context, t scmurl.Target) (Context, error) {
	r, issue, missing, err := with(ctx,
		func(ctx context.Context) (Repository, error) { return q.repository(ctx, t.Owner, t.Repo) },
		func(ctx context.Context) (Issue, error) {
			return recall(ctx, q.cache, q.key("issue", t.Owner, t.Repo, t.Number), changeLife, func(ctx context.Context) (Issue, error) {
				return q.provider.Issue(ctx, t.Owner, t.Repo, t.Number)
			})
		})
	switch {
	case missing != nil:
		return Context{}, missing
	case err != nil:
		return Context{}, q.noNumber(err, t, "issue")
	}
	c := q.at(r)
	c.Branch, c.Issue = r.DefaultBranch, &issue
	return c, nil
}

// noNumber names the change or the issue that is not there.
func (q *inquiry) noNumber(err error, t scmurl.Target, what string) error {
	if !fault.Is(err, fault.NotFound) || errors.Is(err, ErrIsChange) {
		return q.faultOf(nil, err)
	}
	f := fault.New(fault.NotFound, fault.ReasonNotFound, "%s has no %s %s in %s/%s, or does not show it to you.", q.Host, what, t.Number, t.Owner, t.Repo)
	return f.WithCause(errNoRepository)
}
