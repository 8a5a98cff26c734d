package sqlstore

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/departure"
	"github.com/musterhq/muster/internal/group"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/store/sqlstore/query"
)

var _ departure.Tx = (*Tx)(nil)

// Departures returns the store as package departure sees it.
func (s *Store) Departures() departure.Store { return departureStore{s} }

type departureStore struct{ *Store }

func (s departureStore) Write(ctx context.Context, fn func(departure.Tx) error) error {
	return s.write(ctx, func(tx *Tx) error { return fn(tx) })
}

// Removals returns what is being removed, oldest first.
func (r reads) Removals(ctx context.Context, limit int) ([]departure.Removal, error) {
	rows, err := r.q.ListRemovals(ctx, atMost(limit))
	return all(r, rows, err, "listing what is being removed", removalOf)
}

// InsertRemoval hides what is left of something.
func (tx *Tx) InsertRemoval(ctx context.Context, r departure.Removal) error {
	const doing = "hiding what is being removed"
	object, err := json.Marshal(r.Object)
	if err != nil {
		return tx.explained(err, doing)
	}
	p := query.InsertRemovalParams{
		ID: r.ID, OrganizationID: string(r.Object.Organization), Kind: int32(r.Kind), Object: string(object),
		ActorPrincipal: int32(r.Actor.Principal), ActorID: r.Actor.ID, RequestID: r.RequestID, RemovedAt: micros(r.At), Step: r.Step,
		Sources: int32(r.Sources), Generation: r.Generation,
	}
	switch r.Kind {
	case departure.OfHost:
		p.HostRunner, p.HostLower = r.Object.ID, strings.ToLower(r.Host)
	case departure.OfRunner:
		tx.changed = append(tx.changed, id.Runner(r.ID))
	case departure.OfGroup, departure.OfShare:
		// The roles of the group are part of any number of runners.
		tx.changedAny = true
		if err := tx.q.FreeGroupName(ctx, "removed-"+r.ID, r.ID); err != nil {
			return tx.explained(err, doing)
		}
	case departure.OfSubject: // nothing of it is part of something else
	}
	return tx.explained(tx.q.InsertRemoval(ctx, p), doing)
}

// TakeRemoval takes the next step of a removal; false means that somebody else
// has.
func (tx *Tx) TakeRemoval(ctx context.Context, r departure.Removal) (bool, error) {
	n, err := tx.q.TakeRemoval(ctx, r.ID, r.Step)
	return n > 0, tx.explained(err, "going on with a removal")
}

// DeleteRemoval ends a removal.
func (tx *Tx) DeleteRemoval(ctx context.Context, r departure.Removal) error {
	return tx.explained(tx.q.DeleteRemoval(ctx, r.ID), "finishing a removal")
}

func removalOf(row query.Removal) (departure.Removal, error) {
	r := departure.Removal{
		Kind: departure.Kind(row.Kind), ID: row.ID, Actor: subject(row.ActorPrincipal, row.ActorID), RequestID: row.RequestID,
		Host: row.HostLower, Sources: departure.Sources(row.Sources), Generation: row.Generation, At: moment(row.RemovedAt), Step: row.Step,
	}
	if err := json.Unmarshal([]byte(row.Object), &r.Object); err != nil {
		return r, fmt.Errorf("reading what is removed as %s: %w", row.ID, err)
	}
	return r, nil
}

// NextHostGeneration is later than that of all credentials for a host.
func (tx *Tx) NextHostGeneration(ctx context.Context, r id.Runner, host string) (int64, error) {
	n, err := tx.q.NextHostGeneration(ctx, string(r), strings.ToLower(host))
	return n, tx.explained(err, "reading the credentials for a host")
}

// DeleteMembershipsOf takes s out of groups, and returns those.
func (tx *Tx) DeleteMembershipsOf(ctx context.Context, o id.Organization, s access.Subject, limit int) ([]id.Group, error) {
	rows, err := tx.q.DeleteMembershipsOfSubject(ctx, query.DeleteMembershipsOfSubjectParams{
		OrganizationID: string(o), SubjectID: s.ID, MaxRows: atMost(limit),
	})
	return all(tx.reads, rows, err, "taking a subject out of its groups", func(g string) (id.Group, error) { return id.Group(g), nil })
}

// DeleteMembersOf takes members out of a group, and returns them without names.
func (tx *Tx) DeleteMembersOf(ctx context.Context, g id.Group, limit int) ([]access.Object, error) {
	rows, err := tx.q.DeleteMembershipsOfGroup(ctx, string(g), atMost(limit))
	return all(tx.reads, rows, err, "emptying a group", func(row query.Membership) (access.Object, error) { return memberOf(row), nil })
}

