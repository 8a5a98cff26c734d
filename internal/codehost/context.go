package codehost

import (
	"context"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
)

// ParseContext says what a URL points at, as the caller's credential shows it.
// Without a runner one is chosen; see choose.
func (s *Service) ParseContext(ctx context.Context, c access.Caller, want id.Runner, url string) (Context, error) {
	const field = "context_url"
	l, clean, err := locate(field, url)
	if err != nil {
		return Context{}, err
	}
	var v view
	if want == "" {
		if v, err = s.choose(ctx, c, field, l); err != nil {
			return Context{}, fault.Wrap(err, "choosing a runner")
		}
		want = v.runner.ID
	} else if v, err = s.view(ctx, c, want); err != nil {
		return Context{}, fault.Wrap(err, "reading the runner")
	}
	a, err := v.at(l)
	if err != nil {
		return Context{}, err
	}
	if err := readable(field, l, a.Host); err != nil {
		return Context{}, err
	}
	if err := s.reachable(v); err != nil {
		return Context{}, err
	}
	if err := s.signedIn(v, a); err != nil {
		return Context{}, err
	}
	found, err := s.runners.ParseContext(ctx, want, a, clean)
	if err != nil {
		return Context{}, s.explained(v, a.Host, err)
	}
	found.SCMID, found.OriginalURL = a.Host.SCMID, clean
	found.Classes, err = s.store.EnabledClasses(ctx, c.Organization, want, maxClasses)
	return found, fault.Wrap(err, "listing the environment classes of the runner")
}

// CheckRepository tells whether the caller can read the repository of a URL. A
// caller who is not signed in reads what everybody can.
func (s *Service) CheckRepository(ctx context.Context, c access.Caller, want id.Runner, url string) (Readable, error) {
	const field = "repository_url"
	l, clean, err := locate(field, url)
	if err != nil {
		return Readable{}, err
	}
	v, err := s.view(ctx, c, want)
	if err != nil {
		return Readable{}, fault.Wrap(err, "reading the runner")
	}
	a, err := v.at(l)
	if err != nil {
		return Readable{}, err
	}
	if err := readable(field, l, a.Host); err != nil {
		return Readable{}, err
	}
	if err := s.reachable(v); err != nil {
		return Readable{}, err
	}
	if err := v.can(checkRepository, "check whether a repository can be read"); err != nil {
		return Readable{}, err
	}
	answer, err := s.runners.CheckRepository(ctx, want, a, clean)
	if err != nil {
		return Readable{}, s.explained(v, a.Host, err)
	}
	return answer, nil
}
