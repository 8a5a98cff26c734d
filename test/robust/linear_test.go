package robust_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/anishathalye/porcupine"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/gen/gitpod/v1/gitpodv1connect"
	adminv1 "github.com/musterhq/muster/gen/muster/admin/v1"
	"github.com/musterhq/muster/test/muster"
)

// How much happens at once, to how few things.
const (
	linearClients = 64
	linearThings  = 20
	linearCalls   = 40 // of each client
)

// TestClientsThatFightOverTheSameThings lets 64 clients create, change, share
// and delete the same 20 groups, policies, shares and classes at once. The only
// errors are those that the contract has; every call seems to happen at one
// moment between its begin and its end (so that no update is lost and no read is
// stale); and afterwards nothing refers to what is gone.
func TestClientsThatFightOverTheSameThings(t *testing.T) {
	for engine, options := range engines {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			newFight(t, muster.Serve(t, options(t))).run(t)
		})
	}
}

// fight is the field on which the clients meet.
type fight struct {
	groups       gitpodv1connect.GroupServiceClient
	runners      gitpodv1connect.RunnerServiceClient
	config       gitpodv1connect.RunnerConfigurationServiceClient
	organization string
	runner       string
	people       []string
	classes      []string
	begin        time.Time

	mu      sync.Mutex
	history []porcupine.Operation
	// ids are the ids that groups had, newest last, by the number of the group.
	ids map[int][]string
}

