package sqlstore

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/hosttoken"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/identity"
	"github.com/musterhq/muster/internal/store/sqlstore/query"
)

// HostTokens returns the store as package hosttoken sees it.
func (s *Store) HostTokens() hosttoken.Store { return hostTokenStore{s} }

type hostTokenStore struct{ *Store }

var _ hosttoken.Tx = (*Tx)(nil)

func (s hostTokenStore) Write(ctx context.Context, fn func(hosttoken.Tx) error) error {
	return s.write(ctx, func(tx *Tx) error { return fn(tx) })
}

// HostTokens returns up to Page.Limit+1 credentials, oldest first.
func (s hostTokenStore) HostTokens(ctx context.Context, q hosttoken.Query) ([]hosttoken.Token, error) {
	return s.listHostTokens(ctx, q)
}

// HostTokens returns up to Page.Limit+1 credentials, oldest first.
func (tx *Tx) HostTokens(ctx context.Context, q hosttoken.Query) ([]hosttoken.Token, error) {
	return tx.listHostTokens(ctx, q)
}

// HostToken returns a credential.
func (r reads) HostToken(ctx context.Context, token string) (hosttoken.Token, bool, error) {
	row, err := r.q.GetHostToken(ctx, token)
	return one(r, row, err, "reading a host token", hostTokenOf)
}

// HostTokenOf finds the credential of a subject for a host on a runner, without
// regard to the case of the host.
func (r reads) HostTokenOf(ctx context.Context, runner id.Runner, host string, s access.Subject) (hosttoken.Token, bool, error) {
	row, err := r.q.GetHostTokenOfSubject(ctx, query.GetHostTokenOfSubjectParams{
		RunnerID: string(runner), HostLower: strings.ToLower(host), SubjectID: s.ID,
	})
	return one(r, row, err, "looking for the host token of a subject", hostTokenOf)
}

// CountHostTokens counts the credentials of a subject on a runner.
func (r reads) CountHostTokens(ctx context.Context, runner id.Runner, s access.Subject) (int64, error) {
	n, err := r.q.CountHostTokens(ctx, string(runner), s.ID)
	return n, r.explained(err, "counting the host tokens of a subject")
}

// IntegrationHost returns the host of an SCM integration of a runner.
func (r reads) IntegrationHost(ctx context.Context, runner id.Runner, integration string) (string, bool, error) {
	i, found, err := r.SCMIntegration(ctx, integration)
	return i.Host, found && i.Runner == runner, err
}

// LockSubject makes the rest of the transaction wait for the departure of a user
// or a service account, which locks the same; false means that it is gone.
func (tx *Tx) LockSubject(ctx context.Context, o id.Organization, s access.Subject) (bool, error) {
	switch s.Principal {
	case access.PrincipalUser:
		if err := tx.LockOrganization(ctx, o); err != nil {
			return false, err
		}
		u, found, err := tx.User(ctx, o, id.User(s.ID))
		return found && u.Status != identity.StatusLeft, err
	case access.PrincipalServiceAccount:
		if err := tx.LockServiceAccount(ctx, id.ServiceAccount(s.ID)); err != nil {
			return false, err
		}
		a, found, err := tx.ServiceAccount(ctx, o, id.ServiceAccount(s.ID))
		return found && !a.Suspended(), err
	default:
		return false, nil
	}
}

// listHostTokens returns up to Page.Limit+1 credentials.
func (r reads) listHostTokens(ctx context.Context, q hosttoken.Query) ([]hosttoken.Token, error) {
	after, err := cursorOf(q.Page, beforeAll)
	if err != nil {
		return nil, err
	}
	l := hostTokenList{reads: r, want: q, after: after, rows: maxRows(q.Page)}
	rows, err := l.visible(ctx)
	return all(r, rows, err, "listing host tokens", hostTokenOf)
}

// hostTokenList is one list of credentials. Which query serves it depends on who
// asks, and on the filter that leaves the fewest rows.
type hostTokenList struct {
	reads
	want  hosttoken.Query
	after timeCursor
	rows  int32
}

// visible merges what the caller may see for different reasons.
func (l hostTokenList) visible(ctx context.Context) ([]query.HostToken, error) {
	reach := l.want.Reach
	if reach.All {
		return l.everybodys(ctx)
	}
	var rows []query.HostToken
	if me := reach.Self; me != "" && (l.want.Subject == "" || l.want.Subject == me) {
		own, err := l.ofSubject(ctx, me)
		if err != nil {
			return nil, err
		}
		rows = own
	}
	if len(reach.Roles) == 0 {
		return rows, nil
	}
	others, err := lanes(reach.Groups, l.rows, olderHostToken, func(g id.Group) ([]query.HostToken, error) { return l.readBy(ctx, g) })
	return merged(append(rows, others...), l.rows, olderHostToken), err
}

func (l hostTokenList) everybodys(ctx context.Context) ([]query.HostToken, error) {
	switch {
	case l.want.Subject != "":
		return l.ofSubject(ctx, l.want.Subject)
	case l.want.Runner != "":
		return l.ofRunner(ctx, l.want.Runner)
	default:
		return l.q.ListHostTokens(ctx, query.ListHostTokensParams{
			OrganizationID: string(l.want.Organization), AfterAt: l.after.at, AfterID: l.after.id, MaxRows: l.rows,
		})
	}
}

