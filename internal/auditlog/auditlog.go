// Package auditlog reads the audit log, binds its entries into a chain, signs
// the chain and removes what is too old.
//
// It writes no entries of what others do: that is package change's, and costs
// them one row. It knows no noun: of what an entry tells it has the ids alone.
package auditlog

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/audit"
	"github.com/musterhq/muster/internal/audit/chain"
	"github.com/musterhq/muster/internal/change"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/page"
	"github.com/musterhq/muster/internal/resource"
)

// Chain is the state of an organization's chain.
type Chain struct {
	Organization id.Organization
	// Sequence and Hash are those of the last entry; 0 and chain.Origin before the
	// first.
	Sequence int64
	Hash     chain.Hash
	// FloorSequence and FloorHash are those of the last entry that was removed by
	// age; 0 and chain.Origin when none was.
	FloorSequence int64
	FloorHash     chain.Hash
}

// Query selects entries. Values of one field are alternatives, and an empty
// field does not filter.
type Query struct {
	Organization id.Organization
	Actors       []string
	Principals   []access.Principal
	Subjects     []string
	SubjectTypes []resource.Type
	// From and To are inclusive, to a microsecond; zero is open.
	From, To time.Time
	// OldestFirst turns the order around, which is the newest first.
	OldestFirst bool
	Page        page.Query
}

// Retention is how long an organization keeps entries.
type Retention struct {
	Organization id.Organization
	Days         int
}

// Store is the database as this package needs it.
type Store interface {
	// AuditEntries returns up to Page.Limit+1 entries.
	AuditEntries(ctx context.Context, q Query) ([]audit.Entry, error)
	AuditEntry(ctx context.Context, o id.Organization, entry string) (audit.Entry, bool, error)
	// AuditChain returns the chain of an organization; false before its first
	// entry has its place.
	AuditChain(ctx context.Context, o id.Organization) (Chain, bool, error)
	// UnchainedOrganization returns the first organization behind o, in the order
	// of their ids, that has an entry without a place.
	UnchainedOrganization(ctx context.Context, behind id.Organization) (id.Organization, bool, error)
	// UnsignedChains returns the chains whose last entry has no checkpoint.
	UnsignedChains(ctx context.Context) ([]Chain, error)
	// ChainedEntries returns entries behind a sequence number, in their order.
	ChainedEntries(ctx context.Context, o id.Organization, behind int64, limit int) ([]chain.Entry, error)
	// Checkpoints returns those of the entries from the one number to the other,
	// both included, in their order.
	Checkpoints(ctx context.Context, o id.Organization, from, to int64) ([]chain.Checkpoint, error)
	// AuditRetention returns the organizations that do not keep all.
	AuditRetention(ctx context.Context) ([]Retention, error)
	Write(ctx context.Context, fn func(Tx) error) error
}

// Tx is a transaction.
type Tx interface {
	change.Tx
	AuditChain(ctx context.Context, o id.Organization) (Chain, bool, error)
	// InsertAuditChain makes the chain of an organization unless it has one.
	InsertAuditChain(ctx context.Context, o id.Organization) error
	// UnchainedEntries returns entries without a place, oldest first.
	UnchainedEntries(ctx context.Context, o id.Organization, limit int) ([]audit.Entry, error)
	// AdvanceAuditChain moves the end of the chain from one sequence number to
	// another. False means that the end was not there.
	AdvanceAuditChain(ctx context.Context, o id.Organization, from, to int64, h chain.Hash) (bool, error)
	// PlaceAuditEntry gives an entry its place. False means that it has one.
	PlaceAuditEntry(ctx context.Context, e chain.Entry) (bool, error)
	// InsertCheckpoint adds a checkpoint unless its entry has one.
	InsertCheckpoint(ctx context.Context, o id.Organization, c chain.Checkpoint) error
	// RaiseAuditFloor notes that the entries up to a sequence number were removed.
	// False means that others were removed meanwhile.
	RaiseAuditFloor(ctx context.Context, o id.Organization, from, to int64, h chain.Hash) (bool, error)
	// DeleteChainedEntries removes the entries up to a sequence number, and their
	// checkpoints.
	DeleteChainedEntries(ctx context.Context, o id.Organization, through int64) error
}

// Signer signs checkpoints.
type Signer interface {
	// Sign returns an Ed25519 signature of the message, 64 bytes, and the id of
	// the key.
	Sign(ctx context.Context, message []byte) (keyID string, signature []byte, err error)
	// PublicKeys returns the keys that signed and may sign, retired ones too.
	PublicKeys(ctx context.Context) ([]chain.Key, error)
}

// Service is the audit log.
type Service struct {
	store     Store
	signer    Signer
	confirmed func() (time.Time, bool)
	log       *slog.Logger

	mu sync.Mutex
	// unsigned are the organizations whose last entry may have no checkpoint.
	unsigned map[id.Organization]bool
}

// New makes the service. Run must run for entries to be chained and signed. Their
// age is judged by the confirmed time, and none is removed while it says false.
func New(store Store, signer Signer, confirmed func() (now time.Time, ok bool), log *slog.Logger) *Service {
	return &Service{store: store, signer: signer, confirmed: confirmed, log: log, unsigned: map[id.Organization]bool{}}
}

// setUnsigned notes whether the end of a chain waits for a checkpoint.
func (s *Service) setUnsigned(o id.Organization, unsigned bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if unsigned {
		s.unsigned[o] = true
	} else {
		delete(s.unsigned, o)
	}
}

func entryOf(e audit.Entry) chain.Entry {
	return chain.Entry{
		ID: e.ID, ActorPrincipal: int32(e.Actor.Principal), ActorID: e.Actor.ID, SubjectType: int32(e.SubjectType), SubjectID: e.SubjectID,
		Action: e.Action, Kind: int32(e.Kind), RequestID: e.RequestID, CreatedAt: e.CreatedAt.UnixMicro(),
	}
}
