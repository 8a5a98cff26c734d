package robust_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/gen/gitpod/v1/gitpodv1connect"
	adminv1 "github.com/musterhq/muster/gen/muster/admin/v1"
	"github.com/musterhq/muster/gen/muster/admin/v1/adminv1connect"
	"github.com/musterhq/muster/test/muster"
)

// people is an organization with an admin and a member.
type people struct {
	t            *testing.T
	s            *muster.Server
	admin        *muster.API
	groups       gitpodv1connect.GroupServiceClient
	organization string
	adminID      string
	names        int
}

func newPeople(t *testing.T, options muster.ServerOptions) *people {
	t.Helper()
	s := muster.Serve(t, options)
	p := &people{t: t, s: s, admin: s.Admin()}
	p.groups = gitpodv1connect.NewGroupServiceClient(p.admin.HTTP, s.URL)
	me, err := p.admin.Identities.GetAuthenticatedIdentity(t.Context(), connect.NewRequest(&gitpodv1.GetAuthenticatedIdentityRequest{}))
	p.must(err)
	p.organization, p.adminID = me.Msg.GetOrganizationId(), me.Msg.GetSubject().GetId()
	return p
}

func (p *people) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *people) name(what string) string {
	p.names++
	return fmt.Sprintf("%s %d", what, p.names)
}

// member adds a person and returns them with their id.
func (p *people) member() (*muster.API, string) {
	p.t.Helper()
	name := p.name("member")
	made, err := p.admin.Members.AddMember(p.t.Context(), connect.NewRequest(&adminv1.AddMemberRequest{
		Name: name, Email: fmt.Sprintf("m%d@example.com", p.names), Role: gitpodv1.OrganizationRole_ORGANIZATION_ROLE_MEMBER,
	}))
	p.must(err)
	return muster.NewAPI(p.s.URL, made.Msg.GetToken()), made.Msg.GetMember().GetUserId()
}

func (p *people) group() string {
	p.t.Helper()
	made, err := p.groups.CreateGroup(p.t.Context(), connect.NewRequest(&gitpodv1.CreateGroupRequest{OrganizationId: p.organization, Name: p.name("group")}))
	p.must(err)
	return made.Msg.GetGroup().GetId()
}

// join puts a user into a group and returns the membership.
func (p *people) join(group, user string) string {
	p.t.Helper()
	made, err := p.groups.CreateMembership(p.t.Context(), connect.NewRequest(&gitpodv1.CreateMembershipRequest{
		GroupId: group, Subject: &gitpodv1.Subject{Id: user, Principal: gitpodv1.Principal_PRINCIPAL_USER},
	}))
	p.must(err)
	return made.Msg.GetMember().GetId()
}

func (p *people) leave(membership string) {
	p.t.Helper()
	_, err := p.groups.DeleteMembership(p.t.Context(), connect.NewRequest(&gitpodv1.DeleteMembershipRequest{MembershipId: membership}))
	p.must(err)
}

// assign gives a group a role and returns the assignment.
func (p *people) assign(group string, t gitpodv1.ResourceType, resource string, role gitpodv1.ResourceRole) string {
	p.t.Helper()
	made, err := p.groups.CreateRoleAssignment(p.t.Context(), connect.NewRequest(&gitpodv1.CreateRoleAssignmentRequest{
		GroupId: group, ResourceType: t, ResourceId: resource, ResourceRole: role,
	}))
	p.must(err)
	return made.Msg.GetAssignment().GetId()
}

func (p *people) onRunner(group, runner string) string {
	p.t.Helper()
	return p.assign(group, gitpodv1.ResourceType_RESOURCE_TYPE_RUNNER, runner, gitpodv1.ResourceRole_RESOURCE_ROLE_RUNNER_USER)
}

func (p *people) onOrganization(group string, role gitpodv1.ResourceRole) string {
	p.t.Helper()
	return p.assign(group, gitpodv1.ResourceType_RESOURCE_TYPE_ORGANIZATION, p.organization, role)
}

func (p *people) unassign(assignment string) {
	p.t.Helper()
	_, err := p.groups.DeleteRoleAssignment(p.t.Context(), connect.NewRequest(&gitpodv1.DeleteRoleAssignmentRequest{AssignmentId: assignment}))
	p.must(err)
}

