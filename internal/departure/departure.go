// Package departure removes what goes for good, with all that hangs on it: the
// tokens of a subject, the members of a group, what belongs to a runner.
//
// How much that is, is up to whoever made it. So one transaction takes away a
// bounded number of rows. When that is not all, it hides the rest from everybody
// and leaves it to Run, which goes on in small steps, also after a crash.
//
// It knows nothing of what makes something go; that is for the noun to decide.
package departure

import (
	"context"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/audit"
	"github.com/musterhq/muster/internal/change"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/seal"
	"github.com/musterhq/muster/internal/token"
)

// Kind is what is removed. The numbers are stored.
type Kind int32

// The kinds. A user or a service account that goes stays readable; the others do
// not.
const (
	OfSubject Kind = 1 // what a user or a service account has
	OfShare   Kind = 2 // the group that exists to share something with one subject
	OfGroup   Kind = 3
	OfRunner  Kind = 4
	OfHost    Kind = 5 // the credentials for a host on a runner
)

// Sources is a set of ways in which credentials for a host were obtained. The
// numbers are stored.
type Sources int32

// The ways.
const (
	OAuth  Sources = 1
	Others Sources = 2
)

// Removal is what is being removed.
type Removal struct {
	Kind Kind
	// ID is that of Object; of the credentials for a host, one of its own.
	ID string
	// Object is what is removed, as it was before, with those who may know of it.
	// Of credentials for a host it is their runner.
	Object access.Object
	// Actor is who asked for it, and RequestID with which call.
	Actor     access.Subject
	RequestID string
	// Host and Sources select credentials on a runner, and Generation those that
	// were there before.
	Host       string
	Sources    Sources
	Generation int64
	// At is when it began, and Step how far it is.
	At   time.Time
	Step int64
}

// Role is a role of a group that was taken away.
type Role struct {
	// Object is the assignment, and On its resource as it was before.
	Object, On access.Object
	// Shared says that the group exists to share something with one subject.
	Shared bool
}

// Share is a group that existed to share something with one subject, and that has
// nothing to share any more.
type Share struct {
	Group, Member access.Object
}

// Links tells connected runners of secrets that changed or are gone.
type Links interface {
	SecretsChanged(r id.Runner, names ...string)
}

// Tx is what this package needs of a transaction. Each deletion takes up to limit
// rows, and returns what it took.
type Tx interface {
	change.Tx
	// DeleteTokensOf deletes tokens that authenticate or admit s.
	DeleteTokensOf(ctx context.Context, s access.Subject, limit int) ([]token.Record, error)
	// DeleteTokensMadeBy deletes tokens that s made for members.
	DeleteTokensMadeBy(ctx context.Context, o id.Organization, s access.Subject, limit int) ([]token.Record, error)
	// ShareOf locks and returns the group that exists to share something with s.
	ShareOf(ctx context.Context, o id.Organization, s access.Subject) (access.Object, bool, error)
	// DeleteMembershipsOf takes s out of groups that are not being removed.
	DeleteMembershipsOf(ctx context.Context, o id.Organization, s access.Subject, limit int) ([]id.Group, error)
	// DeleteHostTokensOf deletes credentials of s for source code hosts, on
	// runners that are not being removed.
	DeleteHostTokensOf(ctx context.Context, o id.Organization, s access.Subject, limit int) ([]access.Object, error)
	// DeleteHostTokens deletes credentials for a host on a runner.
	DeleteHostTokens(ctx context.Context, r Removal, limit int) ([]access.Object, error)
	// DeleteMembersOf takes members out of a group.
	DeleteMembersOf(ctx context.Context, g id.Group, limit int) ([]access.Object, error)
	// DeleteRolesOf takes away roles that a group has.
	DeleteRolesOf(ctx context.Context, g id.Group, limit int) ([]Role, error)
	// DeleteRolesOn takes away roles that groups have on a resource. On is not set.
	DeleteRolesOn(ctx context.Context, on access.Object, limit int) ([]Role, error)
	// DissolveShares deletes those of some groups that exist to share something and
	// have no role any more, and returns them.
	DissolveShares(ctx context.Context, o id.Organization, groups []id.Group) ([]Share, error)
	// DeleteBelongings deletes what belongs to a runner: classes, integrations and
	// credentials. Type, ID and Owner are set.
	DeleteBelongings(ctx context.Context, r id.Runner, limit int) ([]access.Object, error)
	// DeleteKeysOf deletes lines of the log of a runner's keys, and returns how many.
	DeleteKeysOf(ctx context.Context, r id.Runner, limit int) (int, error)
	// DeleteGroup and DeleteRunner return false when there was none any more.
	DeleteGroup(ctx context.Context, g id.Group) (bool, error)
	DeleteRunner(ctx context.Context, r id.Runner) (bool, error)
	// NextHostGeneration is later than that of all credentials for a host on a
	// runner.
	NextHostGeneration(ctx context.Context, r id.Runner, host string) (int64, error)
	// InsertRemoval hides what is left of something.
	InsertRemoval(ctx context.Context, r Removal) error
	// TakeRemoval takes the next step of a removal; false means that somebody else
	// has done so.
	TakeRemoval(ctx context.Context, r Removal) (bool, error)
	// DeleteRemoval ends a removal of which nothing is left.
	DeleteRemoval(ctx context.Context, r Removal) error
}