func memberOf(row query.Membership) access.Object {
	return access.Object{Type: access.Principal(row.SubjectPrincipal).Type(), ID: row.SubjectID, Organization: id.Organization(row.OrganizationID)}
}

// DeleteHostTokensOf deletes credentials of s for source code hosts.
func (tx *Tx) DeleteHostTokensOf(ctx context.Context, o id.Organization, s access.Subject, limit int) ([]access.Object, error) {
	rows, err := tx.q.DeleteHostTokensOfSubject(ctx, query.DeleteHostTokensOfSubjectParams{
		OrganizationID: string(o), SubjectID: s.ID, MaxRows: atMost(limit),
	})
	if err != nil {
		return nil, tx.explained(err, "deleting credentials for hosts")
	}
	runners := map[string]access.Object{}
	var gone []access.Object
	for _, row := range rows {
		on, known := runners[row.RunnerID]
		if !known {
			r, _, err := tx.Runner(ctx, id.Runner(row.RunnerID))
			if err != nil {
				return nil, err
			}
			on = r.Object()
			runners[row.RunnerID] = on
		}
		t := on.Of(resource.HostAuthenticationToken, row.ID)
		t.Owner = s
		gone = append(gone, t)
	}
	return gone, nil
}

// DeleteHostTokens deletes credentials for a host on a runner.
func (tx *Tx) DeleteHostTokens(ctx context.Context, r departure.Removal, limit int) ([]access.Object, error) {
	rows, err := tx.q.DeleteHostTokensOfHost(ctx, query.DeleteHostTokensOfHostParams{
		RunnerID: r.Object.ID, HostLower: strings.ToLower(r.Host), Generation: r.Generation, Sources: int32(r.Sources), MaxRows: atMost(limit),
	})
	gone, err := all(tx.reads, rows, err, "deleting credentials for a host", func(row query.DeleteHostTokensOfHostRow) (access.Object, error) {
		return access.Object{Type: resource.HostAuthenticationToken, ID: row.ID, Owner: subject(row.SubjectPrincipal, row.SubjectID)}, nil
	})
	slices.SortFunc(gone, func(a, b access.Object) int { return strings.Compare(a.ID, b.ID) })
	return gone, err
}

// DeleteBelongings deletes what belongs to a runner, apart from the roles on it.
func (tx *Tx) DeleteBelongings(ctx context.Context, r id.Runner, limit int) ([]access.Object, error) {
	var gone []access.Object
	for _, b := range []struct {
		t      resource.Type
		delete func(context.Context, string, int32) ([]string, error)
	}{
		{resource.EnvironmentClass, tx.q.DeleteEnvironmentClassesOfRunner},
		{resource.RunnerSCMIntegration, tx.q.DeleteSCMIntegrationsOfRunner},
		{resource.RunnerLLMIntegration, tx.q.DeleteLLMIntegrationsOfRunner},
	} {
		rows, err := b.delete(ctx, string(r), atMost(limit-len(gone)))
		if err != nil {
			return nil, tx.explained(err, "deleting what belongs to a runner")
		}
		for _, row := range rows {
			gone = append(gone, access.Object{Type: b.t, ID: row})
		}
	}
	rows, err := tx.q.DeleteHostTokensOfRunner(ctx, string(r), atMost(limit-len(gone)))
	for _, row := range rows {
		gone = append(gone, access.Object{Type: resource.HostAuthenticationToken, ID: row.ID, Owner: subject(row.SubjectPrincipal, row.SubjectID)})
	}
	return gone, tx.explained(err, "deleting what belongs to a runner")
}

// DeleteKeysOf deletes lines of the log of a runner's keys, oldest first.
func (tx *Tx) DeleteKeysOf(ctx context.Context, r id.Runner, limit int) (int, error) {
	n, err := tx.q.DeleteKeysOfRunner(ctx, string(r), int64(limit))
	return int(n), tx.explained(err, "deleting the log of a runner's keys")
}

// DeleteRolesOf takes away roles that a group has, and returns them with their
// resources as they were.
func (tx *Tx) DeleteRolesOf(ctx context.Context, g id.Group, limit int) ([]departure.Role, error) {
	rows, err := tx.q.ListRolesToDelete(ctx, string(g), atMost(limit))
	if err != nil {
		return nil, tx.explained(err, "taking away the roles of a group")
	}
	var gone []departure.Role
	for _, row := range rows {
		a, err := assignmentOf(withoutShare(row))
		if err != nil {
			return nil, tx.explained(err, "taking away the roles of a group")
		}
		on, found, err := tx.Object(ctx, a.Organization, a.Type, a.Resource)
		if err != nil {
			return nil, err
		}
		if !found {
			on = access.Object{Type: a.Type, ID: a.Resource, Organization: a.Organization}
		}
		on = withGrant(on, a)
		ok, err := tx.DeleteAssignment(ctx, a)
		if err != nil {
			return nil, err
		}
		if ok {
			gone = append(gone, departure.Role{Object: a.Object(on), On: on})
		}
	}
	return gone, nil
}

