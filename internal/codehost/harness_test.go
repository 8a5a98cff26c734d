package codehost_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/codehost"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/scmurl"
)

const (
	org     id.Organization = "org"
	members id.Group        = "members" // use all runners
	readers id.Group        = "readers" // may read their configuration, and no more
)

// world is a store, the connected runners and the links, all in memory.
type world struct {
	service     *codehost.Service
	runners     []fleet.Runner
	hosts       map[id.Runner][]codehost.Host
	credentials []kept
	classes     map[id.Runner][]string
	connected   map[id.Runner]bool

	// lookups counts the calls of the store.
	lookups int
	// asked is what the runners were asked, and answer what they say.
	asked  []question
	answer answer
}

type kept struct {
	subject string
	codehost.Credential
}

// question is what a runner was asked.
type question struct {
	runner id.Runner
	as     []codehost.Access
	url    string
	search codehost.Search
	orgs   codehost.OrganizationQuery
	probe  codehost.Probe
}

// answer is what every runner says.
type answer struct {
	context        codehost.Context
	repositories   codehost.Repositories
	organizations  codehost.Organizations
	authentication codehost.Authentication
	readable       codehost.Readable
	probed         codehost.Probed
	err            error
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{hosts: map[id.Runner][]codehost.Host{}, classes: map[id.Runner][]string{}, connected: map[id.Runner]bool{}}
	w.service = codehost.New(w, w, w)
	return w
}

// runner adds a connected one that can do everything and that the members use.
func (w *world) runner(name id.Runner, hosts ...codehost.Host) {
	r := fleet.Runner{
		ID: name, Name: string(name), Organization: org, Creator: access.Subject{Principal: access.PrincipalUser, ID: "creator"},
		Grants: []access.Grant{{Group: members, Role: resource.RoleRunnerUser}, {Group: readers, Role: resource.RoleRunnerConfigurationReader}},
		Report: fleet.Report{Capabilities: []fleet.Capability{8, 9}},
	}
	w.runners = append(w.runners, r)
	w.hosts[name] = hosts
	w.connected[name] = true
}

func (w *world) change(r id.Runner, fn func(*fleet.Runner)) {
	fn(&w.runners[slices.IndexFunc(w.runners, func(other fleet.Runner) bool { return other.ID == r })])
}

// signIn gives a person a credential for a host on a runner.
func (w *world) signIn(person string, r id.Runner, host codehost.Host) *codehost.Credential {
	w.credentials = append(w.credentials, kept{person, codehost.Credential{
		ID: fmt.Sprintf("%s on %s for %s", person, r, host.Host), Runner: r, Host: host.Host, Integration: host.ID,
	}})
	return &w.credentials[len(w.credentials)-1].Credential
}

func host(id, scmID, name string) codehost.Host {
	return codehost.Host{Integration: scmurl.Integration{ID: id, SCMID: scmID, Host: name, OAuth: true, PAT: true}, OAuthClientID: "client"}
}

var gitHub = host("i-github", scmurl.GitHub, "github.com")

// person is a caller in these groups.
func person(name string, groups ...id.Group) access.Caller {
	return access.Caller{
		Subject: access.Subject{Principal: access.PrincipalUser, ID: name}, Organization: org,
		Standing: access.Standing{Groups: groups, Grants: []access.Grant{{Role: resource.RoleOrgMember}}},
	}
}

func (w *world) Runner(_ context.Context, want id.Runner) (fleet.Runner, bool, error) {
	w.lookups++
	n := slices.IndexFunc(w.runners, func(r fleet.Runner) bool { return r.ID == want })
	if n < 0 {
		return fleet.Runner{}, false, nil
	}
	return w.runners[n], true, nil
}

func (w *world) HostsOf(_ context.Context, _ id.Organization, r id.Runner, limit int) ([]codehost.Host, error) {
	w.lookups++
	return w.hosts[r][:min(len(w.hosts[r]), limit)], nil
}

