package cli

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/internal/cli/out"
	"github.com/musterhq/muster/internal/scmurl"
)

// place is a runner that is connected to what a question is about.
type place struct {
	runner *gitpodv1.Runner
	// integrations are those that the question is about; none when a runner was
	// named that has none.
	integrations []*gitpodv1.SCMIntegration
	// why is the end of a sentence that begins with "because".
	why string
}

// integration is the only one that the question is about, or nil.
func (p place) integration() *gitpodv1.SCMIntegration {
	if len(p.integrations) != 1 {
		return nil
	}
	return p.integrations[0]
}

// sought is what a question is about.
type sought struct {
	// host is its name, for people.
	host string
	// among finds it among the integrations of one runner.
	among func([]*gitpodv1.SCMIntegration) []*gitpodv1.SCMIntegration
}

// anyHost is every host that there is.
func anyHost() sought {
	return sought{"a source code host", func(is []*gitpodv1.SCMIntegration) []*gitpodv1.SCMIntegration { return is }}
}

// withHost is a host.
func withHost(host string) sought {
	return sought{host, func(is []*gitpodv1.SCMIntegration) (found []*gitpodv1.SCMIntegration) {
		for _, i := range is {
			if scmurl.SameHost(i.GetHost(), host) {
				found = append(found, i)
			}
		}
		return found
	}}
}

// readURL reads a URL as people paste it, and returns it as the API takes it,
// without user name and password, with the host that it is on. Its errors quote
// nothing of it.
func readURL(pasted string) (string, sought, error) {
	url, err := scmurl.Normalise(pasted)
	if err != nil {
		return "", sought{}, usagef("the URL %v", err)
	}
	location, err := scmurl.Parse(url)
	if err != nil {
		return "", sought{}, usagef("the URL %v", err)
	}
	return url, sought{location.Host, func(is []*gitpodv1.SCMIntegration) (found []*gitpodv1.SCMIntegration) {
		known := make([]scmurl.Integration, len(is))
		for n, i := range is {
			known[n] = scmurl.Integration{SCMID: i.GetScmId(), Host: i.GetHost(), VirtualDirectory: i.GetVirtualDirectory()}
		}
		if best, ok := scmurl.Match(location, known); ok {
			found = append(found, is[slices.Index(known, best)])
		}
		return found
	}}, nil
}

// placeOn is the place that a runner is, which was named.
func (c *Client) placeOn(ctx context.Context, runner string, w sought) (place, error) {
	r, err := c.FindRunner(ctx, runner)
	if err != nil {
		return place{}, err
	}
	all, err := c.listSCM(ctx, []string{r.GetRunnerId()})
	return place{r, w.among(all), "you named it"}, err
}

// places are those on all runners, the oldest integration first. Of the runners
// only the ids are known. That there is none is an error.
func (c *Client) places(ctx context.Context, w sought) ([]place, error) {
	all, err := c.listSCM(ctx, nil)
	if err != nil {
		return nil, err
	}
	of := map[string][]*gitpodv1.SCMIntegration{}
	for _, i := range all {
		of[i.GetRunnerId()] = append(of[i.GetRunnerId()], i)
	}
	var found []place
	for _, i := range all {
		if fit := w.among(of[i.GetRunnerId()]); len(fit) > 0 && fit[0] == i {
			found = append(found, place{runner: &gitpodv1.Runner{RunnerId: i.GetRunnerId()}, integrations: fit})
		}
	}
	if len(found) == 0 {
		return nil, &missing{fmt.Sprintf("no runner that you can see is connected to %s. \"muster scm list\" shows what runners are connected to; an admin connects one with \"muster scm create\"", out.Clean(w.host))}
	}
	return found, nil
}

// meet fills in the runner of a place.
func (c *Client) meet(ctx context.Context, p *place) error {
	r, err := c.GetRunner(ctx, p.runner.GetRunnerId())
	if err == nil {
		p.runner = r
	}
	return err
}

