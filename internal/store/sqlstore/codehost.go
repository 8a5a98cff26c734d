package sqlstore

import (
	"context"
	"fmt"
	"strings"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/codehost"
	"github.com/musterhq/muster/internal/envclass"
	"github.com/musterhq/muster/internal/hosttoken"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/scmurl"
	"github.com/musterhq/muster/internal/seal"
	"github.com/musterhq/muster/internal/store/sqlstore/query"
)

// CodeHosts returns the store as package codehost sees it.
func (s *Store) CodeHosts() codehost.Store { return codeHostStore{fleetStore{s}} }

// codeHostStore looks runners up as the fleet does.
type codeHostStore struct{ fleetStore }

// HostsOf returns the hosts of a runner, oldest first.
func (r reads) HostsOf(ctx context.Context, o id.Organization, runner id.Runner, limit int) ([]codehost.Host, error) {
	rows, err := r.q.ListSCMIntegrationsOfRunner(ctx, query.ListSCMIntegrationsOfRunnerParams{
		OrganizationID: string(o), RunnerID: string(runner), AfterAt: beforeAll.at, AfterID: beforeAll.id, MaxRows: atMost(limit),
	})
	return all(r, rows, err, "listing the hosts of a runner", func(row query.ScmIntegration) (codehost.Host, error) { return hostOf(row), nil })
}

// Places returns the hosts with one of the names, oldest first. For whoever sees
// all, each name that there is gets a query; for others, what their runners have is
// looked through.
func (r reads) Places(ctx context.Context, q codehost.PlaceQuery) ([]codehost.Place, error) {
	rows, err := r.places(ctx, q)
	return all(r, rows, err, "looking for runners with a host", func(row query.ScmIntegration) (codehost.Place, error) {
		return codehost.Place{Runner: id.Runner(row.RunnerID), Host: hostOf(row)}, nil
	})
}

func (r reads) places(ctx context.Context, q codehost.PlaceQuery) ([]query.ScmIntegration, error) {
	limit, live := atMost(q.Limit), int64(0)
	if q.Live {
		live = 1
	}
	if q.Use.All {
		names, err := r.hostsInUse(ctx, q.Organization, q.Names)
		if err != nil {
			return nil, err
		}
		return lanes(names, limit, olderSCMIntegration, func(name string) ([]query.ScmIntegration, error) {
			return r.q.ListPlaces(ctx, query.ListPlacesParams{OrganizationID: string(q.Organization), HostLower: name, Live: live, MaxRows: limit})
		})
	}
	var own []query.ScmIntegration
	if q.Use.Creator != "" {
		var err error
		own, err = r.q.ListPlacesOfCreator(ctx, query.ListPlacesOfCreatorParams{
			OrganizationID: string(q.Organization), CreatorID: q.Use.Creator, Names: set(q.Names), Live: live, MaxRows: limit,
		})
		if err != nil {
			return nil, err
		}
	}
	if len(q.Use.Roles) == 0 {
		return own, nil
	}
	shared, err := lanes(q.Use.Groups, limit, olderSCMIntegration, func(g id.Group) ([]query.ScmIntegration, error) {
		return r.q.ListPlacesOfGroup(ctx, query.ListPlacesOfGroupParams{
			OrganizationID: string(q.Organization), GroupID: string(g), Roles: mask(q.Use.Roles), Names: set(q.Names), Live: live, MaxRows: limit,
		})
	})
	return merged(append(own, shared...), limit, olderSCMIntegration), err
}

// hostsInUse returns those of some hosts, in lower case, that an organization has
// integrations with.
func (r reads) hostsInUse(ctx context.Context, o id.Organization, names []string) ([]string, error) {
	width := 0
	for _, name := range names {
		width = max(width, len(name))
	}
	var cells strings.Builder
	for _, name := range names {
		fmt.Fprintf(&cells, "%-*s", width, name)
	}
	return r.q.ListHostsInUse(ctx, query.ListHostsInUseParams{OrganizationID: string(o), Names: cells.String(), Width: int32(width)})
}

// CredentialsOf returns the credentials of a subject on a runner, or on all when
// that is empty, oldest first.
func (r reads) CredentialsOf(ctx context.Context, o id.Organization, s access.Subject, runner id.Runner, limit int) ([]codehost.Credential, error) {
	rows, err := r.q.ListHostTokensOfSubject(ctx, query.ListHostTokensOfSubjectParams{
		OrganizationID: string(o), SubjectID: s.ID, RunnerID: string(runner), AfterAt: beforeAll.at, AfterID: beforeAll.id, MaxRows: atMost(limit),
	})
	return all(r, rows, err, "listing the credentials of a subject", func(row query.HostToken) (codehost.Credential, error) {
		return codehost.Credential{
			ID: row.ID, Runner: id.Runner(row.RunnerID), Host: row.Host, Integration: row.IntegrationID,
			OAuth:     hosttoken.Source(row.Source) == hosttoken.SourceOAuth,
			ExpiresAt: moment(row.ExpiresAt), RefreshToken: seal.Secret(row.RefreshToken).Digest(), Revision: row.Revision,
		}, nil
	})
}

// EnabledClasses returns the enabled environment classes of a runner, oldest
// first.
func (r reads) EnabledClasses(ctx context.Context, o id.Organization, runner id.Runner, limit int) ([]string, error) {
	enabled := true
	q := envclass.Query{Organization: o, Reach: access.Reach{All: true}, Runners: []id.Runner{runner}, Enabled: &enabled}
	q.Page.Limit = limit
	classes, err := r.EnvironmentClasses(ctx, q)
	if err != nil {
		return nil, err
	}
	ids := make([]string, min(len(classes), limit)) // a list has one more, to tell that there is one
	for n := range ids {
		ids[n] = classes[n].ID
	}
	return ids, nil
}

func hostOf(row query.ScmIntegration) codehost.Host {
	return codehost.Host{
		Integration: scmurl.Integration{
			ID: row.ID, SCMID: row.ScmID, Host: row.Host, VirtualDirectory: row.VirtualDirectory, IssuerURL: row.IssuerUrl,
			OAuth: row.OauthClientID != "", PAT: row.Pat,
		},
		OAuthClientID: row.OauthClientID,
	}
}

// atMost is a limit as the queries take it.
func atMost(limit int) int32 { return int32(limit) } //nolint:gosec // limits are constants
