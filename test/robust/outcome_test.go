package robust_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/proto"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/gen/gitpod/v1/gitpodv1connect"
	adminv1 "github.com/musterhq/muster/gen/muster/admin/v1"
	"github.com/musterhq/muster/internal/store/pgtest"
	"github.com/musterhq/muster/test/muster"
)

const unknownOutcome = "outcome-unknown"

// behindProxy is a control plane whose connections to the database can be cut.
func throughProxy(t *testing.T) (*muster.Server, *pgtest.Proxy) {
	t.Helper()
	p := pgtest.NewProxy(t, pgtest.URL(t))
	return muster.Serve(t, muster.ServerOptions{DatabaseURL: p.URL}), p
}

// named counts the runners of a name.
func named(t *testing.T, api *muster.API, name string) int {
	t.Helper()
	n := 0
	for _, r := range api.AllRunners(t) {
		if r.GetName() == name {
			n++
		}
	}
	return n
}

// When the answer to a commit is lost, the caller is told that it is not known
// what became of the change; whoever watches hears of it, and it is not repeated.
func TestAnOutcomeThatIsNotKnownIsSaid(t *testing.T) {
	t.Parallel()
	for name, early := range map[string]bool{"the commit is lost": true, "the answer is lost": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, p := throughProxy(t)
			api := s.Admin()
			events := api.Watch(t)

			p.LoseCommit("in-doubt", early)
			res, err := api.HTTP.Post(s.URL+"/gitpod.v1.RunnerService/CreateRunner", "application/json",
				strings.NewReader(`{"name":"in-doubt","provider":"RUNNER_PROVIDER_LINUX_HOST"}`))
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			var said struct{ Code, Message string }
			if err := json.Unmarshal(body, &said); err != nil {
				t.Fatalf("%v: %s", err, body)
			}
			if res.StatusCode != http.StatusInternalServerError || said.Code != "unknown" || reasonIn(t, body) != unknownOutcome {
				t.Errorf("answered %s %s", res.Status, body)
			}
			if got := res.Header.Get("X-Should-Retry"); got != "false" || res.Header.Get("Retry-After") != "" {
				t.Errorf("X-Should-Retry %q, Retry-After %q", got, res.Header.Get("Retry-After"))
			}
			want := 1
			if early {
				want = 0
			}
			if n := named(t, api, "in-doubt"); n != want {
				t.Errorf("%d runners were made, want %d", n, want)
			}
			muster.Until(t, muster.Patience, func() error { return createdOnce(events) })
		})
	}
}

// createdOnce tells whether one runner was announced.
func createdOnce(events *muster.Watcher) error {
	n := 0
	for _, e := range events.Seen() {
		if e.GetResourceType() == gitpodv1.ResourceType_RESOURCE_TYPE_RUNNER && e.GetOperation() == gitpodv1.ResourceOperation_RESOURCE_OPERATION_CREATE {
			n++
		}
	}
	if n != 1 {
		return fmt.Errorf("%d runners were announced, want one", n)
	}
	return nil
}

// reasonIn is the reason of an error in JSON.
func reasonIn(t *testing.T, body []byte) string {
	t.Helper()
	var said struct {
		Details []struct{ Type, Value string }
	}
	if err := json.Unmarshal(body, &said); err != nil {
		t.Fatal(err)
	}
	for _, d := range said.Details {
		info := &errdetails.ErrorInfo{}
		raw, err := base64.RawStdEncoding.DecodeString(d.Value)
		if err == nil && strings.HasSuffix(d.Type, "ErrorInfo") && proto.Unmarshal(raw, info) == nil {
			return info.GetReason()
		}
	}
	return ""
}

// What others must do about a change is done also when it is not known whether it
// was made: a member who may have been suspended sees nothing any more.
func TestASuspensionInDoubtEndsStreams(t *testing.T) {
	t.Parallel()
	s, p := throughProxy(t)
	admin := s.Admin()
	made, err := admin.Members.AddMember(t.Context(), connect.NewRequest(&adminv1.AddMemberRequest{Name: "Grace", Email: "grace@example.com", Role: gitpodv1.OrganizationRole_ORGANIZATION_ROLE_MEMBER}))
	if err != nil {
		t.Fatal(err)
	}
	grace := muster.NewAPI(s.URL, made.Msg.GetToken())
	watching := grace.Watch(t)

	p.LoseCommit(made.Msg.GetMember().GetUserId(), false)
	_, err = admin.Members.SuspendMember(t.Context(), connect.NewRequest(&adminv1.SuspendMemberRequest{UserId: made.Msg.GetMember().GetUserId()}))
	if connect.CodeOf(err) != connect.CodeUnknown || muster.Info(err).GetReason() != unknownOutcome {
		t.Errorf("suspending gave %v", err)
	}
	muster.Until(t, muster.Patience, func() error {
		if ended, _ := watching.Ended(); !ended {
			return fmt.Errorf("the stream is open")
		}
		return nil
	})
	if _, err := grace.Runners.ListRunners(t.Context(), connect.NewRequest(&gitpodv1.ListRunnersRequest{})); connect.CodeOf(err) != connect.CodeUnauthenticated {
		t.Errorf("a call of the suspended member gave %v", err)
	}
}

