package matrix_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musterhq/muster/internal/access"
)

var update = flag.Bool("update", false, "write the golden table anew; review what changes")

// TestMatrix calls every procedure as every kind of caller, each time with
// something fresh to act on, and compares the codes with the reviewed table. Of
// a list it says whether it shows anything of the organization or is empty. A
// procedure that has no row here fails the test.
func TestMatrix(t *testing.T) {
	p := start(t)
	callers := p.callers()
	procedures := access.Procedures()
	var table strings.Builder
	fmt.Fprintf(&table, "%-64s", "")
	for _, c := range callers {
		fmt.Fprintf(&table, " %-14s", c.name)
	}
	table.WriteString("\n")
	for _, procedure := range procedures {
		request, ok := requests[procedure]
		if !ok {
			t.Errorf("%s has no request in this test", procedure)
			continue
		}
		fmt.Fprintf(&table, "%-64s", procedure)
		for _, c := range callers {
			fmt.Fprintf(&table, " %-14s", p.cell(c, procedure, request))
		}
		table.WriteString("\n")
	}
	for procedure := range requests {
		if !slices.Contains(procedures, procedure) {
			t.Errorf("%s is called here and has no row in the access table", procedure)
		}
	}
	got := trimLines(table.String())
	golden := filepath.Join("testdata", "matrix.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); d != "" {
		t.Errorf("who may call what has changed (-reviewed +now); if that is meant, run with -update and review:\n%s", d)
	}
}

func trimLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}

// caller is one column.
type caller struct {
	name  string
	token string
}

func (p *plane) callers() []caller {
	memberID, member := p.person("member")
	p.member = memberID
	user, userToken := p.person("group user")
	p.join(p.users, user, "PRINCIPAL_USER")
	groupAdmin, groupAdminToken := p.person("group admin")
	p.join(p.admins, groupAdmin, "PRINCIPAL_USER")
	readOnly := text(p.do("gitpod.v1.UserService/CreatePersonalAccessToken", object{"userId": p.adminID, "readOnly": true}), "token")
	p.account = text(p.do("gitpod.v1.ServiceAccountService/CreateServiceAccount", object{"name": "robot", "validUntil": "2100-01-01T00:00:00Z"}), "serviceAccount", "id")
	robot := text(p.do("gitpod.v1.ServiceAccountService/CreateServiceAccountAccessToken", object{"serviceAccountId": p.account}), "token")
	stranger := p.as(p.operator, "muster.admin.v1.InstallationService/CreateOrganization", object{"name": "Third", "adminName": "Tim", "adminEmail": "tim@example.com"})
	return []caller{
		{"anonymous", ""},
		{"operator", p.operator}, // of the installation, from another organization
		{"stranger", text(stranger, "token")},
		{"member", member},
		{"group-user", userToken},
		{"group-admin", groupAdminToken},
		{"runners-admin", p.withOrganizationRole("runners admin", "RESOURCE_ROLE_ORG_RUNNERS_ADMIN")},
		{"groups-admin", p.withOrganizationRole("groups admin", "RESOURCE_ROLE_ORG_GROUPS_ADMIN")},
		{"auditor", p.withOrganizationRole("auditor", "RESOURCE_ROLE_ORG_AUDIT_LOG_READER")},
		{"admin", p.admin},
		{"read-only", readOnly},
		{"service-account", robot},
		{"runner", p.runnerToken(p.runner)},
		{"another-runner", p.runnerToken(p.sharedRunner("another"))},
		{"logs-token", text(p.do("gitpod.v1.RunnerService/CreateRunnerLogsToken", object{"runnerId": p.runner}), "accessToken")},
	}
}

// cell is what a caller gets.
func (p *plane) cell(c caller, procedure string, request func(*plane) object) string {
	p.Helper()
	if request == nil {
		return short(p.stream(c.token, procedure))
	}
	code, reply := p.call(c.token, procedure, request(p))
	if _, name, _ := strings.Cut(procedure, "/"); code == "ok" && (strings.HasPrefix(name, "List") || strings.HasPrefix(name, "Export")) {
		return p.listed(reply)
	}
	return short(code)
}

// listed tells whether a list shows anything of the second organization.
func (p *plane) listed(reply object) string {
	text := fmt.Sprint(reply)
	for _, id := range []string{p.organization, p.member, p.ownerID, p.account, p.runner, p.idle, p.users, p.admins} {
		if strings.Contains(text, id) {
			return "shows"
		}
	}
	return "empty"
}

// short makes the table narrow.
func short(code string) string {
	if s, ok := map[string]string{
		"permission_denied": "denied", "not_found": "missing", "unauthenticated": "no", "unimplemented": "unbuilt",
		"failed_precondition": "precondition", "invalid_argument": "invalid",
	}[code]; ok {
		return s
	}
	return code
}

// stream opens a stream and returns its code: of the headers, or of its first
// frame when that is the end.
func (p *plane) stream(token, procedure string) string {
	p.Helper()
	ctx, cancel := context.WithCancel(p.Context())
	defer cancel()
	contentType, body := "application/jsonl", []byte("{}")
	if strings.HasPrefix(procedure, "muster.link.") {
		contentType, body = "application/connect+json", []byte{0, 0, 0, 0, 2, '{', '}'} // one empty frame
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url+"/"+procedure, bytes.NewReader(body))
	if err != nil {
		p.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := p.h2c().Do(req)
	if err != nil {
		p.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if contentType == "application/jsonl" && res.StatusCode == http.StatusOK {
		return "ok"
	}
	buf := make([]byte, 4096)
	n, _ := res.Body.Read(buf)
	_, rest, found := strings.Cut(string(buf[:n]), `"code":"`)
	if !found {
		p.Fatalf("%s: status %d, body %q", procedure, res.StatusCode, buf[:n])
	}
	code, _, _ := strings.Cut(rest, `"`)
	return code
}

func (p *plane) h2c() *http.Client {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	tr := &http.Transport{Protocols: &protocols}
	p.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}
