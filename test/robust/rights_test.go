package robust_test

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/test/muster"
)

// atOnceMeans is how long a change of rights may take to reach a stream.
const atOnceMeans = 2 * time.Second

// right is one way to come to see a runner and to lose that again.
type right struct {
	account bool // it is a service account that has it
	// give lets somebody see the runner, and returns what takes that back.
	give func(t *testing.T, o *organization, who *observer, runner string) (takeBack func())
	// afterwards is what GetRunner answers then; "not_found" when it is empty.
	afterwards string
	// forGood is set when the right cannot be given to the same subject again.
	forGood bool
}

var rights = map[string]right{
	"a membership": {give: func(t *testing.T, o *organization, who *observer, runner string) func() {
		group := o.group(t)
		o.policy(t, runner, group, "RUNNER_ROLE_USER")
		membership := o.join(t, group, "PRINCIPAL_USER", who.id)
		return func() { o.call(t, groups+"DeleteMembership", object{"membershipId": membership}) }
	}},
	"a membership of a service account": {account: true, give: func(t *testing.T, o *organization, who *observer, runner string) func() {
		group := o.group(t)
		o.policy(t, runner, group, "RUNNER_ROLE_USER")
		membership := o.join(t, group, "PRINCIPAL_SERVICE_ACCOUNT", who.id)
		return func() { o.call(t, groups+"DeleteMembership", object{"membershipId": membership}) }
	}},
	"a policy": {give: func(t *testing.T, o *organization, who *observer, runner string) func() {
		group := o.group(t)
		o.join(t, group, "PRINCIPAL_USER", who.id)
		o.policy(t, runner, group, "RUNNER_ROLE_ADMIN")
		return func() { o.call(t, runners+"DeleteRunnerPolicy", object{"runnerId": runner, "groupId": group}) }
	}},
	"a role on the runner": {give: func(t *testing.T, o *organization, who *observer, runner string) func() {
		group := o.group(t)
		o.join(t, group, "PRINCIPAL_USER", who.id)
		assignment := o.call(t, groups+"CreateRoleAssignment", object{
			"groupId": group, "resourceType": "RESOURCE_TYPE_RUNNER", "resourceId": runner, "resourceRole": "RESOURCE_ROLE_RUNNER_CONFIGURATION_READER",
		}).text("assignment", "id")
		return func() { o.call(t, groups+"DeleteRoleAssignment", object{"assignmentId": assignment}) }
	}},
	"a role on the organization": {give: func(t *testing.T, o *organization, who *observer, _ string) func() {
		group := o.group(t)
		o.join(t, group, "PRINCIPAL_USER", who.id)
		assignment := o.call(t, groups+"CreateRoleAssignment", object{
			"groupId": group, "resourceType": "RESOURCE_TYPE_ORGANIZATION", "resourceId": o.id, "resourceRole": "RESOURCE_ROLE_ORG_RUNNERS_ADMIN",
		}).text("assignment", "id")
		return func() { o.call(t, groups+"DeleteRoleAssignment", object{"assignmentId": assignment}) }
	}},
	"being an admin": {give: func(t *testing.T, o *organization, who *observer, _ string) func() {
		role := func(role string) {
			o.call(t, orgs+"SetRole", object{"organizationId": o.id, "userId": who.id, "role": role})
		}
		role("ORGANIZATION_ROLE_ADMIN")
		return func() { role("ORGANIZATION_ROLE_MEMBER") }
	}},
	"a group": {give: func(t *testing.T, o *organization, who *observer, runner string) func() {
		group := o.group(t)
		o.policy(t, runner, group, "RUNNER_ROLE_USER")
		o.join(t, group, "PRINCIPAL_USER", who.id)
		return func() { o.call(t, groups+"DeleteGroup", object{"groupId": group}) }
	}},
	"a share": {give: func(t *testing.T, o *organization, who *observer, runner string) func() {
		share := object{"resourceType": "RESOURCE_TYPE_RUNNER", "resourceId": runner, "principal": "PRINCIPAL_USER", "principalId": who.id}
		o.call(t, groups+"ShareResourceWithPrincipal", with(share, []string{"role"}, "RESOURCE_ROLE_RUNNER_USER"))
		return func() { o.call(t, groups+"UnshareResourceWithPrincipal", share) }
	}},
	"being no suspended person": {afterwards: "unauthenticated", give: func(t *testing.T, o *organization, who *observer, runner string) func() {
		suspended := func(yes bool) { o.call(t, users+"SetSuspended", object{"userId": who.id, "suspended": yes}) }
		suspended(false)
		o.share(t, who, "PRINCIPAL_USER", runner)
		return func() { suspended(true) }
	}},
	"being there": {afterwards: "unauthenticated", forGood: true, give: func(t *testing.T, o *organization, who *observer, runner string) func() {
		o.share(t, who, "PRINCIPAL_USER", runner)
		return func() { o.call(t, users+"DeleteUser", object{"userId": who.id}) }
	}},
	"being a service account": {account: true, afterwards: "unauthenticated", forGood: true, give: func(t *testing.T, o *organization, who *observer, runner string) func() {
		o.share(t, who, "PRINCIPAL_SERVICE_ACCOUNT", runner)
		return func() { o.call(t, accounts+"DeleteServiceAccount", object{"serviceAccountId": who.id}) }
	}},
}

// share shares a runner with somebody.
func (o *organization) share(t *testing.T, who *observer, principal, runner string) {
	t.Helper()
	o.call(t, groups+"ShareResourceWithPrincipal", object{
		"resourceType": "RESOURCE_TYPE_RUNNER", "resourceId": runner, "principal": principal, "principalId": who.id, "role": "RESOURCE_ROLE_RUNNER_USER",
	})
}

