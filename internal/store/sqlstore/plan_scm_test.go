package sqlstore

import (
	"context"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/codehost"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/hosttoken"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/page"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/scm"
	"github.com/musterhq/muster/internal/store/sqlstore/query"
)

func (w filled) scmQueries(where string, p page.Query) []plannedQuery {
	list := func(reach access.Reach, runners ...id.Runner) func(reads) error {
		return func(r reads) error {
			_, err := r.SCMIntegrations(context.Background(), scm.Query{Organization: w.org, Reach: reach, Runners: runners, Page: p})
			return err
		}
	}
	return []plannedQuery{
		{"SCM integrations " + where, "scm_integrations_by_age", list(access.Reach{All: true})},
		{"SCM integrations of a runner " + where, "scm_integrations_of_runner", list(access.Reach{All: true}, w.runner)},
		{"the SCM integration with a host " + where, "scm_integrations_of_", func(r reads) error {
			_, _, err := r.SCMIntegrationOf(context.Background(), w.runner, "github.com")
			return err
		}},
	}
}

// codeHostQueries are how a runner is found for a URL. Those by somebody who
// uses few runners look through what these have.
func (w filled) codeHostQueries() []plannedQuery {
	places := func(u codehost.Use, live bool) func(reads) error {
		return func(r reads) error {
			_, err := r.Places(context.Background(), codehost.PlaceQuery{Organization: w.org, Use: u, Names: []string{"github.com"}, Live: live, Limit: 100})
			return err
		}
	}
	place := func(live int64) func(reads) error {
		return func(r reads) error {
			_, err := r.q.ListPlaces(context.Background(), query.ListPlacesParams{OrganizationID: string(w.org), HostLower: "github.com", Live: live, MaxRows: 100})
			return err
		}
	}
	return []plannedQuery{
		{ofSomeHosts, "scm_integrations_by_host", func(r reads) error {
			_, err := r.hostsInUse(context.Background(), w.org, []string{"github.com", "www.github.com"})
			return err
		}},
		{"runners with a host", "scm_integrations_by_host", place(0)},
		{"live runners with a host", "scm_integrations_by_host", place(1)},
		{fewSeen + "runners with a host, made by somebody", "scm_integrations_of_", places(codehost.Use{Creator: creatorOfFew}, true)},
		{fewSeen + "runners with a host, used by a group", "scm_integrations_of_", places(codehost.Use{Groups: []id.Group{w.sharer}, Roles: []resource.Role{resource.RoleRunnerAdmin}}, true)},
		{"the hosts of a runner", "scm_integrations_of_runner", func(r reads) error { _, err := r.HostsOf(context.Background(), w.org, w.runner, 1000); return err }},
		{"one's own credentials", "host_tokens_of_subject", func(r reads) error {
			_, err := r.CredentialsOf(context.Background(), w.org, access.Subject{ID: w.user}, "", 1000)
			return err
		}},
		{"the enabled classes of a runner", "environment_classes_of_runner", func(r reads) error {
			_, err := r.EnabledClasses(context.Background(), w.org, w.runner, 100)
			return err
		}},
	}
}

func (w filled) hostTokenQueries(where string, p page.Query) []plannedQuery {
	list := func(reach hosttoken.Reach, runner id.Runner, subject string) func(reads) error {
		return func(r reads) error {
			_, err := r.listHostTokens(context.Background(), hosttoken.Query{Organization: w.org, Reach: reach, Runner: runner, Subject: subject, Page: p})
			return err
		}
	}
	all := hosttoken.Reach{All: true}
	return []plannedQuery{
		{"host tokens " + where, "host_tokens_by_age", list(all, "", "")},
		{"host tokens on a runner " + where, "host_tokens_of_runner", list(all, w.runner, "")},
		{"host tokens of a subject " + where, "host_tokens_of_subject", list(all, "", w.user)},
		{"one's own host tokens " + where, "host_tokens_of_subject", list(hosttoken.Reach{Self: w.user}, "", "")},
		{fewSeen + "host tokens " + where, "host_tokens_of_", list(hosttoken.Reach{Groups: []id.Group{w.sharer}, Roles: []resource.Role{resource.RoleRunnerAdmin}}, "", "")},
		{"the host token of a subject " + where, "host_tokens_of_", func(r reads) error {
			_, _, err := r.HostTokenOf(context.Background(), w.runner, "github.com", access.Subject{ID: w.user})
			return err
		}},
	}
}

// fillSCM gives a runner an integration, every third of them with the same host,
// and somebody a credential on it.
func fillSCM(ctx context.Context, tx *Tx, w filled, r fleet.Runner, at time.Time) []error {
	host := "github.com"
	if at.UnixMicro()%3 > 0 {
		host = string(r.ID) + ".example.com"
	}
	return []error{
		tx.InsertSCMIntegration(ctx, scm.Integration{ID: id.New(), Organization: w.org, Runner: r.ID, Host: host, CreatedAt: at}),
		tx.InsertHostToken(ctx, hosttoken.Token{
			ID: id.New(), Organization: w.org, Runner: r.ID, Host: "github.com", CreatedAt: at,
			Subject: access.Subject{Principal: access.PrincipalUser, ID: w.user},
		}),
	}
}
