package manifest_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/musterhq/muster/internal/cli/manifest"
)

const file = `version: 1
serviceAccounts:
  - name: robot
    description: Runs the pipelines
    validUntil: "2100-01-01T00:00:00Z"
groups:
  - name: platform
    description: The platform team
    members:
      - service-account:robot
      - user:ann@example.com
    roles:
      - org-runners-admin
runners:
  - name: web
    provider: linux-host
    configuration:
      autoUpdate: true
      logLevel: LOG_LEVEL_INFO
      updateWindow:
        startHour: 2
    classes:
      - name: Small
        description: A small one
        configuration:
          cpu: "2"
    scm:
      - host: gitlab.example.com
        kind: gitlab
        pat: true
        oauth:
          clientId: client
    llm:
      - models:
          - sonnet-4
        endpoint: https://llm.example.com
        maxTokens: 4096
    policies:
      - group: platform
        role: admin
    shares:
      - with: user:bob@example.com
        role: user
`

func read(t *testing.T, text string) *manifest.Manifest {
	t.Helper()
	m, err := manifest.Read(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestWhatIsReadIsWritten(t *testing.T) {
	var out bytes.Buffer
	if err := manifest.Write(&out, read(t, file)); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(file, out.String()); d != "" {
		t.Errorf("written (-read +written):\n%s", d)
	}
}

func TestFilesThatAreRefused(t *testing.T) {
	for text, says := range map[string]string{
		"":                                   "empty",
		"version: 2\n":                       "version 2",
		"version: 1\nrunner: []\n":           "field runner is not a field of a Manifest",
		"version: 1\n---\nversion: 1\n":      "more than one",
		"version: 1\nrunners: {name: web}\n": "cannot be read",
	} {
		if _, err := manifest.Read(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// lines is a plan as a test compares it.
func lines(t *testing.T, have, want string, o manifest.Options) string {
	t.Helper()
	h := read(t, have)
	number(h)
	p, err := manifest.NewPlan(h, read(t, want), o)
	if err != nil {
		return "error: " + err.Error()
	}
	var b strings.Builder
	for _, s := range p.Steps {
		fmt.Fprintf(&b, "%s %s %s %v\n", s.Verb, s.Kind, s.Name, s.Changes)
	}
	for _, k := range p.Kept {
		fmt.Fprintf(&b, "keep %s\n", k)
	}
	return b.String()
}

// number gives ids, as things have on a server.
func number(m *manifest.Manifest) {
	for i := range m.ServiceAccounts {
		m.ServiceAccounts[i].ID = fmt.Sprint("a", i)
	}
	for i := range m.Runners {
		m.Runners[i].ID = fmt.Sprint("r", i)
		for j := range m.Runners[i].Classes {
			m.Runners[i].Classes[j].ID = fmt.Sprint("c", i, j)
		}
		for j := range m.Runners[i].LLM {
			m.Runners[i].LLM[j].ID = fmt.Sprint("l", i, j)
		}
	}
	m.Distinguish()
}

func TestPlans(t *testing.T) {
	edit := func(from, to string) string {
		if !strings.Contains(file, from) {
			t.Fatalf("the file has no %q", from)
		}
		return strings.Replace(file, from, to, 1)
	}
	const nothing = "version: 1\n"
	all := manifest.Options{Prune: true}
	for name, tt := range map[string]struct {
		have, want string
		options    manifest.Options
		plan       string
	}{
		"the same": {have: file, want: file},
		"everything": {have: nothing, want: file, plan: `create service account robot []
create group platform []
create member platform/service-account:robot []
create member platform/user:ann@example.com []
create role platform/org-runners-admin []
create runner web []
create class web/Small []
create scm web/gitlab.example.com []
create llm web/https://llm.example.com sonnet-4 []
create policy web/platform []
create share web/user:bob@example.com []
`},
		"nothing": {have: file, want: nothing, plan: `keep service account "robot"
keep group "platform"
keep runner "web"
`},
		"nothing, pruned": {have: file, want: nothing, options: all, plan: `delete runner web []
delete group platform []
delete service account robot []
`},
		"a description": {have: file, want: edit("The platform team", "Platform"), plan: "update group platform [description: \"The platform team\" -> Platform]\n"},
		"a setting":     {have: file, want: edit("autoUpdate: true", "autoUpdate: false"), plan: "update runner web [configuration.autoUpdate: true -> (none)]\n"},
		"a block removed": {
			have: file, want: edit("      updateWindow:\n        startHour: 2\n", ""),
			plan: "update runner web [configuration.updateWindow.startHour: 2 -> (none)]\n",
		},
		"midnight is an hour": {
			have: file, want: edit("startHour: 2", "startHour: 0"), plan: "update runner web [configuration.updateWindow.startHour: 2 -> 0]\n",
		},
		"another provider":     {have: file, want: edit("linux-host", "gcp"), plan: "error: runner \"web\": provider is linux-host and cannot be changed; delete the runner, or make another one"},
		"another end":          {have: file, want: edit("2100-01-01", "2101-01-01"), plan: "error: service account \"robot\": validUntil is 2100-01-01T00:00:00Z and cannot be changed; delete the account, or make another one"},
		"another role":         {have: file, want: edit("role: admin", "role: user"), plan: "update policy web/platform [role: admin -> user]\n"},
		"a member less":        {have: file, want: edit("      - user:ann@example.com\n", ""), plan: "keep member \"platform/user:ann@example.com\"\n"},
		"a member less, gone":  {have: file, want: edit("      - user:ann@example.com\n", ""), options: all, plan: "delete member platform/user:ann@example.com []\n"},
		"a class changed":      {have: file, want: edit(`cpu: "2"`, `cpu: "4"`), plan: "update class web/Small [disabled: one with the new configuration takes its place]\ncreate class web/Small []\n"},
		"a class less":         {have: file, want: edit("      - name: Small\n        description: A small one\n        configuration:\n          cpu: \"2\"\n", "      []\n"), options: all, plan: "update class web/Small [disabled: classes cannot be deleted]\n"},
		"another kind of host": {have: file, want: edit("kind: gitlab", "kind: gitea"), plan: "delete scm web/gitlab.example.com []\ncreate scm web/gitlab.example.com []\n"},
		"no OAuth":             {have: file, want: edit("        oauth:\n          clientId: client\n", ""), plan: "update scm web/gitlab.example.com [oauth.clientId: client -> (none)]\n"},
		"a secret":             {have: file, want: edit("          clientId: client\n", "          clientId: client\n          clientSecret: {env: S}\n")},
		"a secret, set": {
			have: file, want: edit("          clientId: client\n", "          clientId: client\n          clientSecret: {env: S}\n"), options: manifest.Options{Secrets: true},
			plan: "update scm web/gitlab.example.com [oauth.clientSecret]\n",
		},
		"a class of the past": {
			have: edit("    classes:\n", "    classes:\n      - {name: Small, description: A small one, disabled: true, configuration: {cpu: \"4\"}}\n"),
			want: edit(`cpu: "2"`, `cpu: "4"`),
			plan: "update class web/Small [disabled: one with the new configuration takes its place]\nupdate class web/Small [disabled: true -> false]\n",
		},
		"another header": {
			have: file, want: edit("        maxTokens: 4096\n", "        maxTokens: 4096\n        headers:\n          - {name: x-org, expression: request.user}\n"),
			plan: "update llm web/https://llm.example.com sonnet-4 [headers: (none) -> x-org=request.user]\n",
		},
		"a retention policy": {
			have: file, want: edit("version: 1\n", "version: 1\nretention: {auditDays: 90}\n"),
			plan: "update retention policy of the organization [auditDays: 0 -> 90]\n",
		},
		"no provider": {have: file, want: edit("    provider: linux-host\n", ""), plan: "error: runner \"web\": provider is missing; linux-host is a runner on a Linux host"},
		"one of two names": {
			have: edit("runners:\n", "runners:\n  - {name: web, provider: gcp}\n"), want: file,
			plan: "error: runner \"web\": several have this name; give the id of the one that is meant, as \"muster export\" writes it",
		},
		"twice in the file": {have: file, want: edit("groups:\n", "groups:\n  - name: platform\n"), plan: "error: the file: group \"platform\" is there twice"},
	} {
		if d := cmp.Diff(tt.plan, lines(t, tt.have, tt.want, tt.options)); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

// Whatever is exported, applying it changes nothing.
func TestTheSameIsNoPlan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := random(t)
		var b bytes.Buffer
		if err := manifest.Write(&b, m); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s", b.String())
		back, err := manifest.Read(&b)
		if err != nil {
			t.Fatal(err)
		}
		p, err := manifest.NewPlan(m, back, manifest.Options{Prune: true})
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Steps)+len(p.Kept) > 0 {
			t.Fatalf("applying what was exported does %+v", p)
		}
	})
}

// random is a state as a server may have it.
func random(t *rapid.T) *manifest.Manifest {
	word := rapid.StringMatching(`[a-zA-Z0-9 :"'#\-]{1,12}`)
	words := func(label string, limit int) []string {
		return rapid.SliceOfNDistinct(word, 0, limit, rapid.ID).Draw(t, label)
	}
	// Most names need not be unique.
	few := func(label string, limit int) []string {
		return rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c d"}), 0, limit).Draw(t, label)
	}
	m := &manifest.Manifest{Version: manifest.Version}
	for _, n := range few("accounts", 3) {
		m.ServiceAccounts = append(m.ServiceAccounts, manifest.ServiceAccount{Name: n, Description: word.Draw(t, "description"), ValidUntil: "2100-01-01T00:00:00Z"})
	}
	for _, n := range words("groups", 3) {
		m.Groups = append(m.Groups, manifest.Group{ID: n, Name: n, Members: words("members", 3), Roles: words("roles", 2)})
	}
	for _, n := range few("runners", 3) {
		r := manifest.Runner{Name: n, Provider: "linux-host", Configuration: map[string]any{}}
		for _, k := range words("settings", 3) {
			r.Configuration[k] = rapid.OneOf(rapid.Just(any(true)), rapid.Just(any(float64(0))), rapid.Just(any(map[string]any{"a": float64(22)})), rapid.Map(word, func(s string) any { return s })).Draw(t, "value")
		}
		delete(r.Configuration, "region")
		for i, c := range few("classes", 4) {
			r.Classes = append(r.Classes, manifest.Class{Name: c, Description: "a class", Disabled: rapid.Bool().Draw(t, "disabled"), Configuration: map[string]string{c: fmt.Sprint(i % 2)}})
		}
		for _, h := range rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z]{1,5}`), 0, 2, rapid.ID).Draw(t, "hosts") {
			r.SCM = append(r.SCM, manifest.SCM{ID: h, Host: h, Kind: "gitlab", PAT: true, OAuth: &manifest.OAuth{ClientID: h}})
		}
		for _, g := range words("policies", 2) {
			r.Policies = append(r.Policies, manifest.Policy{Group: g, Role: "user"})
		}
		m.Runners = append(m.Runners, r)
	}
	number(m)
	return m
}