// onlyPlace is the one place for something that stays on its runner: of several
// one must be named.
func (c *Client) onlyPlace(ctx context.Context, runner, host string) (place, error) {
	if runner != "" {
		return c.placeOn(ctx, runner, withHost(host))
	}
	all, err := c.places(ctx, withHost(host))
	if err != nil {
		return place{}, err
	}
	if len(all) > 1 {
		names := c.runnerNames(ctx)
		var b strings.Builder
		for _, p := range all {
			id := p.runner.GetRunnerId()
			fmt.Fprintf(&b, "\n  %s  %s", id, out.Clean(names(id)))
		}
		return place{}, usagef("%d runners are connected to %s; say which with --runner:%s", len(all), out.Clean(host), b.String())
	}
	return all[0], c.meet(ctx, &all[0])
}

// bestPlace is where a question gets its answer: on the runner that was named, or
// else on the one that the control plane would choose for a URL (see choose in
// package codehost): of the runners on which the caller is signed in, for the
// longest time first, or else of all, the first that is connected.
func (c *Client) bestPlace(ctx context.Context, runner string, w sought) (place, error) {
	if runner != "" {
		return c.placeOn(ctx, runner, w)
	}
	all, err := c.places(ctx, w)
	if err != nil {
		return place{}, err
	}
	if len(all) == 1 {
		all[0].why = "no other is connected to " + w.host
		return all[0], c.meet(ctx, &all[0])
	}
	filter := &gitpodv1.ListHostAuthenticationTokensRequest_Filter{}
	if err := c.onlyMine(ctx, filter); err != nil {
		return place{}, err
	}
	mine, err := c.listHostTokens(ctx, filter)
	if err != nil {
		return place{}, err
	}
	// rank is the number of the oldest credential for a place, after all for none.
	rank := func(p place) int {
		n := slices.IndexFunc(mine, func(t *gitpodv1.HostAuthenticationToken) bool {
			return slices.ContainsFunc(p.integrations, func(i *gitpodv1.SCMIntegration) bool { return c.isFor(t, i) })
		})
		if n < 0 {
			return len(mine)
		}
		return n
	}
	slices.SortStableFunc(all, func(a, b place) int { return cmp.Compare(rank(a), rank(b)) })
	why := "it is connected to %s"
	if rank(all[0]) < len(mine) {
		why = "you are signed in to %s there"
		all = slices.DeleteFunc(all, func(p place) bool { return rank(p) == len(mine) })
	}
	for n := range all {
		if err := c.meet(ctx, &all[n]); err != nil {
			return place{}, err
		}
		all[n].why = fmt.Sprintf(why, w.host)
		if connected(all[n].runner) {
			return all[n], nil
		}
	}
	return all[0], nil
}

// isFor tells whether a credential is one for an integration, as far as that can
// be known here.
func (c *Client) isFor(t *gitpodv1.HostAuthenticationToken, i *gitpodv1.SCMIntegration) bool {
	oauth := t.GetSource() == gitpodv1.HostAuthenticationTokenSource_HOST_AUTHENTICATION_TOKEN_SOURCE_OAUTH
	switch {
	case t.GetRunnerId() != i.GetRunnerId(),
		t.GetIntegrationId() != "" && t.GetIntegrationId() != i.GetId(),
		t.GetIntegrationId() == "" && !scmurl.SameHost(t.GetHost(), i.GetHost()),
		oauth && i.GetOauth() == nil, !oauth && !i.GetPat():
		return false
	}
	// The runner may renew what was obtained with OAuth.
	return oauth || t.GetExpiresAt() == nil || c.env.Now().Before(t.GetExpiresAt().AsTime())
}

// connected tells whether a runner can be asked now.
func connected(r *gitpodv1.Runner) bool {
	phase := r.GetStatus().GetPhase()
	return phase == gitpodv1.RunnerPhase_RUNNER_PHASE_ACTIVE || phase == gitpodv1.RunnerPhase_RUNNER_PHASE_DEGRADED
}

// plainName is a name that a shell takes for one word.
var plainName = regexp.MustCompile(`^\w[\w.-]*$`)

// runnerArg is how to name a runner on the command line: by its name, unless
// another runner has it too.
func (c *Client) runnerArg(ctx context.Context, r *gitpodv1.Runner) string {
	all, err := c.ListRunners(ctx, nil)
	same := 0
	for _, other := range all {
		if other.GetName() == r.GetName() {
			same++
		}
	}
	if err != nil || same != 1 || !plainName.MatchString(r.GetName()) || uuidPattern.MatchString(r.GetName()) {
		return r.GetRunnerId()
	}
	return r.GetName()
}
