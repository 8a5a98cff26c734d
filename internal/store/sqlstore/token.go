package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/identity"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/store/sqlstore/query"
	"github.com/musterhq/muster/internal/token"
)

// Credential returns a token by its hash, with the state of its subject.
func (r reads) Credential(ctx context.Context, hash []byte) (identity.Credential, bool, error) {
	row, err := r.q.GetCredential(ctx, hash)
	return one(r, row, err, "checking a token", func(row query.GetCredentialRow) (identity.Credential, error) {
		record, err := recordOf(row.Token)
		return identity.Credential{
			Record: record, Role: resource.Role(row.Role), Status: identity.Status(row.Status),
			Suspended: row.SuspendedAt > 0, ValidUntil: moment(row.ValidUntil),
			CreatorStatus: identity.Status(row.CreatorStatus), CreatorSuspended: row.CreatorSuspendedAt > 0,
		}, err
	})
}

// ExchangeToken returns an exchange token by its hash, used and expired ones too.
func (r reads) ExchangeToken(ctx context.Context, hash []byte) (token.Record, bool, error) {
	row, err := r.q.GetExchangeToken(ctx, hash)
	return one(r, row, err, "reading an exchange token", recordOf)
}

// PersonalToken returns a personal access token.
func (r reads) PersonalToken(ctx context.Context, o id.Organization, t id.Token) (token.Record, bool, error) {
	row, err := r.q.GetPersonalToken(ctx, string(o), string(t))
	return one(r, row, err, "reading a personal access token", recordOf)
}

// PersonalTokens returns up to Page.Limit+1 personal access tokens, newest first.
func (r reads) PersonalTokens(ctx context.Context, q identity.TokenQuery) ([]token.Record, error) {
	before, err := cursorOf(q.Page, afterAll)
	if err != nil {
		return nil, err
	}
	var rows []query.Token
	if len(q.Users) == 0 {
		rows, err = r.q.ListPersonalTokens(ctx, query.ListPersonalTokensParams{
			OrganizationID: string(q.Organization), BeforeAt: before.at, BeforeID: before.id, MaxRows: maxRows(q.Page),
		})
	} else {
		rows, err = lanes(q.Users, maxRows(q.Page), newerToken, func(user string) ([]query.Token, error) {
			return r.q.ListPersonalTokensOfUser(ctx, query.ListPersonalTokensOfUserParams{
				OrganizationID: string(q.Organization), UserID: present(user),
				BeforeAt: before.at, BeforeID: before.id, MaxRows: maxRows(q.Page),
			})
		})
	}
	return all(r, rows, err, "listing personal access tokens", recordOf)
}

func newerToken(a, b query.Token) int {
	return cmp.Or(cmp.Compare(b.CreatedAt, a.CreatedAt), cmp.Compare(b.ID, a.ID))
}

// InsertToken adds a token of any kind.
func (tx *Tx) InsertToken(ctx context.Context, t token.Record) error {
	p := query.InsertTokenParams{
		ID:               string(t.ID),
		OrganizationID:   string(t.Organization),
		Kind:             string(t.Kind),
		Hash:             blob(t.Hash),
		CreatorPrincipal: int32(t.Creator.Principal),
		CreatorID:        t.Creator.ID,
		Description:      t.Description,
		ReadOnly:         t.ReadOnly,
		CreatedAt:        micros(t.CreatedAt),
		ExpiresAt:        micros(t.ExpiresAt),
		LastUsedAt:       micros(t.LastUsedAt),
		UsedAt:           micros(t.UsedAt),
		GrantsFor:        t.GrantsFor.Microseconds(),
	}
	switch t.Subject.Principal {
	case access.PrincipalUser:
		p.UserID = present(t.Subject.ID)
	case access.PrincipalRunner:
		p.RunnerID = present(t.Subject.ID)
	case access.PrincipalServiceAccount:
		p.ServiceAccountID = present(t.Subject.ID)
	default:
		return tx.explained(fmt.Errorf("sqlstore: a token of a %s cannot be stored", t.Subject.Principal), "storing a token")
	}
	return tx.explained(tx.q.InsertToken(ctx, p), "storing a token")
}

