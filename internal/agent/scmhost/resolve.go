package scmhost

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"sync"

	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/scmurl"
)

// errNoRepository is in the chain of the fault of a repository that is not there:
// the URL may mean another one.
var errNoRepository = errors.New("no such repository")

// resolve finds what a URL points at. Of several readings it takes the first whose
// repository is there.
func (q *inquiry) resolve(ctx context.Context, targets []scmurl.Target) (Context, error) {
	var first error
	for n, t := range targets {
		var (
			found Context
			err   error
		)
		if n < len(targets)-1 && t.Page != scmurl.ChangePage {
			_, err = q.repository(ctx, t.Owner, t.Repo) // a wrong reading costs one call
		}
		if err == nil {
			found, err = q.target(ctx, t)
		}
		if err == nil {
			for _, wrong := range targets[:n] {
				q.cache.prolong(q.repositoryKey(wrong.Owner, wrong.Repo), wrongReadingLife)
			}
			return found, nil
		}
		if !errors.Is(err, errNoRepository) {
			return Context{}, err
		}
		if first == nil {
			first = err
		}
	}
	return Context{}, first
}

func (q *inquiry) target(ctx context.Context, t scmurl.Target) (Context, error) {
	switch t.Page {
	case scmurl.ChangePage:
		return q.changeOrIssue(ctx, t)
	case scmurl.IssuePage:
		found, err := q.issue(ctx, t)
		if errors.Is(err, ErrIsChange) {
			return q.change(ctx, t)
		}
		return found, err
	case scmurl.RefPage:
		if t.Fork != "" {
			t.Owner = t.Fork
		}
		return q.ref(ctx, t)
	default:
		return q.ref(ctx, t)
	}
}

// at is what every context of a repository has.
func (q *inquiry) at(r Repository) Context {
	base, _ := url.Parse(q.Base())
	return Context{Host: base.Host, Repository: r}
}

// ref resolves the page of a repository, or of a ref of it.
func (q *inquiry) ref(ctx context.Context, t scmurl.Target) (Context, error) {
	if id, ok := commitOf(t.Ref); ok {
		found, err := q.commit(ctx, t, id)
		if t.Ref.Kind == scmurl.Commit || !fault.Is(err, fault.NotFound) || errors.Is(err, errNoRepository) {
			return found, err
		}
	}
	names := candidates(t.Ref)
	clone := t.CloneURL(q.Integration)
	r, listed, missing, err := with(ctx,
		func(ctx context.Context) (Repository, error) { return q.repository(ctx, t.Owner, t.Repo) },
		func(ctx context.Context) (refs, error) { return q.list(ctx, clone, names) })
	if missing != nil {
		return Context{}, missing
	}
	// The API knows names that git does not, such as ids.
	if fault.Is(err, fault.NotFound) && r.CloneURL != clone {
		clone = r.CloneURL
		listed, err = q.list(ctx, clone, names)
	}
	if err != nil {
		return Context{}, q.unreadable(r, err)
	}
	c := q.at(r)
	if t.Page != scmurl.RefPage || t.Ref.Kind == scmurl.AnyRef && t.Ref.Tail[0] == "HEAD" {
		return c.atDefault(listed), nil
	}
	if !listed.settles(names) {
		again, err := q.list(ctx, clone, listed.open)
		if err != nil {
			return Context{}, q.unreadable(r, err)
		}
		listed.add(again)
	}
	return q.pick(ctx, c, t.Ref, names, listed)
}