// A runner that may have been deleted finds out: it is not told that it was.
func TestARunnerWhoseDeletionIsInDoubtFindsOut(t *testing.T) {
	t.Parallel()
	for name, early := range map[string]bool{"it was not deleted": true, "it was": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, p := throughProxy(t)
			admin := s.Admin()
			r := connected(t, s, "lab")
			p.LoseCommit(r.id, early)
			_, err := admin.Runners.DeleteRunner(t.Context(), connect.NewRequest(&gitpodv1.DeleteRunnerRequest{RunnerId: r.id, Force: true}))
			if connect.CodeOf(err) != connect.CodeUnknown || muster.Info(err).GetReason() != unknownOutcome {
				t.Errorf("deleting gave %v", err)
			}
			if !early {
				r.host.Wait(t, muster.Patience)
				return
			}
			muster.Until(t, muster.Patience, func() error {
				if n := strings.Count(s.Printed(), "runner connected"); n != 2 {
					return fmt.Errorf("the runner connected %d times", n)
				}
				return r.is(active)
			})
		})
	}
}

// The command line says in plain words that it is not known, and how to look.
func TestTheCommandLineSaysThatItIsNotKnown(t *testing.T) {
	t.Parallel()
	s, p := throughProxy(t)
	p.LoseCommit("in-doubt", false)
	cmd := muster.Start(t, []string{"MUSTER_SERVER=" + s.URL, "MUSTER_TOKEN=" + s.Token}, "runner", "create", "in-doubt")
	if code := cmd.Wait(t, muster.Patience); code != 1 {
		t.Errorf("exit status %d", code)
	}
	for _, want := range []string{"not known", "Look before", "muster audit list", "reason " + unknownOutcome} {
		if !strings.Contains(cmd.Printed(), want) {
			t.Errorf("%q is missing in: %s", want, cmd.Printed())
		}
	}
	if n := named(t, s.Admin(), "in-doubt"); n != 1 {
		t.Errorf("%d runners, want one", n)
	}
}

// So it does when the connection to the control plane breaks after a change was
// sent; what only reads harms nobody.
func TestTheCommandLineSaysThatAnAnswerWasLost(t *testing.T) {
	t.Parallel()
	silent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_ = conn.Close()
	}))
	t.Cleanup(silent.Close)
	for verb, unknown := range map[string]bool{"create": true, "list": false} {
		args := []string{"runner", verb}
		if unknown {
			args = append(args, "lab")
		}
		cmd := muster.Start(t, []string{"MUSTER_SERVER=" + silent.URL, "MUSTER_TOKEN=any"}, args...)
		if code := cmd.Wait(t, muster.Patience); code != 1 {
			t.Errorf("%s: exit status %d", verb, code)
		}
		if got := strings.Contains(cmd.Printed(), "not known") && strings.Contains(cmd.Printed(), "Look before"); got != unknown {
			t.Errorf("%s says: %s", verb, cmd.Printed())
		}
	}
}

// A runner that does not learn whether its exchange token was redeemed finds out:
// the token works once.
func TestARunnerFindsOutWhetherItJoined(t *testing.T) {
	t.Parallel()
	for name, early := range map[string]bool{"it did not": true, "it did": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, p := throughProxy(t)
			id, token := s.Admin().NewRunner(t, "lab")
			p.LoseCommit(id, early)
			host := s.Join(t, token)
			if early {
				muster.Until(t, muster.Patience, func() error { return links(t, s, 1) })
				return
			}
			if code := host.Wait(t, muster.Patience); code == 0 {
				t.Error("the runner left as if all was well")
			}
			for _, want := range []string{"by an earlier attempt of this runner", "muster runner token"} {
				if !strings.Contains(host.Printed(), want) {
					t.Errorf("%q is missing in: %s", want, host.Printed())
				}
			}
		})
	}
}