func newFight(t *testing.T, s *muster.Server) *fight {
	t.Helper()
	admin := s.Admin()
	f := &fight{
		groups:  gitpodv1connect.NewGroupServiceClient(admin.HTTP, s.URL),
		runners: admin.Runners,
		config:  gitpodv1connect.NewRunnerConfigurationServiceClient(admin.HTTP, s.URL),
		begin:   time.Now(), ids: map[int][]string{},
	}
	me, err := admin.Identities.GetAuthenticatedIdentity(t.Context(), connect.NewRequest(&gitpodv1.GetAuthenticatedIdentityRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	f.organization = me.Msg.GetOrganizationId()
	f.runner, _ = admin.NewRunner(t, "fought over")
	for n := range linearThings {
		added, err := admin.Members.AddMember(t.Context(), connect.NewRequest(&adminv1.AddMemberRequest{
			Name: fmt.Sprintf("Person %d", n), Email: fmt.Sprintf("person%d@example.com", n), Role: gitpodv1.OrganizationRole_ORGANIZATION_ROLE_MEMBER,
		}))
		if err != nil {
			t.Fatal(err)
		}
		f.people = append(f.people, added.Msg.GetMember().GetUserId())
		made, err := f.config.CreateEnvironmentClass(t.Context(), connect.NewRequest(&gitpodv1.CreateEnvironmentClassRequest{
			RunnerId: f.runner, DisplayName: "at first", Description: "at first",
		}))
		if err != nil {
			t.Fatal(err)
		}
		f.classes = append(f.classes, made.Msg.GetId())
	}
	return f
}

func (f *fight) run(t *testing.T) {
	var wg sync.WaitGroup
	for client := range linearClients {
		wg.Go(func() {
			for range linearCalls {
				n := rand.IntN(linearThings)
				switch rand.IntN(10) {
				case 0, 1, 2, 3, 4:
					f.groupCall(t, client, n)
				case 5, 6:
					f.shareCall(t, client, n)
				default:
					f.classCall(t, client, n)
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d calls", len(f.history))
	if result := porcupine.CheckOperationsTimeout(model, f.history, 2*time.Minute); result != porcupine.Ok {
		t.Errorf("the history cannot be put into an order: %v", result)
	}
	f.noOrphans(t)
}

// A call and its outcome, as the model takes them.
type (
	step struct {
		thing string // "group 7": what the call is about, and nothing else
		verb  string
		id    string // of the group
		text  string // the new description, name, or role
	}
	outcome struct {
		code connect.Code // 0 for success
		id   string
		text string
		more string
	}
)

const success connect.Code = 0

// do makes a call and writes it into the history. An outcome that the contract
// does not have fails the test.
func (f *fight) do(t *testing.T, client int, c step, defined []connect.Code, call func() (outcome, error)) outcome {
	begin := time.Since(f.begin)
	a, err := call()
	end := time.Since(f.begin)
	if err != nil {
		a.code = connect.CodeOf(err)
		if a.code == connect.CodeAborted {
			return a // too many changes at once: nothing has happened
		}
		known := false
		for _, d := range defined {
			known = known || d == a.code
		}
		if !known {
			t.Errorf("%s %s: %v", c.verb, c.thing, err)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.history = append(f.history, porcupine.Operation{ClientId: client, Input: c, Call: begin.Nanoseconds(), Output: a, Return: end.Nanoseconds()})
	return a
}

var roles = []gitpodv1.RunnerRole{gitpodv1.RunnerRole_RUNNER_ROLE_ADMIN, gitpodv1.RunnerRole_RUNNER_ROLE_USER}

func (f *fight) groupCall(t *testing.T, client, n int) {
	ctx, name := t.Context(), fmt.Sprintf("group %d", n)
	c := step{thing: name, text: fmt.Sprintf("%d", rand.Int64())}
	f.mu.Lock()
	if ids := f.ids[n]; len(ids) > 0 {
		c.id = ids[len(ids)-1]
		if len(ids) > 1 && rand.IntN(8) == 0 {
			c.id = ids[len(ids)-2] // one that may be gone
		}
	}
	f.mu.Unlock()
	kind := rand.IntN(9)
	if c.id == "" {
		kind = 0
	}
	role := roles[rand.IntN(2)]
	switch kind {
	case 0, 1:
		c.verb, c.id = "create", ""
		a := f.do(t, client, c, []connect.Code{connect.CodeAlreadyExists}, func() (outcome, error) {
			made, err := f.groups.CreateGroup(ctx, connect.NewRequest(&gitpodv1.CreateGroupRequest{OrganizationId: f.organization, Name: name, Description: c.text}))
			if err != nil {
				return outcome{}, err
			}
			return outcome{id: made.Msg.GetGroup().GetId()}, nil
		})
		if a.code == success {
			f.mu.Lock()
			f.ids[n] = append(f.ids[n], a.id)
			f.mu.Unlock()
		}
	case 2:
		c.verb = "update"
		f.do(t, client, c, []connect.Code{connect.CodeNotFound}, func() (outcome, error) {
			_, err := f.groups.UpdateGroup(ctx, connect.NewRequest(&gitpodv1.UpdateGroupRequest{GroupId: c.id, Name: name, Description: c.text}))
			return outcome{}, err
		})
	case 3:
		c.verb = "delete"
		f.do(t, client, c, []connect.Code{connect.CodeNotFound}, func() (outcome, error) {
			_, err := f.groups.DeleteGroup(ctx, connect.NewRequest(&gitpodv1.DeleteGroupRequest{GroupId: c.id}))
			return outcome{}, err
		})
	case 4:
		c.verb, c.id = "get", ""
		f.do(t, client, c, []connect.Code{connect.CodeNotFound}, func() (outcome, error) {
			got, err := f.groups.GetGroup(ctx, connect.NewRequest(&gitpodv1.GetGroupRequest{Group: &gitpodv1.GetGroupRequest_Name{Name: name}}))
			if err != nil {
				return outcome{}, err
			}
			return outcome{id: got.Msg.GetGroup().GetId(), text: got.Msg.GetGroup().GetDescription()}, nil
		})
	case 5:
		c.verb, c.text = "grant", role.String()
		f.do(t, client, c, []connect.Code{connect.CodeNotFound, connect.CodeAlreadyExists}, func() (outcome, error) {
			_, err := f.runners.CreateRunnerPolicy(ctx, connect.NewRequest(&gitpodv1.CreateRunnerPolicyRequest{RunnerId: f.runner, GroupId: c.id, Role: role}))
			return outcome{}, err
		})
	case 6:
		c.verb, c.text = "regrant", role.String()
		f.do(t, client, c, []connect.Code{connect.CodeNotFound}, func() (outcome, error) {
			_, err := f.runners.UpdateRunnerPolicy(ctx, connect.NewRequest(&gitpodv1.UpdateRunnerPolicyRequest{RunnerId: f.runner, GroupId: c.id, Role: role}))
			return outcome{}, err
		})
	case 7:
		c.verb = "revoke"
		f.do(t, client, c, []connect.Code{connect.CodeNotFound}, func() (outcome, error) {
			_, err := f.runners.DeleteRunnerPolicy(ctx, connect.NewRequest(&gitpodv1.DeleteRunnerPolicyRequest{RunnerId: f.runner, GroupId: c.id}))
			return outcome{}, err
		})
	default:
		c.verb = "policy"
		f.do(t, client, c, nil, func() (outcome, error) {
			role, err := f.policy(t, &gitpodv1.ListRoleAssignmentsRequest_Filter{GroupId: c.id, ResourceId: f.runner})
			return outcome{text: role}, err
		})
	}
}

// policy reads the one role that a filter selects; empty for none.
func (f *fight) policy(t *testing.T, filter *gitpodv1.ListRoleAssignmentsRequest_Filter) (string, error) {
	got, err := f.groups.ListRoleAssignments(t.Context(), connect.NewRequest(&gitpodv1.ListRoleAssignmentsRequest{Filter: filter}))
	if err != nil || len(got.Msg.GetAssignments()) == 0 {
		return "", err
	}
	if n := len(got.Msg.GetAssignments()); n > 1 {
		t.Errorf("one subject has %d roles on one runner: %v", n, got.Msg.GetAssignments())
	}
	if got.Msg.GetAssignments()[0].GetResourceRole() == gitpodv1.ResourceRole_RESOURCE_ROLE_RUNNER_ADMIN {
		return gitpodv1.RunnerRole_RUNNER_ROLE_ADMIN.String(), nil
	}
	return gitpodv1.RunnerRole_RUNNER_ROLE_USER.String(), nil
}

func (f *fight) shareCall(t *testing.T, client, n int) {
	ctx := t.Context()
	c := step{thing: fmt.Sprintf("share %d", n)}
	role := roles[rand.IntN(2)]
	resourceRole := gitpodv1.ResourceRole_RESOURCE_ROLE_RUNNER_ADMIN
	if role == gitpodv1.RunnerRole_RUNNER_ROLE_USER {
		resourceRole = gitpodv1.ResourceRole_RESOURCE_ROLE_RUNNER_USER
	}
	switch rand.IntN(3) {
	case 0:
		c.verb, c.text = "share", role.String()
		f.do(t, client, c, nil, func() (outcome, error) {
			_, err := f.groups.ShareResourceWithPrincipal(ctx, connect.NewRequest(&gitpodv1.ShareResourceWithPrincipalRequest{
				ResourceType: gitpodv1.ResourceType_RESOURCE_TYPE_RUNNER, ResourceId: f.runner,
				Principal: gitpodv1.Principal_PRINCIPAL_USER, PrincipalId: f.people[n], Role: resourceRole,
			}))
			return outcome{}, err
		})
	case 1:
		c.verb = "unshare"
		f.do(t, client, c, []connect.Code{connect.CodeNotFound}, func() (outcome, error) {
			_, err := f.groups.UnshareResourceWithPrincipal(ctx, connect.NewRequest(&gitpodv1.UnshareResourceWithPrincipalRequest{
				ResourceType: gitpodv1.ResourceType_RESOURCE_TYPE_RUNNER, ResourceId: f.runner,
				Principal: gitpodv1.Principal_PRINCIPAL_USER, PrincipalId: f.people[n],
			}))
			return outcome{}, err
		})
	default:
		c.verb = "shared"
		f.do(t, client, c, nil, func() (outcome, error) {
			role, err := f.policy(t, &gitpodv1.ListRoleAssignmentsRequest_Filter{UserId: f.people[n], ResourceId: f.runner})
			return outcome{text: role}, err
		})
	}
}

// classCall changes one half of a class, or reads both.
func (f *fight) classCall(t *testing.T, client, n int) {
	ctx := t.Context()
	c := step{thing: fmt.Sprintf("class %d", n), text: fmt.Sprintf("text %d", rand.Int64())}
	switch rand.IntN(3) {
	case 0:
		c.verb = "name"
		f.do(t, client, c, nil, func() (outcome, error) {
			_, err := f.config.UpdateEnvironmentClass(ctx, connect.NewRequest(&gitpodv1.UpdateEnvironmentClassRequest{EnvironmentClassId: f.classes[n], DisplayName: &c.text}))
			return outcome{}, err
		})
	case 1:
		c.verb = "describe"
		f.do(t, client, c, nil, func() (outcome, error) {
			_, err := f.config.UpdateEnvironmentClass(ctx, connect.NewRequest(&gitpodv1.UpdateEnvironmentClassRequest{EnvironmentClassId: f.classes[n], Description: &c.text}))
			return outcome{}, err
		})
	default:
		c.verb = "read"
		f.do(t, client, c, nil, func() (outcome, error) {
			got, err := f.config.GetEnvironmentClass(ctx, connect.NewRequest(&gitpodv1.GetEnvironmentClassRequest{EnvironmentClassId: f.classes[n]}))
			if err != nil {
				return outcome{}, err
			}
			return outcome{text: got.Msg.GetEnvironmentClass().GetDisplayName(), more: got.Msg.GetEnvironmentClass().GetDescription()}, nil
		})
	}
}

// noOrphans looks for what refers to something that is gone.
func (f *fight) noOrphans(t *testing.T) {
	t.Helper()
	groups, direct := map[string]bool{}, map[string]bool{}
	page := &gitpodv1.PaginationRequest{PageSize: 100}
	for {
		got, err := f.groups.ListGroups(t.Context(), connect.NewRequest(&gitpodv1.ListGroupsRequest{Pagination: page}))
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range got.Msg.GetGroups() {
			groups[g.GetId()] = true
			if g.GetDirectShare() {
				direct[g.GetId()] = true
			}
			if g.GetDirectShare() && g.GetMemberCount() != 1 {
				t.Errorf("the group of a share has %d members", g.GetMemberCount())
			}
		}
		if page.Token = got.Msg.GetPagination().GetNextToken(); page.GetToken() == "" {
			break
		}
	}
	assigned := map[string]bool{}
	page = &gitpodv1.PaginationRequest{PageSize: 100}
	for {
		got, err := f.groups.ListRoleAssignments(t.Context(), connect.NewRequest(&gitpodv1.ListRoleAssignmentsRequest{Pagination: page}))
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range got.Msg.GetAssignments() {
			assigned[a.GetGroupId()] = true
			if !groups[a.GetGroupId()] || a.GetResourceId() != f.runner {
				t.Errorf("an orphan: %v", a)
			}
		}
		if page.Token = got.Msg.GetPagination().GetNextToken(); page.GetToken() == "" {
			break
		}
	}
	for g := range direct {
		if !assigned[g] {
			t.Errorf("the group %s exists to share something, and shares nothing", g)
		}
	}
}