// Places looks as plainly as it can be said. The runners are connected, or their
// sessions have ended.
func (w *world) Places(_ context.Context, q codehost.PlaceQuery) ([]codehost.Place, error) {
	w.lookups++
	var places []codehost.Place
	for _, r := range w.runners {
		used := q.Use.All || q.Use.Creator == r.Creator.ID || slices.ContainsFunc(r.Grants, func(g access.Grant) bool {
			return slices.Contains(q.Use.Groups, g.Group) && slices.Contains(q.Use.Roles, g.Role)
		})
		for _, h := range w.hosts[r.ID] {
			if used && (!q.Live || w.connected[r.ID]) && slices.Contains(q.Names, h.Host) {
				places = append(places, codehost.Place{Runner: r.ID, Host: h})
			}
		}
	}
	return places[:min(len(places), q.Limit)], nil
}

func (w *world) CredentialsOf(_ context.Context, _ id.Organization, s access.Subject, r id.Runner, limit int) ([]codehost.Credential, error) {
	w.lookups++
	var own []codehost.Credential
	for _, k := range w.credentials {
		if k.subject == s.ID && (r == "" || k.Runner == r) {
			own = append(own, k.Credential)
		}
	}
	return own[:min(len(own), limit)], nil
}

func (w *world) EnabledClasses(_ context.Context, _ id.Organization, r id.Runner, limit int) ([]string, error) {
	w.lookups++
	return w.classes[r][:min(len(w.classes[r]), limit)], nil
}

func (w *world) Connected(r id.Runner) bool { return w.connected[r] }

func (w *world) BeginURL(_ access.Caller, r id.Runner, integration string) string {
	return "https://muster.example/begin/" + string(r) + "/" + integration
}

func (w *world) ParseContext(_ context.Context, r id.Runner, a codehost.Access, url string) (codehost.Context, error) {
	w.asked = append(w.asked, question{runner: r, as: []codehost.Access{a}, url: url})
	return w.answer.context, w.answer.err
}

func (w *world) SearchRepositories(_ context.Context, r id.Runner, as []codehost.Access, s codehost.Search) (codehost.Repositories, error) {
	w.asked = append(w.asked, question{runner: r, as: as, search: s})
	return w.answer.repositories, w.answer.err
}

func (w *world) ListOrganizations(_ context.Context, r id.Runner, a codehost.Access, q codehost.OrganizationQuery) (codehost.Organizations, error) {
	w.asked = append(w.asked, question{runner: r, as: []codehost.Access{a}, orgs: q})
	return w.answer.organizations, w.answer.err
}

func (w *world) CheckAuthentication(_ context.Context, r id.Runner, a codehost.Access) (codehost.Authentication, error) {
	w.asked = append(w.asked, question{runner: r, as: []codehost.Access{a}})
	return w.answer.authentication, w.answer.err
}

func (w *world) CheckRepository(_ context.Context, r id.Runner, a codehost.Access, url string) (codehost.Readable, error) {
	w.asked = append(w.asked, question{runner: r, as: []codehost.Access{a}, url: url})
	return w.answer.readable, w.answer.err
}

func (w *world) ProbeIntegration(_ context.Context, r id.Runner, p codehost.Probe) (codehost.Probed, error) {
	w.asked = append(w.asked, question{runner: r, probe: p})
	return w.answer.probed, w.answer.err
}

// told is what a caller learns of an error, in one line: code, reason, and what
// it says of signing in.
func told(err error) string {
	if err == nil {
		return "ok"
	}
	f := fault.From(err)
	text := fmt.Sprintf("%s/%s", codeNames[f.Code], f.Reason)
	if needed, ok := errors.AsType[*codehost.SignInNeeded](err); ok {
		text += fmt.Sprintf(" scm=%s begin=%s runners=%v", needed.SCMID, needed.BeginURL, needed.Runners)
	}
	if f.RetryAfter > 0 {
		text += " later"
	}
	return text
}

var codeNames = map[fault.Code]string{
	fault.InvalidArgument: "invalid", fault.FailedPrecondition: "precondition", fault.NotFound: "missing", fault.PermissionDenied: "denied",
	fault.Unavailable: "unavailable", fault.Internal: "internal", fault.DeadlineExceeded: "late",
}