// Gone is what a transaction took away, as far as somebody must hear of it after
// the commit.
type Gone struct {
	hostTokens []access.Object
	shares     []access.Object
}

// Tell tells the runners that kept something of it to forget it. It is called
// after the commit.
func (g Gone) Tell(links Links) {
	names := map[id.Runner][]string{}
	for _, t := range g.hostTokens {
		names[t.Runner] = append(names[t.Runner], seal.Name(t.Type.String(), t.ID, ""))
	}
	for r, n := range names {
		links.SecretsChanged(r, n...)
	}
}

// Shares are the subjects that are in one group less, since it existed to share
// something with them that is gone.
func (g Gone) Shares() []access.Subject {
	subjects := make([]access.Subject, len(g.shares))
	for i, s := range g.shares {
		subjects[i] = subjectOf(s)
	}
	return subjects
}

// firstRows is how many rows the first transaction writes at most, apart from the
// few that the noun itself writes.
const firstRows = 400

// Subject ends what belongs to a user or a service account that goes, with an
// audit entry and an event for each part that people can see.
func Subject(ctx context.Context, tx Tx, actor access.Subject, o id.Organization, s access.Subject) (Gone, error) {
	removals := []Removal{{Kind: OfSubject, ID: s.ID, Object: access.Object{Type: s.Principal.Type(), ID: s.ID, Organization: o}}}
	share, found, err := tx.ShareOf(ctx, o, s)
	if err != nil {
		return Gone{}, err
	}
	if found {
		removals = append([]Removal{{Kind: OfShare, ID: share.ID, Object: share}}, removals...)
	}
	return begin(ctx, tx, actor, removals...)
}

// Group deletes a group that is locked, with its members, its roles and the roles
// on it.
func Group(ctx context.Context, tx Tx, actor access.Subject, g access.Object) (Gone, error) {
	return begin(ctx, tx, actor, Removal{Kind: OfGroup, ID: g.ID, Object: g})
}

// Runner deletes a runner that is locked, with all that belongs to it.
func Runner(ctx context.Context, tx Tx, actor access.Subject, r access.Object) (Gone, error) {
	return begin(ctx, tx, actor, Removal{Kind: OfRunner, ID: r.ID, Object: r})
}

// Host deletes credentials for a host on a runner, which is locked.
func Host(ctx context.Context, tx Tx, actor access.Subject, runner access.Object, host string, which Sources) (Gone, error) {
	generation, err := tx.NextHostGeneration(ctx, id.Runner(runner.ID), host)
	if err != nil {
		return Gone{}, err
	}
	return begin(ctx, tx, actor, Removal{Kind: OfHost, ID: id.New(), Object: runner, Host: host, Sources: which, Generation: generation})
}

// begin removes as much as one transaction may, and hides the rest.
func begin(ctx context.Context, tx Tx, actor access.Subject, removals ...Removal) (Gone, error) {
	w := work{tx: tx, rows: firstRows}
	for _, r := range removals {
		r.Actor, r.RequestID, r.At = actor, audit.RequestID(ctx), time.Now()
		done, err := w.step(ctx, &r)
		if err == nil && !done {
			err = tx.InsertRemoval(ctx, r)
		}
		if err != nil {
			return Gone{}, err
		}
	}
	return w.gone, nil
}

// subjectOf is a user or a service account as somebody who acts.
func subjectOf(o access.Object) access.Subject {
	p := access.PrincipalUser
	if o.Type == resource.ServiceAccount {
		p = access.PrincipalServiceAccount
	}
	return access.Subject{Principal: p, ID: o.ID}
}