// Whichever statement of a change the connection breaks at, the change is made,
// once.
func TestAChangeIsRepeatedOnce(t *testing.T) {
	t.Parallel()
	s, p := throughProxy(t)
	admin := s.Admin()
	groups := gitpodv1connect.NewGroupServiceClient(admin.HTTP, s.URL)
	me, err := admin.Identities.GetAuthenticatedIdentity(t.Context(), connect.NewRequest(&gitpodv1.GetAuthenticatedIdentityRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	runner, _ := admin.NewRunner(t, "lab")
	newGroup := func(name string) (string, error) {
		made, err := groups.CreateGroup(t.Context(), connect.NewRequest(&gitpodv1.CreateGroupRequest{OrganizationId: me.Msg.GetOrganizationId(), Name: name}))
		return made.Msg.GetGroup().GetId(), err
	}
	for name, change := range map[string]func(group string) error{
		"role": func(group string) error {
			made, err := groups.CreateRoleAssignment(t.Context(), connect.NewRequest(&gitpodv1.CreateRoleAssignmentRequest{
				GroupId: group, ResourceType: gitpodv1.ResourceType_RESOURCE_TYPE_RUNNER, ResourceId: runner, ResourceRole: gitpodv1.ResourceRole_RESOURCE_ROLE_RUNNER_USER,
			}))
			if err == nil && made.Msg.GetAssignment().GetGroupId() != group {
				err = fmt.Errorf("answered %v", made.Msg)
			}
			return err
		},
		"member": func(group string) error {
			_, err := groups.CreateMembership(t.Context(), connect.NewRequest(&gitpodv1.CreateMembershipRequest{
				GroupId: group, Subject: &gitpodv1.Subject{Id: me.Msg.GetSubject().GetId(), Principal: gitpodv1.Principal_PRINCIPAL_USER},
			}))
			return err
		},
		"delete": func(group string) error {
			_, err := groups.DeleteGroup(t.Context(), connect.NewRequest(&gitpodv1.DeleteGroupRequest{GroupId: group}))
			return err
		},
		"update": func(group string) error {
			_, err := groups.UpdateGroup(t.Context(), connect.NewRequest(&gitpodv1.UpdateGroupRequest{GroupId: group, Name: "g " + group, Description: group}))
			return err
		},
	} {
		cuts := 0
		for n := 1; ; n++ {
			group, err := newGroup(fmt.Sprintf("%s %d", name, n))
			if err != nil {
				t.Fatal(err)
			}
			was := p.CutAtArgument(group, n)
			err = change(group)
			if !was() {
				break
			}
			cuts++
			if err != nil {
				t.Errorf("%s, cut at statement %d: %v", name, n, err)
			}
		}
		if cuts < 2 {
			t.Errorf("%s: cut at %d statements only", name, cuts)
		}
	}
}

// Calls that a restart of the database meets are refused as ones to try again, or
// as ones of which nothing is known; and what was answered is true.
func TestADatabaseRestartIsNoInternalFailure(t *testing.T) {
	t.Parallel()
	url, restart := pgtest.Own(t)
	s := muster.Serve(t, muster.ServerOptions{DatabaseURL: url})
	api := s.Admin()
	const workers, each = 16, 50
	begun := make(chan struct{}, workers*each)
	var mu sync.Mutex
	results := map[string]error{}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				name := fmt.Sprintf("runner %d of %d", i, w)
				begun <- struct{}{}
				_, err := api.Runners.CreateRunner(t.Context(), connect.NewRequest(&gitpodv1.CreateRunnerRequest{
					Name: name, Provider: gitpodv1.RunnerProvider_RUNNER_PROVIDER_LINUX_HOST,
				}))
				mu.Lock()
				results[name] = err
				mu.Unlock()
			}
		})
	}
	for range 3 {
		for range workers * each / 5 {
			<-begun
		}
		pgtest.Terminate(t, url)
		restart()
	}
	wg.Wait()
	muster.Until(t, muster.Patience, func() error {
		_, err := api.Runners.ListRunners(t.Context(), connect.NewRequest(&gitpodv1.ListRunnersRequest{}))
		return err
	})
	there := map[string]int{}
	for _, r := range api.AllRunners(t) {
		there[r.GetName()]++
	}
	for name, err := range results {
		switch code := connect.CodeOf(err); {
		case err == nil && there[name] != 1, there[name] > 1:
			t.Errorf("%q was answered with %v and is there %d times", name, err, there[name])
		case err == nil, code == connect.CodeUnknown && muster.Info(err).GetReason() == unknownOutcome:
		case code != connect.CodeUnavailable || there[name] != 0:
			t.Errorf("%q was answered with %v (%v) and is there %d times", name, code, err, there[name])
		}
	}
}
