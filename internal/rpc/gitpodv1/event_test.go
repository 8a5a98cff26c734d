package gitpodv1

import (
	"testing"

	"github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/resource"
)

const (
	runnerA = "0192aaaa-0000-7000-8000-00000000000a"
	runnerB = "0192aaaa-0000-7000-8000-00000000000b"
	ann     = "0192cccc-0000-7000-8000-00000000000a"
	bob     = "0192cccc-0000-7000-8000-00000000000b"
)

func person(id string) access.Subject {
	return access.Subject{Principal: access.PrincipalUser, ID: id}
}

// Who may know of an event is decided by the event alone: the object may be gone.
func TestWhoMayWatchWhat(t *testing.T) {
	admin := access.Caller{Subject: person(bob), Organization: "o", Standing: access.OfRole(resource.RoleOrgAdmin)}
	member := access.Caller{Subject: person(ann), Organization: "o", Standing: access.OfRole(resource.RoleOrgMember)}
	foreign := access.Caller{Subject: person(ann), Organization: "other", Standing: access.OfRole(resource.RoleOrgAdmin)}
	for name, tt := range map[string]struct {
		e                      event.Event
		admin, member, foreign bool
	}{
		"her runner":         {event.Event{Object: access.Object{Type: resource.Runner, ID: runnerA, Creator: person(ann)}}, true, true, false},
		"her deleted runner": {event.Event{Object: access.Object{Type: resource.Runner, ID: runnerA, Creator: person(ann)}, Operation: event.Deleted}, true, true, false},
		"another's runner":   {event.Event{Object: access.Object{Type: resource.Runner, ID: runnerA, Creator: person(bob)}}, true, false, false},
		"nobody's runner":    {event.Event{Object: access.Object{Type: resource.Runner, ID: runnerA}}, true, false, false},
		"her token":          {event.Event{Object: access.Object{Type: resource.PersonalAccessToken, Owner: person(ann)}}, true, true, false},
		"another's token":    {event.Event{Object: access.Object{Type: resource.PersonalAccessToken, Owner: person(bob)}}, true, false, false},
		"a member":           {event.Event{Object: access.Object{Type: resource.User, ID: ann}}, true, true, false},
		"something new":      {event.Event{Object: access.Object{Type: 99, Creator: person(ann)}}, false, false, false},
	} {
		tt.e.Object.Organization = "o"
		for who, want := range map[*access.Caller]bool{&admin: tt.admin, &member: tt.member, &foreign: tt.foreign} {
			if got := access.Sees(*who, tt.e.Object); got != want {
				t.Errorf("%s, watched by %s in %q with %v: %v", name, who.ID, who.Organization, who.Grants, got)
			}
		}
	}
}

func TestFilters(t *testing.T) {
	of := func(fs ...*gitpodv1.WatchEventsRequest_ResourceTypeFilter) filters {
		t.Helper()
		got, err := filtersOf(&gitpodv1.WatchEventsRequest{ResourceTypeFilters: fs})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	runners := gitpodv1.ResourceType_RESOURCE_TYPE_RUNNER
	a := event.Event{Object: access.Object{Type: resource.Runner, ID: runnerA}, Operation: event.Updated, Creator: person(ann)}
	deleted := a
	deleted.Operation = event.Deleted
	orphan := a
	orphan.Creator = access.Subject{}
	for name, tt := range map[string]struct {
		filters filters
		event   event.Event
		want    bool
	}{
		"none":                       {of(), a, true},
		"the type":                   {of(&gitpodv1.WatchEventsRequest_ResourceTypeFilter{ResourceType: runners}), a, true},
		"another type":               {of(&gitpodv1.WatchEventsRequest_ResourceTypeFilter{ResourceType: gitpodv1.ResourceType_RESOURCE_TYPE_GROUP}), a, false},
		"the id":                     {of(&gitpodv1.WatchEventsRequest_ResourceTypeFilter{ResourceType: runners, ResourceIds: []string{runnerB, runnerA}}), a, true},
		"the id in upper case":       {of(&gitpodv1.WatchEventsRequest_ResourceTypeFilter{ResourceType: runners, ResourceIds: []string{"0192AAAA-0000-7000-8000-00000000000A"}}), a, true},
		"another id":                 {of(&gitpodv1.WatchEventsRequest_ResourceTypeFilter{ResourceType: runners, ResourceIds: []string{runnerB}}), a, false},
		"the creator":                {of(&gitpodv1.WatchEventsRequest_ResourceTypeFilter{ResourceType: runners, CreatorIds: []string{ann}}), a, true},
		"another creator":            {of(&gitpodv1.WatchEventsRequest_ResourceTypeFilter{ResourceType: runners, CreatorIds: []string{bob}}), a, false},
		"another creator, deleted":   {of(&gitpodv1.WatchEventsRequest_ResourceTypeFilter{ResourceType: runners, CreatorIds: []string{bob}}), deleted, true},
		"a creator, of nobody's":     {of(&gitpodv1.WatchEventsRequest_ResourceTypeFilter{ResourceType: runners, CreatorIds: []string{ann}}), orphan, false},
		"the creator and another id": {of(&gitpodv1.WatchEventsRequest_ResourceTypeFilter{ResourceType: runners, CreatorIds: []string{ann}, ResourceIds: []string{runnerB}}), a, false},
		"one of two":                 {of(&gitpodv1.WatchEventsRequest_ResourceTypeFilter{ResourceType: gitpodv1.ResourceType_RESOURCE_TYPE_USER}, &gitpodv1.WatchEventsRequest_ResourceTypeFilter{ResourceType: runners}), a, true},
	} {
		if got := tt.filters.want(tt.event); got != tt.want {
			t.Errorf("filter on %s: %v", name, got)
		}
	}
}

func TestEnvironmentScope(t *testing.T) {
	scope := func(id string) *gitpodv1.WatchEventsRequest_EnvironmentId {
		return &gitpodv1.WatchEventsRequest_EnvironmentId{EnvironmentId: id}
	}
	for name, tt := range map[string]struct {
		req  *gitpodv1.WatchEventsRequest
		want fault.Code
	}{
		"unknown":     {&gitpodv1.WatchEventsRequest{Scope: scope(runnerA)}, fault.NotFound},
		"no id":       {&gitpodv1.WatchEventsRequest{Scope: scope("x")}, fault.InvalidArgument},
		"with filter": {&gitpodv1.WatchEventsRequest{Scope: scope(runnerA), ResourceTypeFilters: []*gitpodv1.WatchEventsRequest_ResourceTypeFilter{{ResourceType: 2}}}, fault.InvalidArgument},
	} {
		if _, err := filtersOf(tt.req); !fault.Is(err, tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
