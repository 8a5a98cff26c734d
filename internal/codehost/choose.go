package codehost

import (
	"context"
	"slices"
	"strings"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/scmurl"
)

// Bounds of what is looked at to choose a runner.
const (
	maxPlaces = 100
	// maxChoices is how many runners a caller is told of that it could sign in on.
	maxChoices = 25
)

// choose returns a runner for a URL: among those that the caller may use, one
// that is connected, that has an integration with the host, and on which the
// caller is signed in to it, for the longest time. The command line has the same
// order for what the API wants a runner for (see bestPlace in package cli). For ssh URLs, which tell neither
// the port nor the path of a host, a host that has one is found only where the
// caller is signed in.
func (s *Service) choose(ctx context.Context, c access.Caller, field string, l scmurl.Location) (view, error) {
	names := l.Names()
	v, signedIn, err := s.chooseSignedIn(ctx, c, l, names)
	switch {
	case err != nil || v.runner.ID != "":
		return v, err
	case signedIn:
		return view{}, away("Of the runners on which you are signed in to %s, none is connected right now.", l.Host)
	}
	q := PlaceQuery{Organization: c.Organization, Use: useOf(c), Names: names, Live: true, Limit: maxPlaces}
	places, err := s.store.Places(ctx, q)
	if err != nil {
		return view{}, err
	}
	if err := s.signInSomewhere(c, field, l, places); err != nil {
		return view{}, err
	}
	q.Live = false
	if places, err = s.store.Places(ctx, q); err != nil {
		return view{}, err
	}
	places = slices.DeleteFunc(places, func(p Place) bool { return !p.has(l) })
	if len(places) == 0 {
		return view{}, &SignInNeeded{error: fault.New(fault.FailedPrecondition, fault.HostNotConfigured,
			"No runner that you may use has an integration with %s. Somebody who administers a runner can make one: \"muster scm create\".", l.Host)}
	}
	if err := readable(field, l, places[0].Host); err != nil {
		return view{}, err
	}
	return view{}, away("None of the runners with an integration with %s is connected right now.", l.Host)
}

// chooseSignedIn chooses among the runners on which the caller keeps a
// credential for the host. When none of them is connected, it tells whether there
// are any.
func (s *Service) chooseSignedIn(ctx context.Context, c access.Caller, l scmurl.Location, names []string) (chosen view, signedIn bool, err error) {
	credentials, err := s.store.CredentialsOf(ctx, c.Organization, c.Subject, "", maxCredentials)
	if err != nil {
		return view{}, false, err
	}
	tried := map[id.Runner]bool{}
	for _, kept := range credentials {
		// A look at a runner costs more than a look at a name.
		if tried[kept.Runner] || !mayHave(kept.Host, l, names) {
			continue
		}
		tried[kept.Runner] = true
		connected := s.runners.Connected(kept.Runner)
		if signedIn && !connected {
			continue
		}
		v, err := s.look(ctx, c, kept.Runner)
		switch {
		case fault.Is(err, fault.NotFound), fault.Is(err, fault.PermissionDenied):
			continue // what the caller could use when it signed in
		case err != nil:
			return view{}, false, err
		}
		v.credentials = slices.DeleteFunc(slices.Clone(credentials), func(other Credential) bool { return other.Runner != kept.Runner })
		if a, err := v.at(l); err != nil || a.Credential == nil {
			continue
		}
		if connected {
			return v, true, nil
		}
		signedIn = true
	}
	return view{}, signedIn, nil
}

// mayHave tells whether a location may be on the host of a credential. An ssh URL
// may be on it whatever the port and the path: those of GitLab say neither.
func mayHave(host string, l scmurl.Location, names []string) bool {
	if !l.SSH {
		return slices.Contains(names, strings.ToLower(host))
	}
	_, ok := scmurl.Match(l, []scmurl.Integration{{SCMID: scmurl.GitLab, Host: host}})
	return ok
}

// signInSomewhere is the error that names the connected runners among the places;
// nil when there are none.
func (s *Service) signInSomewhere(c access.Caller, field string, l scmurl.Location, places []Place) error {
	var needed *SignInNeeded
	for _, p := range places {
		if !p.has(l) || !s.runners.Connected(p.Runner) || needed != nil && slices.Contains(needed.Runners, p.Runner) {
			continue
		}
		if needed == nil {
			if err := readable(field, l, p.Host); err != nil {
				return err
			}
			needed = &SignInNeeded{
				error: fault.New(fault.FailedPrecondition, fault.SignInRequired,
					"You are not signed in to %s on any runner. Sign in, then try again.", p.Host.Host),
				BeginURL: s.beginURL(c, p.Runner, p.Host), SCMID: p.Host.SCMID,
			}
		}
		if needed.Runners = append(needed.Runners, p.Runner); len(needed.Runners) == maxChoices {
			break
		}
	}
	if needed == nil {
		return nil
	}
	return needed
}

func (p Place) has(l scmurl.Location) bool {
	_, ok := match(l, []Host{p.Host})
	return ok
}

func away(format, host string) error {
	return fault.New(fault.Unavailable, fault.RunnerOffline, format+" Try again when one is, or name another runner.", host).WithRetryAfter(offlineWait)
}

// useOf says which runners a caller may use. It agrees with access.Check for
// access.RunnerUse.
func useOf(c access.Caller) Use {
	if c.Principal == access.PrincipalRunner {
		return Use{}
	}
	return Use{
		All:     slices.ContainsFunc(c.Grants, func(g access.Grant) bool { return access.Allows(g.Role, access.RunnerUse) }),
		Creator: c.ID, Groups: c.Groups, Roles: access.RolesAllowing(resource.Runner, access.RunnerUse),
	}
}
