package sqlstore

import (
	"cmp"
	"context"
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
	after, err := cursorOf(q.Page, beforeAll)
	if err != nil {
		return nil, err
	}
	limit := maxRows(q.Page)
	rows, err := belongings[query.ScmIntegration]{
		reach: q.Reach, runners: q.Runners, rows: limit, older: olderSCMIntegration,
		everybodys: func() ([]query.ScmIntegration, error) {
			return r.q.ListSCMIntegrations(ctx, query.ListSCMIntegrationsParams{
				OrganizationID: string(q.Organization), AfterAt: after.at, AfterID: after.id, MaxRows: limit,
			})
		},
		ofRunner: func(runner id.Runner) ([]query.ScmIntegration, error) {
			return r.q.ListSCMIntegrationsOfRunner(ctx, query.ListSCMIntegrationsOfRunnerParams{
				OrganizationID: string(q.Organization), RunnerID: string(runner), AfterAt: after.at, AfterID: after.id, MaxRows: limit,
			})
		},
		seenBy: func(viewer string) ([]query.ScmIntegration, error) {
			return r.q.ListSCMIntegrationsSeenBy(ctx, query.ListSCMIntegrationsSeenByParams{
				OrganizationID: string(q.Organization), ViewerID: viewer, AfterAt: after.at, AfterID: after.id, MaxRows: limit,
			})
		},
	}.list(ctx, r)
	return all(r, rows, err, "listing SCM integrations", scmIntegrationOf)
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
