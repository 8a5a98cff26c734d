package departure

import (
	"context"
	"slices"
	"strings"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/change"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/token"
)

// work is what one transaction does for removals.
type work struct {
	tx Tx
	// rows is how many more the transaction may write.
	rows int
	gone Gone
}

// part is one kind of rows that hang on something.
type part struct {
	// each is how many rows it takes to delete one of them, and to tell of it.
	each int
	// delete deletes up to limit of them and returns how many.
	delete func(ctx context.Context, r *Removal, limit int) (int, error)
}

// step removes as much of something as the transaction may; true means that
// nothing is left of it.
func (w *work) step(ctx context.Context, r *Removal) (bool, error) {
	for _, p := range w.parts(r.Kind) {
		limit := w.rows / p.each
		if limit <= 0 {
			return false, nil
		}
		n, err := p.delete(ctx, r, limit)
		w.rows -= n * p.each
		if err != nil || n >= limit {
			return false, err
		}
	}
	return true, w.finish(ctx, r)
}

// parts are what hangs on something, in the order in which it goes.
func (w *work) parts(k Kind) []part {
	switch k {
	case OfSubject:
		return []part{{2, w.tokens}, {2, w.tokensMade}, {2, w.hostTokens}, {3, w.memberships}}
	case OfShare:
		return []part{{2, w.sharedRoles}}
	case OfGroup:
		return []part{{9, w.rolesOnGroup}, {4, w.rolesOfGroup}, {2, w.members}}
	case OfRunner:
		return []part{{2, w.belongings}, {6, w.rolesOnRunner}, {1, w.runnerTokens}, {1, w.runnerKeys}}
	case OfHost:
		return []part{{2, w.hostTokensOfHost}}
	default:
		return nil
	}
}

// finish deletes what everything hung on.
func (w *work) finish(ctx context.Context, r *Removal) error {
	switch r.Kind {
	case OfShare:
		if ok, err := w.tx.DeleteGroup(ctx, id.Group(r.ID)); err != nil || !ok {
			return err
		}
		return w.write(ctx, r, change.Record{Action: "group.delete", Event: event.Deleted, Object: r.Object})
	case OfGroup:
		_, err := w.tx.DeleteGroup(ctx, id.Group(r.ID))
		return err
	case OfRunner:
		_, err := w.tx.DeleteRunner(ctx, id.Runner(r.ID))
		return err
	default:
		return nil
	}
}

// write writes down that a part went.
func (w *work) write(ctx context.Context, r *Removal, what change.Record) error {
	what.Actor = r.Actor
	return change.Write(ctx, w.tx, what)
}

// writeDeleted writes down that objects went.
func (w *work) writeDeleted(ctx context.Context, r *Removal, objects []access.Object) error {
	for _, o := range objects {
		action := strings.TrimPrefix(o.Type.String(), "runner_") + ".delete"
		if err := w.write(ctx, r, change.Record{Action: action, Object: o, Event: event.Deleted}); err != nil {
			return err
		}
	}
	return nil
}

func (w *work) tokens(ctx context.Context, r *Removal, limit int) (int, error) {
	tokens, err := w.tx.DeleteTokensOf(ctx, subjectOf(r.Object), limit)
	return len(tokens), w.writeTokens(ctx, r, tokens, err)
}

// tokensMade ends what a subject that goes can have kept to act as somebody else.
func (w *work) tokensMade(ctx context.Context, r *Removal, limit int) (int, error) {
	tokens, err := w.tx.DeleteTokensMadeBy(ctx, r.Object.Organization, subjectOf(r.Object), limit)
	return len(tokens), w.writeTokens(ctx, r, tokens, err)
}

func (w *work) writeTokens(ctx context.Context, r *Removal, tokens []token.Record, err error) error {
	for _, t := range tokens {
		if record, visible := tokenRecord(t); visible && err == nil {
			err = w.write(ctx, r, record)
		}
	}
	return err
}

// tokenRecord is the end of a token. Access tokens of service accounts, which
// live for minutes, are in no list and end in silence.
func tokenRecord(t token.Record) (change.Record, bool) {
	r := change.Record{
		Event: event.Deleted, Creator: t.Creator,
		Object: access.Object{ID: string(t.ID), Organization: t.Organization, Owner: t.Subject},
	}
	switch t.Kind {
	case token.Personal:
		r.Action, r.Object.Type = "personal_access_token.delete", resource.PersonalAccessToken
	case token.ServiceAccount:
		r.Action, r.Object.Type = "service_account_token.delete", resource.ServiceAccountToken
	default:
		return r, false
	}
	return r, true
}

func (w *work) hostTokens(ctx context.Context, r *Removal, limit int) (int, error) {
	tokens, err := w.tx.DeleteHostTokensOf(ctx, r.Object.Organization, subjectOf(r.Object), limit)
	if err != nil {
		return 0, err
	}
	w.gone.hostTokens = append(w.gone.hostTokens, tokens...)
	return len(tokens), w.writeDeleted(ctx, r, tokens)
}

// hostTokensOfHost tells the owners' watchers, too, that it was theirs.
func (w *work) hostTokensOfHost(ctx context.Context, r *Removal, limit int) (int, error) {
	tokens, err := w.tx.DeleteHostTokens(ctx, *r, limit)
	for _, t := range tokens {
		o := r.Object.Of(t.Type, t.ID)
		o.Owner = t.Owner
		w.gone.hostTokens = append(w.gone.hostTokens, o)
		if err == nil {
			err = w.write(ctx, r, change.Record{Action: "host_authentication_token.delete", Object: o, Creator: t.Owner, Event: event.Deleted})
		}
	}
	return len(tokens), err
}