func (p *people) deleteGroup(group string) {
	p.t.Helper()
	_, err := p.groups.DeleteGroup(p.t.Context(), connect.NewRequest(&gitpodv1.DeleteGroupRequest{GroupId: group}))
	p.must(err)
}

// policy gives a group a policy on a runner, or changes it.
func (p *people) policy(group, runner string, role gitpodv1.RunnerRole, change bool) {
	p.t.Helper()
	policies := gitpodv1connect.NewRunnerServiceClient(p.admin.HTTP, p.s.URL)
	var err error
	if change {
		_, err = policies.UpdateRunnerPolicy(p.t.Context(), connect.NewRequest(&gitpodv1.UpdateRunnerPolicyRequest{RunnerId: runner, GroupId: group, Role: role}))
	} else {
		_, err = policies.CreateRunnerPolicy(p.t.Context(), connect.NewRequest(&gitpodv1.CreateRunnerPolicyRequest{RunnerId: runner, GroupId: group, Role: role}))
	}
	p.must(err)
}

func (p *people) noPolicy(group, runner string) {
	p.t.Helper()
	policies := gitpodv1connect.NewRunnerServiceClient(p.admin.HTTP, p.s.URL)
	_, err := policies.DeleteRunnerPolicy(p.t.Context(), connect.NewRequest(&gitpodv1.DeleteRunnerPolicyRequest{RunnerId: runner, GroupId: group}))
	p.must(err)
}

func (p *people) share(user, runner string, role gitpodv1.ResourceRole) {
	p.t.Helper()
	_, err := p.groups.ShareResourceWithPrincipal(p.t.Context(), connect.NewRequest(&gitpodv1.ShareResourceWithPrincipalRequest{
		PrincipalId: user, Principal: gitpodv1.Principal_PRINCIPAL_USER,
		ResourceType: gitpodv1.ResourceType_RESOURCE_TYPE_RUNNER, ResourceId: runner, Role: role,
	}))
	p.must(err)
}

func (p *people) unshare(user, runner string) {
	p.t.Helper()
	_, err := p.groups.UnshareResourceWithPrincipal(p.t.Context(), connect.NewRequest(&gitpodv1.UnshareResourceWithPrincipalRequest{
		PrincipalId: user, Principal: gitpodv1.Principal_PRINCIPAL_USER,
		ResourceType: gitpodv1.ResourceType_RESOURCE_TYPE_RUNNER, ResourceId: runner,
	}))
	p.must(err)
}

func (p *people) setRole(user string, role gitpodv1.OrganizationRole) {
	p.t.Helper()
	organizations := gitpodv1connect.NewOrganizationServiceClient(p.admin.HTTP, p.s.URL)
	_, err := organizations.SetRole(p.t.Context(), connect.NewRequest(&gitpodv1.SetRoleRequest{OrganizationId: p.organization, UserId: user, Role: role}))
	p.must(err)
}

func (p *people) rename(runner string) {
	p.t.Helper()
	name := p.name("renamed")
	_, err := p.admin.Runners.UpdateRunner(p.t.Context(), connect.NewRequest(&gitpodv1.UpdateRunnerRequest{RunnerId: runner, Name: &name}))
	p.must(err)
}

var errStillOpen = errors.New("the stream is open")

// ended waits until a stream has ended because of a change of access.
func (p *people) ended(w *muster.Watcher) {
	p.t.Helper()
	muster.Until(p.t, muster.Patience, func() error {
		if over, _ := w.Ended(); !over {
			return errStillOpen
		}
		return nil
	})
	if _, err := w.Ended(); connect.CodeOf(err) != connect.CodeUnavailable || muster.Info(err).GetReason() != "access-changed" {
		p.t.Errorf("the stream ended with %v", err)
	}
}

// hears waits for an event of a resource, which a stream that has ended cannot
// have.
func (p *people) hears(w *muster.Watcher, t gitpodv1.ResourceType, id string) {
	p.t.Helper()
	muster.Until(p.t, muster.Patience, func() error {
		for _, e := range w.Seen() {
			if e.GetResourceType() == t && e.GetResourceId() == id {
				return nil
			}
		}
		over, err := w.Ended()
		return fmt.Errorf("no event of %v %s; the stream has ended: %v, %s", t, id, over, fmt.Sprint(err))
	})
}

