// Package serviceaccount holds the accounts of programs, and their tokens.
//
// It knows nothing of the wire and of SQL. Whether a token lets its bearer in is
// package identity's to say.
package serviceaccount

import (
	"context"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/departure"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/page"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/token"
)

// Account is a principal for programs.
type Account struct {
	ID           id.ServiceAccount
	Organization id.Organization
	Name         string
	Description  string
	Creator      access.Subject
	// ValidUntil is when the account and all its tokens stop working; it never
	// changes.
	ValidUntil time.Time
	// SuspendedAt is when the account was deleted; zero for one in use. The row
	// stays, so that what the account created keeps its creator.
	SuspendedAt time.Time
	CreatedAt   time.Time
	UpdatedAt   time.Time
	// Revision grows with every change and guards against lost updates.
	Revision int64
}

// Suspended tells whether the account was deleted.
func (a *Account) Suspended() bool { return !a.SuspendedAt.IsZero() }

// Subject is the account as somebody who acts.
func (a *Account) Subject() access.Subject {
	return access.Subject{Principal: access.PrincipalServiceAccount, ID: string(a.ID)}
}

// Object is the account as permissions see it.
func (a *Account) Object() access.Object {
	return access.Object{Type: resource.ServiceAccount, ID: string(a.ID), Organization: a.Organization, Name: a.Name}
}

// tokenObject is a long-lived token as permissions see it.
func tokenObject(t token.Record) access.Object {
	return access.Object{Type: resource.ServiceAccountToken, ID: string(t.ID), Organization: t.Organization, Owner: t.Subject}
}

// Query selects accounts of one organization, oldest first. Empty filters select
// all; filters of different kinds must all hold.
type Query struct {
	Organization id.Organization
	// IDs holds at most 25 values.
	IDs []string
	// Search matches a part of the name, without regard to case.
	Search           string
	IncludeSuspended bool
	// Page.After.Key is the time of creation as 16 hexadecimal digits of its
	// microseconds.
	Page page.Query
}

// TokenQuery selects long-lived tokens, oldest first: those of one account, or
// of the whole organization when Account is empty.
type TokenQuery struct {
	Organization id.Organization
	Account      id.ServiceAccount
	// Page.After.Key is the time of creation as 16 hexadecimal digits of its
	// microseconds.
	Page page.Query
}

// Store is what this package needs of a database. The boolean of a look-up is
// false when there is no such row.
type Store interface {
	ServiceAccount(ctx context.Context, o id.Organization, a id.ServiceAccount) (Account, bool, error)
	// ListServiceAccounts returns up to Page.Limit+1 rows.
	ListServiceAccounts(ctx context.Context, q Query) ([]Account, error)
	ServiceAccountToken(ctx context.Context, o id.Organization, t id.Token) (token.Record, bool, error)
	// ListServiceAccountTokens returns up to Page.Limit+1 rows.
	ListServiceAccountTokens(ctx context.Context, q TokenQuery) ([]token.Record, error)
	// Write runs fn in one transaction; see identity.Store.
	Write(ctx context.Context, fn func(Tx) error) error
}

// Tx is what this package needs of a transaction.
type Tx interface {
	departure.Tx
	ServiceAccount(ctx context.Context, o id.Organization, a id.ServiceAccount) (Account, bool, error)
	// LockServiceAccount makes the rest of the transaction wait for, and be waited
	// for by, every other transaction that locks the same account. Whoever adds
	// something to an account that must go with it locks it first.
	LockServiceAccount(ctx context.Context, a id.ServiceAccount) error
	// LockLeaving is LockServiceAccount for an account that is about to go: it
	// locks before it, as everybody locks groups before accounts, the group that
	// exists to share something with it.
	LockLeaving(ctx context.Context, o id.Organization, s access.Subject) error
	// LockOrganization is that of identity.Tx.
	LockOrganization(ctx context.Context, o id.Organization) error
	// CountServiceAccounts counts the accounts that work.
	CountServiceAccounts(ctx context.Context, o id.Organization, now time.Time) (int64, error)
	InsertServiceAccount(ctx context.Context, a Account) error
	// UpdateServiceAccount stores name, description and suspension when the
	// revision is still a.Revision, and stores a.Revision+1; false means that
	// somebody else was faster.
	UpdateServiceAccount(ctx context.Context, a Account) (bool, error)
	ServiceAccountToken(ctx context.Context, o id.Organization, t id.Token) (token.Record, bool, error)
	// CountLiveTokens counts the long-lived tokens of an account that work.
	CountLiveTokens(ctx context.Context, s access.Subject, now time.Time) (int64, error)
	InsertToken(ctx context.Context, t token.Record) error
	// DeleteToken returns false when there was no such token any more.
	DeleteToken(ctx context.Context, t id.Token) (bool, error)
}