// memberships takes a subject out of its groups.
func (w *work) memberships(ctx context.Context, r *Removal, limit int) (int, error) {
	groups, err := w.tx.DeleteMembershipsOf(ctx, r.Object.Organization, subjectOf(r.Object), limit)
	for _, g := range groups {
		of := access.Object{Type: resource.Group, ID: string(g), Organization: r.Object.Organization}
		if err == nil {
			err = change.WriteMembership(ctx, w.tx, r.Actor, "group.member.remove", of, r.Object)
		}
	}
	return len(groups), err
}

// members empties a group.
func (w *work) members(ctx context.Context, r *Removal, limit int) (int, error) {
	members, err := w.tx.DeleteMembersOf(ctx, id.Group(r.ID), limit)
	for _, m := range members {
		if err == nil {
			err = w.write(ctx, r, change.Record{Action: "group.member.remove", Object: m})
		}
	}
	if len(members) > 0 {
		change.EmitMembership(w.tx, r.Object)
	}
	return len(members), err
}

// sharedRoles takes away what is shared with a subject that goes.
func (w *work) sharedRoles(ctx context.Context, r *Removal, limit int) (int, error) {
	roles, err := w.tx.DeleteRolesOf(ctx, id.Group(r.ID), limit)
	if err != nil {
		return 0, err
	}
	var gone []access.Object
	for _, role := range roles {
		gone = append(gone, role.Object)
	}
	return len(roles), w.writeDeleted(ctx, r, gone)
}

// rolesOfGroup takes away what a group may do.
func (w *work) rolesOfGroup(ctx context.Context, r *Removal, limit int) (int, error) {
	roles, err := w.tx.DeleteRolesOf(ctx, id.Group(r.ID), limit)
	if err != nil {
		return 0, err
	}
	return len(roles), w.writeRoles(ctx, r, roles)
}

func (w *work) writeRoles(ctx context.Context, r *Removal, roles []Role) error {
	for _, role := range roles {
		what := change.Record{Actor: r.Actor, Action: "role_assignment.delete", Object: role.Object, Event: event.Deleted}
		if err := change.WriteRole(ctx, w.tx, what, role.On); err != nil {
			return err
		}
	}
	return nil
}

// rolesOnGroup takes away what others may do to a group, and the groups that
// existed for that alone.
func (w *work) rolesOnGroup(ctx context.Context, r *Removal, limit int) (int, error) {
	roles, err := w.tx.DeleteRolesOn(ctx, r.Object, limit)
	if err != nil {
		return 0, err
	}
	for i := range roles {
		roles[i].On = r.Object
	}
	if err := w.writeRoles(ctx, r, roles); err != nil {
		return 0, err
	}
	shares, err := w.dissolve(ctx, r, roles)
	for _, s := range shares {
		w.gone.shares = append(w.gone.shares, s.Member)
		if err == nil {
			err = w.write(ctx, r, change.Record{Action: "group.member.remove", Object: s.Member})
		}
		change.EmitMembership(w.tx, s.Group)
		if err == nil {
			err = w.write(ctx, r, change.Record{Action: "group.delete", Object: s.Group, Event: event.Deleted})
		}
	}
	return len(roles), err
}

// rolesOnRunner does the same for a runner.
func (w *work) rolesOnRunner(ctx context.Context, r *Removal, limit int) (int, error) {
	roles, err := w.tx.DeleteRolesOn(ctx, r.Object, limit)
	if err != nil {
		return 0, err
	}
	var gone []access.Object
	for _, role := range roles {
		o := r.Object.Of(role.Object.Type, role.Object.ID)
		o.Group = role.Object.Group
		gone = append(gone, o)
	}
	shares, err := w.dissolve(ctx, r, roles)
	for _, s := range shares {
		gone = append(gone, r.Object.Of(resource.Group, s.Group.ID))
	}
	if err != nil {
		return 0, err
	}
	return len(roles), w.writeDeleted(ctx, r, gone)
}

// dissolve deletes the groups that existed for some roles alone.
func (w *work) dissolve(ctx context.Context, r *Removal, roles []Role) ([]Share, error) {
	var groups []id.Group
	for _, role := range roles {
		if role.Shared {
			groups = append(groups, role.Object.Group)
		}
	}
	if len(groups) == 0 {
		return nil, nil
	}
	slices.Sort(groups)
	return w.tx.DissolveShares(ctx, r.Object.Organization, slices.Compact(groups))
}

// belongings deletes what was set up on a runner.
func (w *work) belongings(ctx context.Context, r *Removal, limit int) (int, error) {
	belongings, err := w.tx.DeleteBelongings(ctx, id.Runner(r.ID), limit)
	if err != nil {
		return 0, err
	}
	var gone []access.Object
	for _, b := range belongings {
		o := r.Object.Of(b.Type, b.ID)
		o.Owner = b.Owner
		gone = append(gone, o)
	}
	return len(gone), w.writeDeleted(ctx, r, gone)
}

// runnerTokens end in silence, since the runner's end says it.
func (w *work) runnerTokens(ctx context.Context, r *Removal, limit int) (int, error) {
	tokens, err := w.tx.DeleteTokensOf(ctx, access.Subject{Principal: access.PrincipalRunner, ID: r.ID}, limit)
	return len(tokens), err
}

func (w *work) runnerKeys(ctx context.Context, r *Removal, limit int) (int, error) {
	return w.tx.DeleteKeysOf(ctx, id.Runner(r.ID), limit)
}
