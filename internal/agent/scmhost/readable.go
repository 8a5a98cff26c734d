package scmhost

import (
	"context"
	"errors"

	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/scmurl"
)

// readable tells whether the repository of a URL can be read with git; the error
// says why not.
func (q *inquiry) readable(ctx context.Context, targets []scmurl.Target) error {
	var first error
	for _, t := range targets {
		if t.Fork != "" {
			t.Owner = t.Fork
		}
		_, err := q.list(ctx, t.CloneURL(q.Integration), nil)
		switch refused := fault.HasReason(err, fault.SignInRequired) || fault.Is(err, fault.PermissionDenied); {
		case fault.Is(err, fault.NotFound):
			err = q.noRepository(t.Owner, t.Repo)
		case refused && q.Credential.Token != "":
			// What git is told has no reason; the API may name the scope that is missing.
			r, why := q.repository(ctx, t.Owner, t.Repo)
			switch {
			case why == nil:
				err = q.unreadable(r, err)
			case fault.Is(why, fault.PermissionDenied):
				err = why
			}
		}
		if !errors.Is(err, errNoRepository) {
			return err
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// unreadable is the fault of a repository that the host shows, but does not let
// git read.
func (q *inquiry) unreadable(r Repository, err error) error {
	if !fault.HasReason(err, fault.SignInRequired) && !fault.Is(err, fault.PermissionDenied) && !fault.Is(err, fault.NotFound) {
		return err
	}
	return fault.New(fault.PermissionDenied, fault.HostRefused,
		"%s shows %s/%s to your credential, but does not let it read the repository with git. It may lack a scope.", q.Host, r.Owner, r.Repo)
}