// open makes sure that a stream is open: it hears of something that all see.
func (p *people) open(w *muster.Watcher) {
	p.t.Helper()
	p.hears(w, gitpodv1.ResourceType_RESOURCE_TYPE_GROUP, p.group())
}

// everyEngine runs a test on both engines.
func everyEngine(t *testing.T, test func(p *people)) {
	t.Helper()
	for engine, options := range engines {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			test(newPeople(t, options(t)))
		})
	}
}

// What changes nothing of what somebody sees ends no stream of theirs.
func TestAStreamOutlivesWhatChangesNoSight(t *testing.T) {
	t.Parallel()
	everyEngine(t, func(p *people) {
		runner, _ := p.admin.NewRunner(p.t, "lab")
		seen, _ := p.admin.NewRunner(p.t, "seen")
		const user, admin = gitpodv1.RunnerRole_RUNNER_ROLE_USER, gitpodv1.RunnerRole_RUNNER_ROLE_ADMIN
		member, id := p.member()
		other, otherID := p.member()
		for what, change := range map[string]func() (*muster.Watcher, func()){
			"an admin joins an empty group": func() (*muster.Watcher, func()) {
				g := p.group()
				return p.admin.Watch(p.t), func() { p.leave(p.join(g, p.adminID)) }
			},
			"an admin joins a group with roles": func() (*muster.Watcher, func()) {
				g := p.group()
				p.onRunner(g, runner)
				p.onOrganization(g, gitpodv1.ResourceRole_RESOURCE_ROLE_ORG_RUNNERS_ADMIN)
				return p.admin.Watch(p.t), func() { p.leave(p.join(g, p.adminID)) }
			},
			"an admin's group gets a role on the organization, loses it, and goes": func() (*muster.Watcher, func()) {
				g := p.group()
				p.join(g, p.adminID)
				return p.admin.Watch(p.t), func() {
					p.unassign(p.onOrganization(g, gitpodv1.ResourceRole_RESOURCE_ROLE_ORG_GROUPS_ADMIN))
					p.deleteGroup(g)
				}
			},
			"an admin is one through a group, too": func() (*muster.Watcher, func()) {
				g := p.group()
				p.join(g, otherID)
				p.onOrganization(g, gitpodv1.ResourceRole_RESOURCE_ROLE_ORG_ADMIN)
				return other.Watch(p.t), func() {
					p.setRole(otherID, gitpodv1.OrganizationRole_ORGANIZATION_ROLE_ADMIN)
					p.setRole(otherID, gitpodv1.OrganizationRole_ORGANIZATION_ROLE_MEMBER)
				}
			},
			"a member joins and leaves a group without roles": func() (*muster.Watcher, func()) {
				g := p.group()
				return member.Watch(p.t), func() { p.leave(p.join(g, id)) }
			},
			"a group without roles is deleted": func() (*muster.Watcher, func()) {
				g := p.group()
				p.join(g, id)
				return member.Watch(p.t), func() { p.deleteGroup(g) }
			},
			"a group may read the audit log": func() (*muster.Watcher, func()) {
				g := p.group()
				p.join(g, id)
				return member.Watch(p.t), func() { p.unassign(p.onOrganization(g, gitpodv1.ResourceRole_RESOURCE_ROLE_ORG_AUDIT_LOG_READER)) }
			},
			"somebody else joins a group": func() (*muster.Watcher, func()) {
				g := p.group()
				p.onRunner(g, runner)
				_, third := p.member()
				return member.Watch(p.t), func() { p.leave(p.join(g, third)) }
			},
			"an admin's group gets a role on a runner, another one, and loses it": func() (*muster.Watcher, func()) {
				g := p.group()
				p.join(g, p.adminID)
				return p.admin.Watch(p.t), func() {
					p.policy(g, runner, user, false)
					p.policy(g, runner, admin, true)
					p.noPolicy(g, runner)
				}
			},
			"a member sees the runner through another group, too": func() (*muster.Watcher, func()) {
				one, two := p.group(), p.group()
				p.join(one, id)
				p.join(two, id)
				p.onRunner(one, seen)
				return member.Watch(p.t), func() { p.unassign(p.onRunner(two, seen)) }
			},
			"a group that the member is not in gets a role on a runner": func() (*muster.Watcher, func()) {
				g := p.group()
				m := p.join(g, id)
				return member.Watch(p.t), func() {
					p.leave(m)
					p.unassign(p.onRunner(g, runner))
				}
			},
			"a group gets a role on a group": func() (*muster.Watcher, func()) {
				g := p.group()
				p.join(g, id)
				return member.Watch(p.t), func() {
					p.unassign(p.assign(g, gitpodv1.ResourceType_RESOURCE_TYPE_GROUP, p.group(), gitpodv1.ResourceRole_RESOURCE_ROLE_GROUP_ADMIN))
				}
			},
			"a runner is made": func() (*muster.Watcher, func()) {
				return member.Watch(p.t), func() { p.admin.NewRunner(p.t, "another") }
			},
		} {
			w, do := change()
			do()
			p.open(w)
			if ended, err := w.Ended(); ended {
				p.t.Errorf("%s: the stream ended: %v", what, err)
			}
		}
	})
}

