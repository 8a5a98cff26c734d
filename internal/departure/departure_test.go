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
	tokens     []token.Record
	shares     []access.Object
	groups     []id.Group
	hostTokens []access.Object
	events     []event.Event
	entries    []audit.Entry
}

func (x *tx) Emit(e event.Event) { x.events = append(x.events, e) }

func (x *tx) InsertAuditEntry(_ context.Context, e audit.Entry) error {
	x.entries = append(x.entries, e)
	return nil
}

func (x *tx) DeleteTokensOf(context.Context, access.Subject) ([]token.Record, error) {
	return x.tokens, nil
}

func (x *tx) DeleteSharesOf(context.Context, id.Organization, access.Subject) ([]access.Object, error) {
	return x.shares, nil
}

func (x *tx) DeleteMembershipsOf(context.Context, id.Organization, access.Subject) ([]id.Group, error) {
	return x.groups, nil
}

func (x *tx) DeleteHostTokensOf(context.Context, id.Organization, access.Subject) ([]access.Object, error) {
	return x.hostTokens, nil
}

type links map[id.Runner][]string

func (l links) SecretsChanged(r id.Runner, names ...string) { l[r] = append(l[r], names...) }

func TestEveryPartThatPeopleSeeIsWrittenDown(t *testing.T) {
	gone := access.Subject{Principal: access.PrincipalServiceAccount, ID: "gone"}
	admin := access.Subject{Principal: access.PrincipalUser, ID: "admin"}
	x := &tx{
		tokens: []token.Record{
			{ID: "pat", Organization: "o", Kind: token.Personal, Subject: gone, Creator: admin},
			{ID: "long", Organization: "o", Kind: token.ServiceAccount, Subject: gone, Creator: gone},
			{ID: "short", Organization: "o", Kind: token.ServiceAccountAccess, Subject: gone, Creator: admin},
		},
		shares:     []access.Object{{Type: resource.RoleAssignment, ID: "a", Organization: "o"}, {Type: resource.Group, ID: "direct", Organization: "o"}},
		groups:     []id.Group{"g"},
		hostTokens: []access.Object{{Type: resource.HostAuthenticationToken, ID: "h", Organization: "o", Runner: "r", Owner: gone}},
	}
	what, err := departure.Write(t.Context(), x, admin, "o", gone)
	if err != nil {
		t.Fatal(err)
	}
	wantEvents := []event.Event{
		{Operation: event.Deleted, Creator: admin, Object: access.Object{Type: resource.PersonalAccessToken, ID: "pat", Organization: "o", Owner: gone}},
		{Operation: event.Deleted, Creator: gone, Object: access.Object{Type: resource.ServiceAccountToken, ID: "long", Organization: "o", Owner: gone}},
		{Operation: event.Deleted, Object: x.shares[0]},
		{Operation: event.Deleted, Object: x.shares[1]},
		{Operation: event.Deleted, Object: x.hostTokens[0]},
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
		"personal_access_token.delete personal_access_token/pat", "service_account_token.delete service_account_token/long",
		"role_assignment.delete role_assignment/a", "group.delete group/direct",
		"host_authentication_token.delete host_authentication_token/h",
		"group.member.remove group/g", "group.member.remove service_account/gone",
	}
	if diff := cmp.Diff(want, actions); diff != "" {
		t.Error(diff)
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
