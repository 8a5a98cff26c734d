package codehost

import (
	"context"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
)

// CheckAuthentication tells whether the caller is signed in to a host on a
// runner, and how to sign in. A credential that the host refuses counts as none.
func (s *Service) CheckAuthentication(ctx context.Context, c access.Caller, want id.Runner, host string) (Authentication, error) {
	v, err := s.view(ctx, c, want)
	if err != nil {
		return Authentication{}, fault.Wrap(err, "reading the runner")
	}
	a, err := v.named("host", host)
	if err != nil {
		return Authentication{}, err
	}
	if err := s.reachable(v); err != nil {
		return Authentication{}, err
	}
	answer, err := s.runners.CheckAuthentication(ctx, want, a)
	if err != nil {
		return Authentication{}, s.explained(v, a.Host, err)
	}
	answer.SCMID = a.Host.SCMID
	answer.Authenticated = answer.Authenticated && a.Credential != nil
	if answer.OAuth != nil {
		answer.OAuth.BeginURL = s.beginURL(c, want, a.Host)
	}
	return answer, nil
}