// Rights that are given or taken while streams are open count at once: for the
// streams, and for the next call.
func TestRightsThatChangeWhileStreamsAreOpen(t *testing.T) {
	t.Parallel()
	for engine, options := range engines {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			s := muster.Serve(t, options(t))
			for name, r := range rights {
				t.Run(name, func(t *testing.T) { r.comesAndGoes(t, s) })
			}
			unharmed(t, s)
		})
	}
}

func (r right) comesAndGoes(t *testing.T, s *muster.Server) {
	own := organizationOf(t, s, s.Token)
	// Each in an organization of its own, so that nobody else's changes are seen.
	made := own.call(t, admins+"InstallationService/CreateOrganization", object{"name": "Its own", "adminName": "Ada", "adminEmail": "ada@example.com"})
	o := organizationOf(t, s, made.text("token"))
	who := o.person(t, "Somebody")
	if r.account {
		who = o.account(t, "robot")
	}
	runner, _ := muster.NewAPI(s.URL, o.token).NewRunner(t, "comes and goes")
	class := o.call(t, config+"CreateEnvironmentClass", object{"runnerId": runner, "displayName": "Small", "description": "A small one"}).text("id")
	touch := func() {
		t.Helper()
		o.call(t, runners+"UpdateRunner", object{"runnerId": runner, "name": "touched"})
		o.call(t, config+"UpdateEnvironmentClass", object{"environmentClassId": class, "displayName": "Touched"})
		o.mark(t)
	}

	who.expect(t, runner, class, "not_found")
	for round := range 3 {
		if round > 0 && r.forGood {
			return
		}
		var takeBack func()
		if who.code(t, runner) != "unauthenticated" {
			// A stream that is open when the right is given goes on, and shows the
			// runner, or ends, so that its client opens it again.
			who.watch(t)
			takeBack = r.give(t, o, who, runner)
		} else {
			takeBack = r.give(t, o, who, runner)
			who.watch(t)
		}
		who.expect(t, runner, class, "ok")
		touch()
		who.mayMiss(t, func(seen []string) error {
			if !slices.Contains(seen, "RUNNER UPDATE "+runner) || !slices.Contains(seen, "ENVIRONMENT_CLASS UPDATE "+class) {
				return fmt.Errorf("saw only %v", seen)
			}
			return nil
		})
		if ended, _ := who.Ended(); ended {
			who.watch(t)
			touch()
			muster.Until(t, atOnceMeans, func() error {
				if seen := who.all(); !slices.Contains(seen, "RUNNER UPDATE "+runner) || !slices.Contains(seen, "ENVIRONMENT_CLASS UPDATE "+class) {
					return fmt.Errorf("a stream that was opened after the right was given saw only %v", seen)
				}
				return nil
			})
		}

		takeBack()
		who.expect(t, runner, class, cmp.Or(r.afterwards, "not_found"))
		// What comes from now on is new.
		before := len(who.Seen())
		touch()
		who.mayMiss(t, func([]string) error {
			if len(who.seen(gitpodv1.ResourceType_RESOURCE_TYPE_ORGANIZATION)) < 2 {
				return errors.New("the mark was not seen")
			}
			return nil
		})
		for _, e := range who.Seen()[before:] {
			if id := e.GetResourceId(); id == runner && e.GetResourceType() == gitpodv1.ResourceType_RESOURCE_TYPE_RUNNER || id == class {
				t.Errorf("after the right was taken: %s", said(e))
			}
		}
		if r.afterwards != "" {
			if ended, _ := who.Ended(); !ended {
				t.Error("the stream of somebody who may not call is still open")
			}
		}
	}
}

// mayMiss waits, as long as at once takes, until a condition holds for what was
// seen or the stream ended.
func (w *observer) mayMiss(t *testing.T, condition func(seen []string) error) {
	t.Helper()
	muster.Until(t, atOnceMeans, func() error {
		if ended, _ := w.Ended(); ended {
			return nil
		}
		return condition(w.all())
	})
}

// all lists all events so far.
func (w *observer) all() []string {
	var all []string
	for _, e := range w.Seen() {
		all = append(all, said(e))
	}
	return all
}

// code is that of the error with which a runner is read; empty for none.
func (w *observer) code(t *testing.T, runner string) string {
	t.Helper()
	_, reply := w.exchange(t, "/"+runners+"GetRunner", "Bearer "+w.token, object{"runnerId": runner})
	return answer(reply).text("code")
}

// expect reads a runner and its class, alone and in their lists.
func (w *observer) expect(t *testing.T, runner, class, code string) {
	t.Helper()
	for _, tt := range []struct {
		procedure string
		body      object
		id        string
	}{
		{runners + "GetRunner", object{"runnerId": runner}, runner},
		{config + "GetEnvironmentClass", object{"environmentClassId": class}, class},
		{runners + "ListRunners", object{}, runner},
		{config + "ListEnvironmentClasses", object{}, class},
	} {
		status, reply := w.exchange(t, "/"+tt.procedure, "Bearer "+w.token, tt.body)
		got := answer(reply).text("code")
		switch {
		case status == http.StatusOK && strings.Contains(string(reply), tt.id):
			got = "ok"
		case status == http.StatusOK:
			got = "not_found" // it is not in the list
		}
		if got != code {
			t.Errorf("%s: %s, want %s: %d %s", tt.procedure, got, code, status, reply)
		}
	}
}