// What does change it ends them, and at once, whatever they are filtered on: all
// ways to come to see a runner or what hangs on it, and to lose that.
func TestAStreamEndsWithWhatChangesItsSight(t *testing.T) {
	t.Parallel()
	everyEngine(t, func(p *people) {
		runner, _ := p.admin.NewRunner(p.t, "lab")
		const (
			user, admin         = gitpodv1.RunnerRole_RUNNER_ROLE_USER, gitpodv1.RunnerRole_RUNNER_ROLE_ADMIN
			userRole, adminRole = gitpodv1.ResourceRole_RESOURCE_ROLE_RUNNER_USER, gitpodv1.ResourceRole_RESOURCE_ROLE_RUNNER_ADMIN
		)
		// in makes a group with the member in it.
		in := func(id string) string {
			g := p.group()
			p.join(g, id)
			return g
		}
		// Each prepares something for a member, and returns what then changes.
		for what, prepare := range map[string]func(id string) (change func()){
			"joining a group with a role on a runner": func(id string) func() {
				g := p.group()
				p.onRunner(g, runner)
				return func() { p.join(g, id) }
			},
			"leaving a group with a role on a runner": func(id string) func() {
				g := p.group()
				p.onRunner(g, runner)
				m := p.join(g, id)
				return func() { p.leave(m) }
			},
			"the end of a group with a role on a runner": func(id string) func() {
				g := in(id)
				p.onRunner(g, runner)
				return func() { p.deleteGroup(g) }
			},
			"a role on a runner": func(id string) func() {
				g := in(id)
				return func() { p.onRunner(g, runner) }
			},
			"the end of a role on a runner": func(id string) func() {
				a := p.onRunner(in(id), runner)
				return func() { p.unassign(a) }
			},
			"a policy": func(id string) func() {
				g := in(id)
				return func() { p.policy(g, runner, user, false) }
			},
			"the end of a policy": func(id string) func() {
				g := in(id)
				p.policy(g, runner, user, false)
				return func() { p.noPolicy(g, runner) }
			},
			"a policy that shows the roles on the runner": func(id string) func() {
				g := in(id)
				p.policy(g, runner, user, false)
				return func() { p.policy(g, runner, admin, true) }
			},
			"a policy that does so no longer": func(id string) func() {
				g := in(id)
				p.policy(g, runner, admin, false)
				return func() { p.policy(g, runner, user, true) }
			},
			"a share": func(id string) func() {
				return func() { p.share(id, runner, userRole) }
			},
			"another share": func(id string) func() {
				another, _ := p.admin.NewRunner(p.t, p.name("another"))
				p.share(id, another, userRole)
				return func() { p.share(id, runner, userRole) }
			},
			"the end of a share": func(id string) func() {
				p.share(id, runner, userRole)
				return func() { p.unshare(id, runner) }
			},
			"the end of one share of two": func(id string) func() {
				another, _ := p.admin.NewRunner(p.t, p.name("another"))
				p.share(id, another, userRole)
				p.share(id, runner, userRole)
				return func() { p.unshare(id, another) }
			},
			"a share with another role": func(id string) func() {
				p.share(id, runner, userRole)
				return func() { p.share(id, runner, adminRole) }
			},
			"a role on the organization": func(id string) func() {
				g := in(id)
				return func() { p.onOrganization(g, gitpodv1.ResourceRole_RESOURCE_ROLE_ORG_RUNNERS_ADMIN) }
			},
			"the end of a role on the organization": func(id string) func() {
				a := p.onOrganization(in(id), gitpodv1.ResourceRole_RESOURCE_ROLE_ORG_GROUPS_ADMIN)
				return func() { p.unassign(a) }
			},
			"becoming an admin": func(id string) func() {
				return func() { p.setRole(id, gitpodv1.OrganizationRole_ORGANIZATION_ROLE_ADMIN) }
			},
			"being none any more": func(id string) func() {
				p.setRole(id, gitpodv1.OrganizationRole_ORGANIZATION_ROLE_ADMIN)
				return func() { p.setRole(id, gitpodv1.OrganizationRole_ORGANIZATION_ROLE_MEMBER) }
			},
		} {
			member, id := p.member()
			change := prepare(id)
			all := member.Watch(p.t)
			some := member.Watch(p.t, gitpodv1.ResourceType_RESOURCE_TYPE_RUNNER)
			change()
			p.ended(all)
			p.ended(some)
			if p.t.Failed() {
				p.t.Fatal(what)
			}
		}
	})
}