// readBy lists the credentials on the runners that a group may read those of.
func (l hostTokenList) readBy(ctx context.Context, g id.Group) ([]query.HostToken, error) {
	return l.q.ListHostTokensReadBy(ctx, query.ListHostTokensReadByParams{
		GroupID: string(g), Roles: mask(l.want.Reach.Roles), RunnerID: string(l.want.Runner), SubjectID: l.want.Subject,
		AfterAt: l.after.at, AfterID: l.after.id, MaxRows: l.rows,
	})
}

// ofSubject lists the credentials of a subject, on the wanted runner if there is
// one.
func (l hostTokenList) ofSubject(ctx context.Context, subject string) ([]query.HostToken, error) {
	return l.q.ListHostTokensOfSubject(ctx, query.ListHostTokensOfSubjectParams{
		OrganizationID: string(l.want.Organization), SubjectID: subject, RunnerID: string(l.want.Runner),
		AfterAt: l.after.at, AfterID: l.after.id, MaxRows: l.rows,
	})
}

// ofRunner lists the credentials on a runner, of the wanted subject if there is
// one.
func (l hostTokenList) ofRunner(ctx context.Context, runner id.Runner) ([]query.HostToken, error) {
	return l.q.ListHostTokensOfRunner(ctx, query.ListHostTokensOfRunnerParams{
		OrganizationID: string(l.want.Organization), RunnerID: string(runner), SubjectID: l.want.Subject,
		AfterAt: l.after.at, AfterID: l.after.id, MaxRows: l.rows,
	})
}

func olderHostToken(a, b query.HostToken) int {
	return cmp.Or(cmp.Compare(a.CreatedAt, b.CreatedAt), cmp.Compare(a.ID, b.ID))
}

// InsertHostToken adds a credential; one that its subject has for the host on the
// runner already is a lost race.
func (tx *Tx) InsertHostToken(ctx context.Context, t hosttoken.Token) error {
	const doing = "adding a host token"
	scopes, err := scopesText(t)
	if err != nil {
		return tx.explained(err, doing)
	}
	return tx.explained(tx.q.InsertHostToken(ctx, query.InsertHostTokenParams{
		ID:               t.ID,
		OrganizationID:   string(t.Organization),
		RunnerID:         string(t.Runner),
		Host:             t.Host,
		SubjectPrincipal: int32(t.Subject.Principal),
		SubjectID:        t.Subject.ID,
		Source:           int32(t.Source),
		Token:            blob(t.Value),
		RefreshToken:     blob(t.RefreshToken),
		IntegrationID:    t.Integration,
		Scopes:           scopes,
		ExpiresAt:        micros(t.ExpiresAt),
		CreatedAt:        micros(t.CreatedAt),
		UpdatedAt:        micros(t.UpdatedAt),
		Revision:         t.Revision,
		HostLower:        strings.ToLower(t.Host),
	}), doing)
}

// UpdateHostToken stores what may change when the revision is still t.Revision.
func (tx *Tx) UpdateHostToken(ctx context.Context, t hosttoken.Token) (bool, error) {
	const doing = "changing a host token"
	scopes, err := scopesText(t)
	if err != nil {
		return false, tx.explained(err, doing)
	}
	n, err := tx.q.UpdateHostToken(ctx, query.UpdateHostTokenParams{
		ID:            t.ID,
		Revision:      t.Revision,
		Token:         blob(t.Value),
		RefreshToken:  blob(t.RefreshToken),
		Source:        int32(t.Source),
		IntegrationID: t.Integration,
		Scopes:        scopes,
		ExpiresAt:     micros(t.ExpiresAt),
		UpdatedAt:     micros(t.UpdatedAt),
	})
	return n > 0, tx.explained(err, doing)
}

// DeleteHostToken removes a credential.
func (tx *Tx) DeleteHostToken(ctx context.Context, token string) (bool, error) {
	n, err := tx.q.DeleteHostToken(ctx, token)
	return n > 0, tx.explained(err, "deleting a host token")
}

// scopesText is the JSON that scopes are stored as; none are "[]".
func scopesText(t hosttoken.Token) (string, error) {
	text, err := json.Marshal(append([]string{}, t.Scopes...))
	if err != nil {
		return "", fmt.Errorf("writing the scopes as JSON: %w", err)
	}
	return string(text), nil
}

func hostTokenOf(row query.HostToken) (hosttoken.Token, error) {
	t := hosttoken.Token{
		ID:           row.ID,
		Organization: id.Organization(row.OrganizationID),
		Runner:       id.Runner(row.RunnerID),
		Host:         row.Host,
		Subject:      subject(row.SubjectPrincipal, row.SubjectID),
		Source:       hosttoken.Source(row.Source),
		Value:        bytesOf(row.Token),
		RefreshToken: bytesOf(row.RefreshToken),
		Integration:  row.IntegrationID,
		ExpiresAt:    moment(row.ExpiresAt),
		CreatedAt:    moment(row.CreatedAt),
		UpdatedAt:    moment(row.UpdatedAt),
		Revision:     row.Revision,
	}
	if err := json.Unmarshal([]byte(row.Scopes), &t.Scopes); err != nil {
		return t, fmt.Errorf("reading the scopes of host token %s: %w", row.ID, err)
	}
	if len(t.Scopes) == 0 {
		t.Scopes = nil
	}
	return t, nil
}
