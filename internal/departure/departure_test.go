package departure_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/audit"
	"github.com/musterhq/muster/internal/departure"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/token"
)

// tx has what belongs to a subject, and notes what is written down.
type tx struct {
	departure.Tx // nothing else is called

	tokens     []token.Record
	made       []token.Record
	shares     []departure.Role
	groups     []id.Group
	hostTokens []access.Object
	removals   []departure.Removal
	events     []event.Event
	entries    []audit.Entry
}

func (x *tx) Emit(e event.Event) { x.events = append(x.events, e) }

func (x *tx) InsertAuditEntry(_ context.Context, e audit.Entry) error {
	x.entries = append(x.entries, e)
	return nil
}

// upTo takes the first values away.
func upTo[T any](from *[]T, limit int) ([]T, error) {
	n := min(limit, len(*from))
	taken := (*from)[:n]
	*from = (*from)[n:]
	return taken, nil
}

func (x *tx) DeleteTokensOf(_ context.Context, _ access.Subject, limit int) ([]token.Record, error) {
	return upTo(&x.tokens, limit)
}

func (x *tx) DeleteTokensMadeBy(_ context.Context, _ id.Organization, _ access.Subject, limit int) ([]token.Record, error) {
	return upTo(&x.made, limit)
}

func (x *tx) ShareOf(context.Context, id.Organization, access.Subject) (access.Object, bool, error) {
	return access.Object{Type: resource.Group, ID: "direct", Organization: "o"}, len(x.shares) > 0, nil
}

func (x *tx) DeleteRolesOf(_ context.Context, _ id.Group, limit int) ([]departure.Role, error) {
	return upTo(&x.shares, limit)
}

func (x *tx) DeleteGroup(context.Context, id.Group) (bool, error) { return true, nil }

func (x *tx) DeleteMembershipsOf(_ context.Context, _ id.Organization, _ access.Subject, limit int) ([]id.Group, error) {
	return upTo(&x.groups, limit)
}

func (x *tx) DeleteHostTokensOf(_ context.Context, _ id.Organization, _ access.Subject, limit int) ([]access.Object, error) {
	return upTo(&x.hostTokens, limit)
}

func (x *tx) InsertRemoval(_ context.Context, r departure.Removal) error {
	x.removals = append(x.removals, r)
	return nil
}

type links map[id.Runner][]string

func (l links) SecretsChanged(r id.Runner, names ...string) { l[r] = append(l[r], names...) }

func TestEveryPartThatPeopleSeeIsWrittenDown(t *testing.T) {
	gone := access.Subject{Principal: access.PrincipalServiceAccount, ID: "gone"}
	admin := access.Subject{Principal: access.PrincipalUser, ID: "admin"}
	hostToken := access.Object{Type: resource.HostAuthenticationToken, ID: "h", Organization: "o", Runner: "r", Owner: gone}
	x := &tx{
		tokens: []token.Record{
			{ID: "pat", Organization: "o", Kind: token.Personal, Subject: gone, Creator: admin},
			{ID: "long", Organization: "o", Kind: token.ServiceAccount, Subject: gone, Creator: gone},
			{ID: "short", Organization: "o", Kind: token.ServiceAccountAccess, Subject: gone, Creator: admin},
		},
		shares:     []departure.Role{{Object: access.Object{Type: resource.RoleAssignment, ID: "a", Organization: "o"}}},
		groups:     []id.Group{"g"},
		hostTokens: []access.Object{hostToken},
	}
	what, err := departure.Subject(t.Context(), x, admin, "o", gone)
	if err != nil {
		t.Fatal(err)
	}
	wantEvents := []event.Event{
		{Operation: event.Deleted, Object: access.Object{Type: resource.RoleAssignment, ID: "a", Organization: "o"}},
		{Operation: event.Deleted, Object: access.Object{Type: resource.Group, ID: "direct", Organization: "o"}},
		{Operation: event.Deleted, Creator: admin, Object: access.Object{Type: resource.PersonalAccessToken, ID: "pat", Organization: "o", Owner: gone}},
		{Operation: event.Deleted, Creator: gone, Object: access.Object{Type: resource.ServiceAccountToken, ID: "long", Organization: "o", Owner: gone}},
		{Operation: event.Deleted, Object: hostToken},
		{Operation: event.Updated, Object: access.Object{Type: resource.GroupMembershipChanged, ID: "g", Organization: "o"}},
	}
	if diff := cmp.Diff(wantEvents, x.events); diff != "" {
		t.Error(diff)
	}
	var actions []string
	for _, e := range x.entries {
		if e.Actor != admin || e.Organization != "o" {
			t.Errorf("%s: by %+v in %s", e.Action, e.Actor, e.Organization)
		}
		actions = append(actions, e.Action+" "+e.SubjectType.String()+"/"+e.SubjectID)
	}
	want := []string{
		"role_assignment.delete role_assignment/a", "group.delete group/direct",
		"personal_access_token.delete personal_access_token/pat", "service_account_token.delete service_account_token/long",
		"host_authentication_token.delete host_authentication_token/h",
		"group.member.remove group/g", "group.member.remove service_account/gone",
	}
	if diff := cmp.Diff(want, actions); diff != "" {
		t.Error(diff)
	}
	if len(x.removals) > 0 {
		t.Errorf("left %+v for later", x.removals)
	}
	told := links{}
	what.Tell(told)
	if diff := cmp.Diff(links{"r": {"host_authentication_token/h/"}}, told); diff != "" {
		t.Error(diff)
	}
	told = links{}
	departure.Gone{}.Tell(told)
	if len(told) > 0 {
		t.Errorf("told %v of nothing", told)
	}
}

func TestALotIsLeftForLater(t *testing.T) {
	gone := access.Subject{Principal: access.PrincipalUser, ID: "gone"}
	for _, tokens := range []int{10, 10_000} {
		x := &tx{tokens: make([]token.Record, tokens), groups: []id.Group{"g"}}
		for i := range x.tokens {
			x.tokens[i].Kind = token.Personal
		}
		if _, err := departure.Subject(t.Context(), x, gone, "o", gone); err != nil {
			t.Fatal(err)
		}
		deleted := tokens - len(x.tokens)
		if rows := deleted + len(x.entries); rows > 450 {
			t.Errorf("%d tokens: %d rows in the first transaction", tokens, rows)
		}
		if all := deleted == tokens; all != (len(x.removals) == 0) {
			t.Errorf("%d tokens: %d deleted, and left for later: %+v", tokens, deleted, x.removals)
		}
	}
}