// UseExchangeToken marks an exchange token as redeemed, if it was not and has
// not expired. One statement decides, so of several callers one gets it.
func (tx *Tx) UseExchangeToken(ctx context.Context, hash []byte, now time.Time) (token.Record, bool, error) {
	row, err := tx.q.UseExchangeToken(ctx, micros(now), hash)
	return one(tx.reads, row, err, "redeeming an exchange token", recordOf)
}

// TouchToken moves the last use of a token forward, never back.
func (tx *Tx) TouchToken(ctx context.Context, t id.Token, at time.Time) error {
	return tx.explained(tx.q.TouchToken(ctx, micros(at), string(t)), "noting the use of a token")
}

// DeleteToken removes a token; false means that there was none any more.
func (tx *Tx) DeleteToken(ctx context.Context, t id.Token) (bool, error) {
	n, err := tx.q.DeleteToken(ctx, string(t))
	return n > 0, tx.explained(err, "deleting a token")
}

// DeleteTokensOf deletes up to limit tokens that authenticate or admit s, and
// returns them.
func (tx *Tx) DeleteTokensOf(ctx context.Context, s access.Subject, limit int) ([]token.Record, error) {
	var rows []query.Token
	var err error
	switch s.Principal {
	case access.PrincipalUser:
		rows, err = tx.q.DeleteTokensOfUser(ctx, present(s.ID), atMost(limit))
	case access.PrincipalRunner:
		rows, err = tx.q.DeleteTokensOfRunner(ctx, present(s.ID), atMost(limit))
	case access.PrincipalServiceAccount:
		rows, err = tx.q.DeleteTokensOfServiceAccount(ctx, present(s.ID), atMost(limit))
	default: // has none; see InsertToken
	}
	return all(tx.reads, rows, err, "deleting tokens", recordOf)
}

// DeleteTokensMadeBy deletes up to limit tokens that s made for members, and
// returns them.
func (tx *Tx) DeleteTokensMadeBy(ctx context.Context, o id.Organization, s access.Subject, limit int) ([]token.Record, error) {
	rows, err := tx.q.DeletePersonalTokensMadeBy(ctx, query.DeletePersonalTokensMadeByParams{
		OrganizationID: string(o), CreatorID: s.ID, Description: token.ForMember, MaxRows: atMost(limit),
	})
	return all(tx.reads, rows, err, "deleting tokens that were made for members", recordOf)
}

func recordOf(row query.Token) (token.Record, error) {
	t := token.Record{
		ID:           id.Token(row.ID),
		Organization: id.Organization(row.OrganizationID),
		Kind:         token.Kind(row.Kind),
		Hash:         row.Hash,
		Subject:      access.Subject{Principal: access.PrincipalUser, ID: row.UserID.String},
		Creator:      subject(row.CreatorPrincipal, row.CreatorID),
		Description:  row.Description,
		ReadOnly:     row.ReadOnly,
		CreatedAt:    moment(row.CreatedAt),
		ExpiresAt:    moment(row.ExpiresAt),
		LastUsedAt:   moment(row.LastUsedAt),
		UsedAt:       moment(row.UsedAt),
		GrantsFor:    time.Duration(row.GrantsFor) * time.Microsecond,
	}
	if row.RunnerID.Valid {
		t.Subject = access.Subject{Principal: access.PrincipalRunner, ID: row.RunnerID.String}
	}
	if row.ServiceAccountID.Valid {
		t.Subject = access.Subject{Principal: access.PrincipalServiceAccount, ID: row.ServiceAccountID.String}
	}
	return t, nil
}

func present(s string) sql.NullString { return sql.NullString{String: s, Valid: true} }