// withGrant is a resource with a role that a group had until now: it is hidden when
// the group is, and its members may know that it ends.
func withGrant(on access.Object, a group.Assignment) access.Object {
	g := access.Grant{Group: a.Group, Role: a.Role}
	if (a.Type == resource.Runner || a.Type == resource.Group) && !slices.Contains(on.Grants, g) {
		on.Grants = append(slices.Clip(on.Grants), g)
	}
	return on
}

// DeleteRolesOn takes away roles that groups have on a resource. The groups that
// share something with one subject are locked before, as whoever shares does.
func (tx *Tx) DeleteRolesOn(ctx context.Context, on access.Object, limit int) ([]departure.Role, error) {
	const doing = "taking away the roles on something"
	rows, err := tx.q.ListRolesOnToDelete(ctx, query.ListRolesOnToDeleteParams{
		ResourceID: on.ID, ResourceType: int32(on.Type), MaxRows: atMost(limit),
	})
	if err != nil {
		return nil, tx.explained(err, doing)
	}
	var shares []string
	for _, row := range rows {
		if row.Direct != 0 {
			shares = append(shares, row.GroupID)
		}
	}
	slices.Sort(shares)
	for _, g := range slices.Compact(shares) {
		if _, err := tx.LockGroup(ctx, on.Organization, id.Group(g)); err != nil {
			return nil, err
		}
	}
	var gone []departure.Role
	for _, row := range rows {
		a, err := assignmentOf(withoutShare(query.ListRolesToDeleteRow(row)))
		if err != nil {
			return nil, tx.explained(err, doing)
		}
		ok, err := tx.DeleteAssignment(ctx, a)
		if err != nil {
			return nil, err
		}
		if ok {
			gone = append(gone, departure.Role{Object: a.Object(on), Shared: row.Direct != 0})
		}
	}
	return gone, nil
}

func withoutShare(row query.ListRolesToDeleteRow) query.RoleAssignment {
	return query.RoleAssignment{
		ID: row.ID, OrganizationID: row.OrganizationID, GroupID: row.GroupID, ResourceType: row.ResourceType, ResourceID: row.ResourceID,
		ResourceRole: row.ResourceRole, Slot: row.Slot, CreatedAt: row.CreatedAt, Revision: row.Revision,
		RunnerID: row.RunnerID, RunnerCreatedAt: row.RunnerCreatedAt,
	}
}

// ShareOf locks and returns the group that exists to share something with a
// subject.
func (tx *Tx) ShareOf(ctx context.Context, o id.Organization, s access.Subject) (access.Object, bool, error) {
	g, found, err := tx.DirectGroup(ctx, o, s)
	if err != nil || !found {
		return access.Object{}, false, err
	}
	found, err = tx.LockGroup(ctx, o, g.ID)
	return g.Object(), found, err
}

// DissolveShares deletes those of some groups that share nothing any more. They
// are locked.
func (tx *Tx) DissolveShares(ctx context.Context, o id.Organization, groups []id.Group) ([]departure.Share, error) {
	var gone []departure.Share
	for _, g := range groups {
		roles, err := tx.RolesLeft(ctx, g)
		if err != nil || roles > 0 {
			if err != nil {
				return nil, err
			}
			continue
		}
		found, ok, err := tx.Group(ctx, o, g)
		if err != nil {
			return nil, err
		}
		if !ok || found.Direct.ID == "" {
			continue // it is being removed
		}
		deleted, err := tx.DeleteGroup(ctx, g)
		if err != nil {
			return nil, err
		}
		if deleted {
			member := access.Object{Type: found.Direct.Principal.Type(), ID: found.Direct.ID, Organization: o}
			gone = append(gone, departure.Share{Group: found.Object(), Member: member})
		}
	}
	return gone, nil
}

// RolesLeft tells with 1 whether a group has any role, also on what is being
// removed; 0 is none.
func (r reads) RolesLeft(ctx context.Context, g id.Group) (int64, error) {
	n, err := r.q.CountRolesOfGroup(ctx, string(g))
	return n, r.explained(err, "counting the roles of a group")
}
