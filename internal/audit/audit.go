// Package audit records who changed what.
//
// An entry is written in the transaction of the change it tells of, so neither
// exists without the other. Entries hold no secrets and no request bodies.
package audit

import (
	"context"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/resource"
)

// Kind is what an entry is about. The numbers are those of the wire's
// AuditLogEntryKind.
type Kind int32

// The kinds that this control plane writes.
const (
	KindChange           Kind = 3
	KindCredentialAccess Kind = 4
)

// Entry is one line of the audit log.
type Entry struct {
	ID           string
	Organization id.Organization
	Actor        access.Subject
	// SubjectID and SubjectType are what was changed.
	SubjectID   string
	SubjectType resource.Type
	// Action is the verb, such as "runner.create".
	Action    string
	Kind      Kind
	RequestID string
	CreatedAt time.Time
}

// Tx is the part of a transaction that this package needs.
type Tx interface {
	InsertAuditEntry(ctx context.Context, e Entry) error
}

type requestKey struct{}

// WithRequestID puts the id of the request into the context, for entries and logs.
func WithRequestID(ctx context.Context, requestID string) context.Context {
	return context.WithValue(ctx, requestKey{}, requestID)
}

// RequestID returns the id of the request that ctx belongs to; empty for what
// the control plane does by itself.
func RequestID(ctx context.Context) string {
	s, _ := ctx.Value(requestKey{}).(string)
	return s
}
