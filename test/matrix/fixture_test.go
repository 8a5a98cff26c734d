// Package matrix holds who may call what to a reviewed table: every procedure
// of the API against every kind of caller.
package matrix_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/musterhq/muster/internal/agent"
	"github.com/musterhq/muster/internal/app"
)

type object = map[string]any

// plane is a running control plane with an organization in which every kind of
// caller exists. It is the second organization: the first one's admin operates
// the installation and is a stranger here.
type plane struct {
	*testing.T
	url    string
	serial int

	operator, admin string // tokens
	organization    string
	adminID         string
	member          string // the id of the caller "member"
	account         string // the id of the caller "service account"
	// The runner is connected and shared with two groups; the other one is not
	// connected, and shared with them as well.
	runner, idle   string
	users, admins  string // the groups
	owner, ownerID string // somebody who has things of their own, and uses the runner
}

const operatorToken = "the-token-of-the-operator-with-32-characters"

func start(t *testing.T) *plane {
	p := &plane{T: t, operator: operatorToken}
	ctx, cancel := context.WithCancel(context.Background())
	up, done := make(chan app.Started, 1), make(chan error, 1)
	go func() {
		done <- app.Run(ctx, app.Config{
			DataDir: t.TempDir(), Listen: "127.0.0.1:0", BootstrapToken: operatorToken, Logger: slog.New(slog.DiscardHandler),
			Started: func(s app.Started) { up <- s },
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the control plane ended: %v", err)
		}
	})
	select {
	case s := <-up:
		p.url = s.URL
	case err := <-done:
		done <- nil
		t.Fatal(err)
	}
	p.populate()
	return p
}

// populate makes the second organization.
func (p *plane) populate() {
	made := p.as(p.operator, "muster.admin.v1.InstallationService/CreateOrganization", object{"name": "Second", "adminName": "Ada", "adminEmail": "ada@example.com"})
	p.admin, p.organization, p.adminID = text(made, "token"), text(made, "organization", "id"), text(made, "admin", "userId")
	p.users, p.admins = p.group("users"), p.group("admins")

	p.runner, p.idle = p.sharedRunner("connected"), p.sharedRunner("idle")
	p.connect(p.runner)
	p.ownerID, p.owner = p.person("owner")
	p.join(p.users, p.ownerID, "PRINCIPAL_USER")
	for _, add := range []func() string{p.class, p.integration, p.model, p.hostToken, p.pat, p.accountToken} {
		add() // something for each list
	}
}

func (p *plane) group(name string) string {
	return text(p.do("gitpod.v1.GroupService/CreateGroup", object{"organizationId": p.organization, "name": name}), "group", "id")
}

func (p *plane) join(group, subject, principal string) string {
	return text(p.do("gitpod.v1.GroupService/CreateMembership", object{"groupId": group, "subject": object{"id": subject, "principal": principal}}), "member", "id")
}

// sharedRunner makes a runner with a policy for each of the two groups.
func (p *plane) sharedRunner(name string) string {
	r := text(p.do("gitpod.v1.RunnerService/CreateRunner", object{"name": name, "provider": "RUNNER_PROVIDER_LINUX_HOST"}), "runner", "runnerId")
	p.do("gitpod.v1.RunnerService/CreateRunnerPolicy", object{"runnerId": r, "groupId": p.users, "role": "RUNNER_ROLE_USER"})
	p.do("gitpod.v1.RunnerService/CreateRunnerPolicy", object{"runnerId": r, "groupId": p.admins, "role": "RUNNER_ROLE_ADMIN"})
	return r
}

// person adds a member and returns their id and token.
func (p *plane) person(name string) (who, token string) {
	p.serial++
	made := p.do("muster.admin.v1.MemberService/AddMember", object{
		"name": name, "email": fmt.Sprintf("%s%d@example.com", strings.ReplaceAll(name, " ", "-"), p.serial), "role": "ORGANIZATION_ROLE_MEMBER",
	})
	return text(made, "member", "userId"), text(made, "token")
}

// withOrganizationRole adds a member whose group has a role on the organization.
func (p *plane) withOrganizationRole(name, role string) string {
	who, token := p.person(name)
	g := p.group(name)
	p.join(g, who, "PRINCIPAL_USER")
	p.do("gitpod.v1.GroupService/CreateRoleAssignment", object{
		"groupId": g, "resourceType": "RESOURCE_TYPE_ORGANIZATION", "resourceId": p.organization, "resourceRole": role,
	})
	return token
}

// runnerToken redeems an exchange token.
func (p *plane) runnerToken(runner string) string {
	exchange := text(p.do("gitpod.v1.RunnerService/CreateRunnerToken", object{"runnerId": runner}), "exchangeToken")
	return text(p.as("", "gitpod.v1.IdentityService/ExchangeToken", object{"exchangeToken": exchange}), "accessToken")
}

// connect runs a real runner until the test ends, and waits until it is ACTIVE.
func (p *plane) connect(runner string) {
	exchange := text(p.do("gitpod.v1.RunnerService/CreateRunnerToken", object{"runnerId": runner}), "exchangeToken")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	cfg := agent.Config{Server: p.url, ExchangeToken: exchange, DataDir: p.TempDir(), LogHandler: slog.DiscardHandler}
	go func() { done <- agent.Run(ctx, cfg) }()
	p.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			p.Errorf("the runner: %v", err)
		}
	})
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(30 * time.Second); ; {
		got := p.do("gitpod.v1.RunnerService/GetRunner", object{"runnerId": runner})
		if text(got, "runner", "status", "phase") == "RUNNER_PHASE_ACTIVE" {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			p.Fatalf("the runner did not become ACTIVE: %v", got)
		case err := <-done:
			done <- nil
			p.Fatalf("the runner ended: %v", err)
		}
	}
}

// do calls a procedure as the organization's admin; it must succeed.
func (p *plane) do(procedure string, request object) object {
	p.Helper()
	return p.as(p.admin, procedure, request)
}

func (p *plane) as(token, procedure string, request object) object {
	p.Helper()
	code, reply := p.call(token, procedure, request)
	if code != "ok" {
		p.Fatalf("%s: %s: %v", procedure, code, reply)
	}
	return reply
}

// call sends a unary call as JSON and returns the code of its answer.
func (p *plane) call(token, procedure string, request object) (code string, reply object) {
	p.Helper()
	body, err := json.Marshal(request)
	if err != nil {
		p.Fatal(err)
	}
	req, err := http.NewRequestWithContext(p.Context(), http.MethodPost, p.url+"/"+procedure, bytes.NewReader(body))
	if err != nil {
		p.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		p.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		p.Fatal(err)
	}
	if err := json.Unmarshal(raw, &reply); err != nil {
		p.Fatalf("%s: status %d with a body that is no JSON: %q", procedure, res.StatusCode, raw)
	}
	if res.StatusCode == http.StatusOK {
		return "ok", reply
	}
	return text(reply, "code"), reply
}

// text reads a string out of a reply.
func text(o object, path ...string) string {
	for _, name := range path[:len(path)-1] {
		o, _ = o[name].(object)
	}
	s, _ := o[path[len(path)-1]].(string)
	return s
}