// pick chooses among the refs that are there: the longest branch, then the longest
// tag, then the commit.
func (q *inquiry) pick(ctx context.Context, c Context, ref scmurl.Ref, names []string, listed refs) (Context, error) {
	for _, name := range names {
		id, ok := listed.found[name]
		if !ok {
			continue
		}
		c.Commit = id
		if branch := branchOf(name); branch != "" {
			c.Branch = branch
		} else {
			c.Tag = strings.TrimPrefix(name, tagPrefix)
		}
		return c, nil
	}
	what := strings.Join(ref.Tail, "/")
	if !listed.settles(names) {
		return Context{}, fault.New(fault.FailedPrecondition, fault.LimitReached,
			"%s/%s on %s has too many branches and tags that begin like %q. Use the URL of a commit.", c.Owner, c.Repo, q.Host, what)
	}
	if id := ref.Tail[0]; ref.Kind == scmurl.AnyRef && isAbbreviation(strings.ToLower(id)) {
		full, err := q.expand(ctx, c.Owner, c.Repo, id)
		if !fault.Is(err, fault.NotFound) {
			c.Commit = full
			return c, err
		}
	}
	kind := map[scmurl.RefKind]string{scmurl.Branch: "branch", scmurl.Tag: "tag"}[ref.Kind]
	switch {
	case kind == "" && !ref.Whole:
		return Context{}, fault.New(fault.NotFound, fault.ReasonNotFound,
			"%s/%s on %s has no branch, tag or commit that %q begins with.", c.Owner, c.Repo, q.Host, what)
	case kind == "":
		kind = "branch, tag or commit"
	}
	return Context{}, fault.New(fault.NotFound, fault.ReasonNotFound, "%s/%s on %s has no %s %q.", c.Owner, c.Repo, q.Host, kind, what)
}

// commit resolves a page of a commit.
func (q *inquiry) commit(ctx context.Context, t scmurl.Target, id string) (Context, error) {
	r, full, missing, err := with(ctx,
		func(ctx context.Context) (Repository, error) { return q.repository(ctx, t.Owner, t.Repo) },
		func(ctx context.Context) (string, error) { return q.expand(ctx, t.Owner, t.Repo, id) })
	switch {
	case missing != nil:
		return Context{}, missing
	case fault.Is(err, fault.NotFound):
		return Context{}, fault.New(fault.NotFound, fault.ReasonNotFound, "%s/%s on %s has no commit %q.", r.Owner, r.Repo, q.Host, id)
	case err != nil:
		return Context{}, err
	}
	c := q.at(r)
	c.Commit = full
	return c, nil
}

func (q *inquiry) repositoryKey(owner, repo string) cacheKey {
	return q.key("repository", owner, repo)
}

func (q *inquiry) repository(ctx context.Context, owner, repo string) (Repository, error) {
	r, err := recall(ctx, q.cache, q.repositoryKey(owner, repo), repositoryLife, func(ctx context.Context) (Repository, error) {
		return q.provider.Repository(ctx, owner, repo)
	})
	if fault.Is(err, fault.NotFound) {
		return Repository{}, q.noRepository(owner, repo)
	}
	return r, q.faultOf(nil, err)
}

func (q *inquiry) noRepository(owner, repo string) error {
	return fault.New(fault.NotFound, fault.ReasonNotFound, "%s has no repository %s/%s, or does not show it to you.", q.Host, owner, repo).
		WithCause(errNoRepository)
}

// expand makes a commit's id whole.
func (q *inquiry) expand(ctx context.Context, owner, repo, id string) (string, error) {
	full, err := recall(ctx, q.cache, q.key("commit", owner, repo, id), repositoryLife, func(ctx context.Context) (string, error) {
		return q.provider.Commit(ctx, owner, repo, id)
	})
	return full, q.faultOf(nil, err)
}

// with looks a repository up and something of it at the same time. When the
// repository is missing, the rest is not waited for.
func with[T any](ctx context.Context, repository func(context.Context) (Repository, error), more func(context.Context) (T, error)) (
	r Repository, also T, missing, err error,
) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var other sync.WaitGroup
	other.Go(func() { also, err = more(ctx) })
	if r, missing = repository(ctx); missing != nil {
		cancel()
	}
	other.Wait()
	return r, also, missing, err
}

// atDefault is the context at the default branch.
func (c Context) atDefault(listed refs) Context {
	if listed.commit == "" {
		return c // there are no commits
	}
	c.Branch, c.Commit = listed.branch, listed.commit
	if c.Branch == "" {
		c.Branch = c.DefaultBranch
	}
	return c
}