// A stream that outlived a change goes by what its caller is now: it hears of
// the roles of the caller's new group, and not of those of the one that was left,
// and ends with what the new group comes to see.
func TestAStreamGoesByWhatItsCallerIsNow(t *testing.T) {
	t.Parallel()
	everyEngine(t, func(p *people) {
		gained, _ := p.admin.NewRunner(p.t, "gained")
		never, _ := p.admin.NewRunner(p.t, "never")
		member, id := p.member()
		joined, left := p.group(), p.group()
		m := p.join(left, id)
		w := member.Watch(p.t)
		p.join(joined, id)
		p.leave(m)
		onGroup := func(g string) string {
			return p.assign(g, gitpodv1.ResourceType_RESOURCE_TYPE_GROUP, p.group(), gitpodv1.ResourceRole_RESOURCE_ROLE_GROUP_ADMIN)
		}
		unheard := []string{never, onGroup(left), p.onRunner(left, never)}
		p.rename(never)
		p.hears(w, gitpodv1.ResourceType_RESOURCE_TYPE_ROLE_ASSIGNMENT, onGroup(joined))
		p.open(w)
		for _, e := range w.Seen() {
			if slices.Contains(unheard, e.GetResourceId()) {
				p.t.Errorf("it heard of %v", e)
			}
		}
		p.onRunner(joined, gained)
		p.ended(w)
	})
}

// A runner's link that was opened with one token is not ended by what happens to
// another.
func TestALinkOutlivesTheEndOfAnotherToken(t *testing.T) {
	t.Parallel()
	p := newPeople(t, muster.ServerOptions{})
	id, first := p.admin.NewRunner(t, "lab")
	if _, err := p.admin.Redeem(t, first); err != nil {
		t.Fatal(err)
	}
	again, err := p.admin.Runners.CreateRunnerToken(t.Context(), connect.NewRequest(&gitpodv1.CreateRunnerTokenRequest{RunnerId: id}))
	p.must(err)
	p.s.Join(t, again.Msg.GetExchangeToken())
	muster.Until(t, muster.Patience, func() error { return links(t, p.s, 1) })
	tokens := adminv1connect.NewRunnerTokenServiceClient(p.admin.HTTP, p.s.URL)
	listed, err := tokens.ListRunnerTokens(t.Context(), connect.NewRequest(&adminv1.ListRunnerTokensRequest{RunnerId: id}))
	p.must(err)
	oldest := slices.MinFunc(listed.Msg.GetTokens(), func(a, b *adminv1.RunnerToken) int {
		return a.GetCreatedAt().AsTime().Compare(b.GetCreatedAt().AsTime())
	})
	_, err = tokens.ExpireRunnerToken(t.Context(), connect.NewRequest(&adminv1.ExpireRunnerTokenRequest{
		RunnerId: id, TokenId: oldest.GetId(), ValidFor: durationpb.New(time.Hour),
	}))
	p.must(err)
	muster.Throughout(t, 3*time.Second, func() error {
		if n := strings.Count(p.s.Printed(), "runner connected"); n != 1 {
			return fmt.Errorf("the runner connected %d times", n)
		}
		return nil
	})
}
