package sqlstore

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/scm"
	"github.com/musterhq/muster/internal/store/sqlstore/query"
)

// SCM returns the store as package scm sees it.
func (s *Store) SCM() scm.Store { return scmStore{s} }

type scmStore struct{ *Store }

var _ scm.Tx = (*Tx)(nil)

func (s scmStore) Write(ctx context.Context, fn func(scm.Tx) error) error {
	return s.write(ctx, func(tx *Tx) error { return fn(tx) })
}

// SCMIntegration returns an integration.
func (r reads) SCMIntegration(ctx context.Context, integration string) (scm.Integration, bool, error) {
	row, err := r.q.GetSCMIntegration(ctx, integration)
	return one(r, row, err, "reading an SCM integration", scmIntegrationOf)
}

// SCMIntegrationOf finds the integration of a runner with a host, without regard
// to case.
func (r reads) SCMIntegrationOf(ctx context.Context, runner id.Runner, host string) (scm.Integration, bool, error) {
	row, err := r.q.GetSCMIntegrationOfHost(ctx, string(runner), strings.ToLower(host))
	return one(r, row, err, "looking for the SCM integration with a host", scmIntegrationOf)
}

// SCMIntegrations returns up to Page.Limit+1 integrations, oldest first.
func (r reads) SCMIntegrations(ctx context.Context, q scm.Query) ([]scm.Integration, error) {
	const doing = "listing SCM integrations"
	after, err := cursorOf(q.Page, beforeAll)
	if err != nil {
		return nil, err
	}
	p := query.ListSCMIntegrationsParams{
		OrganizationID: string(q.Organization), Sees: number(q.Reach.All || q.Reach.Self != ""), CreatorID: q.Reach.Creator, GroupIds: joined(q.Reach.Groups),
		AfterAt: after.at, AfterID: after.id, MaxRows: maxRows(q.Page),
	}
	runners, some, err := r.scmRunners(ctx, q)
	if err != nil {
		return nil, r.explained(err, doing)
	}
	var rows []query.ScmIntegration
	if some {
		rows, err = lanes(runners, p.MaxRows, olderSCMIntegration, func(runner id.Runner) ([]query.ScmIntegration, error) {
			return r.q.ListSCMIntegrationsOfRunner(ctx, query.ListSCMIntegrationsOfRunnerParams{
				OrganizationID: p.OrganizationID, RunnerID: string(runner), Sees: p.Sees, CreatorID: p.CreatorID, GroupIds: p.GroupIds,
				AfterAt: p.AfterAt, AfterID: p.AfterID, MaxRows: p.MaxRows,
			})
		})
	} else {
		rows, err = r.q.ListSCMIntegrations(ctx, p)
	}
	return all(r, rows, err, doing, scmIntegrationOf)
}

// scmRunners are the runners whose integrations are to be asked for one by one,
// if they are few enough: the one that the caller is, those of the filter, or
// those that it sees. Whoever sees more finds a page soon by walking through all.
func (r reads) scmRunners(ctx context.Context, q scm.Query) (runners []id.Runner, some bool, err error) {
	switch self := q.Reach.Self; {
	case self != "" && len(q.Runners) > 0 && !slices.Contains(q.Runners, self):
		return nil, true, nil
	case self != "":
		return []id.Runner{self}, true, nil
	case len(q.Runners) > 0:
		return q.Runners, true, nil
	case q.Reach.All:
		return nil, false, nil
	default:
		return r.fewRunners(ctx, q.Organization, q.Reach)
	}
}

func olderSCMIntegration(a, b query.ScmIntegration) int {
	return cmp.Or(cmp.Compare(a.CreatedAt, b.CreatedAt), cmp.Compare(a.ID, b.ID))
}

// InsertSCMIntegration adds an integration; one that its runner has for the host
// already is a lost race.
func (tx *Tx) InsertSCMIntegration(ctx context.Context, i scm.Integration) error {
	return tx.explained(tx.q.InsertSCMIntegration(ctx, query.InsertSCMIntegrationParams{
		ID:                i.ID,
		OrganizationID:    string(i.Organization),
		RunnerID:          string(i.Runner),
		ScmID:             i.SCMID,
		Host:              i.Host,
		Pat:               i.PAT,
		OauthClientID:     i.OAuthClientID,
		OauthClientSecret: blob(i.OAuthClientSecret),
		IssuerUrl:         i.IssuerURL,
		VirtualDirectory:  i.VirtualDirectory,
		CreatedAt:         micros(i.CreatedAt),
		UpdatedAt:         micros(i.UpdatedAt),
		Revision:          i.Revision,
		HostLower:         strings.ToLower(i.Host),
	}), "adding an SCM integration")
}

// UpdateSCMIntegration stores what people set when the revision is still
// i.Revision.
func (tx *Tx) UpdateSCMIntegration(ctx context.Context, i scm.Integration) (bool, error) {
	n, err := tx.q.UpdateSCMIntegration(ctx, query.UpdateSCMIntegrationParams{
		ID:                i.ID,
		Revision:          i.Revision,
		Pat:               i.PAT,
		OauthClientID:     i.OAuthClientID,
		OauthClientSecret: blob(i.OAuthClientSecret),
		IssuerUrl:         i.IssuerURL,
		VirtualDirectory:  i.VirtualDirectory,
		UpdatedAt:         micros(i.UpdatedAt),
	})
	return n > 0, tx.explained(err, "changing an SCM integration")
}

// DeleteSCMIntegration removes an integration.
func (tx *Tx) DeleteSCMIntegration(ctx context.Context, integration string) (bool, error) {
	n, err := tx.q.DeleteSCMIntegration(ctx, integration)
	return n > 0, tx.explained(err, "deleting an SCM integration")
}

// DeleteHostTokens removes the credentials for a host on a runner that were
// obtained with OAuth, all others, or both, and returns them, sorted by id.
func (tx *Tx) DeleteHostTokens(ctx context.Context, r id.Runner, host string, oauth, others bool) ([]scm.HostToken, error) {
	rows, err := tx.q.DeleteHostTokensOfHost(ctx, query.DeleteHostTokensOfHostParams{
		RunnerID: string(r), HostLower: strings.ToLower(host), Oauth: oauth, Others: others,
	})
	slices.SortFunc(rows, func(a, b query.DeleteHostTokensOfHostRow) int { return cmp.Compare(a.ID, b.ID) })
	return all(tx.reads, rows, err, "deleting credentials for a host", func(row query.DeleteHostTokensOfHostRow) (scm.HostToken, error) {
		return scm.HostToken{ID: row.ID, Owner: subject(row.SubjectPrincipal, row.SubjectID)}, nil
	})
}

func scmIntegrationOf(row query.ScmIntegration) (scm.Integration, error) {
	return scm.Integration{
		ID:                row.ID,
		Organization:      id.Organization(row.OrganizationID),
		Runner:            id.Runner(row.RunnerID),
		SCMID:             row.ScmID,
		Host:              row.Host,
		PAT:               row.Pat,
		OAuthClientID:     row.OauthClientID,
		OAuthClientSecret: bytesOf(row.OauthClientSecret),
		IssuerURL:         row.IssuerUrl,
		VirtualDirectory:  row.VirtualDirectory,
		CreatedAt:         moment(row.CreatedAt),
		UpdatedAt:         moment(row.UpdatedAt),
		Revision:          row.Revision,
	}, nil
}
