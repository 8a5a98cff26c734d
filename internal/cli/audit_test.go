package cli_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	adminv1 "github.com/musterhq/muster/gen/muster/admin/v1"
	"github.com/musterhq/muster/internal/audit/chain"
)

func (e *events) ListAuditLogs(_ context.Context, req *connect.Request[gitpodv1.ListAuditLogsRequest]) (*connect.Response[gitpodv1.ListAuditLogsResponse], error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asked(req.Msg)
	from := 0
	if t := req.Msg.GetPagination().GetToken(); t != "" {
		if _, err := fmt.Sscanf(t, "page-%d", &from); err != nil {
			return nil, failure(connect.CodeInvalidArgument, "invalid-page-token", "The page token is not one.")
		}
	}
	to := min(from+int(req.Msg.GetPagination().GetPageSize()), len(e.audit.list))
	resp := &gitpodv1.ListAuditLogsResponse{Entries: e.audit.list[from:to], Pagination: &gitpodv1.PaginationResponse{}}
	if to < len(e.audit.list) {
		resp.Pagination.NextToken = fmt.Sprintf("page-%d", to)
	}
	return connect.NewResponse(resp), nil
}

func (e *events) GetAuditLog(_ context.Context, req *connect.Request[gitpodv1.GetAuditLogRequest]) (*connect.Response[gitpodv1.GetAuditLogResponse], error) {
	for _, entry := range e.audit.list {
		if entry.GetId() == req.Msg.GetAuditLogEntryId() {
			return connect.NewResponse(&gitpodv1.GetAuditLogResponse{Entry: entry}), nil
		}
	}
	return nil, failure(connect.CodeNotFound, "not-found", "There is no such entry.")
}

// auditFake is the audit log of a plane: what is listed, and the chain that is
// exported two entries at a time.
type auditFake struct {
	list    []*gitpodv1.ListAuditLogsResponse_AuditLogEntry
	entries []chain.Entry
	// floor is how many of the entries were removed by age.
	floor int64
	// exported is called after each answer.
	exported func()
}

var auditKey = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))

func (a *auditFake) fill(n int) {
	entries := make([]chain.Entry, n)
	for i := range entries {
		entries[i] = chain.Entry{ID: runnerID(i), ActorPrincipal: 2, ActorID: meID, SubjectType: 2, SubjectID: runnerID(1), Action: "runner.update", Kind: 3, CreatedAt: noon.UnixMicro()}
	}
	chain.Place(entries, 0, chain.Origin, orgID)
	a.entries = entries
}

func (a *auditFake) checkpoint(e chain.Entry, floor bool) *adminv1.AuditCheckpoint {
	c := chain.Checkpoint{Sequence: e.Sequence, Hash: e.Hash, Floor: floor, SignedAt: noon.UnixMicro(), KeyID: "key"}
	return &adminv1.AuditCheckpoint{
		Sequence: c.Sequence, Hash: c.Hash[:], Floor: floor, SignedAt: timestamppb.New(noon), KeyId: c.KeyID,
		Signature: ed25519.Sign(auditKey, c.Message(orgID)),
	}
}

func (a *auditFake) ExportAuditLog(_ context.Context, req *connect.Request[adminv1.ExportAuditLogRequest]) (*connect.Response[adminv1.ExportAuditLogResponse], error) {
	resp := &adminv1.ExportAuditLogResponse{
		OrganizationId: orgID, Keys: []*adminv1.AuditKey{{Id: "key", PublicKey: auditKey.Public().(ed25519.PublicKey)}},
	}
	after := req.Msg.GetAfterSequence()
	if after <= a.floor && a.floor > 0 {
		resp.Checkpoints = append(resp.Checkpoints, a.checkpoint(a.entries[a.floor-1], true))
	}
	for i, e := range a.entries[max(after, a.floor):] {
		if resp.More = i == 2; resp.More {
			break
		}
		resp.Entries = append(resp.Entries, &adminv1.ChainedEntry{
			Sequence: e.Sequence, Hash: e.Hash[:], Id: e.ID, Actor: &gitpodv1.Subject{Id: e.ActorID, Principal: gitpodv1.Principal(e.ActorPrincipal)},
			SubjectId: e.SubjectID, SubjectType: gitpodv1.ResourceType(e.SubjectType), Action: e.Action, Kind: gitpodv1.AuditLogEntryKind(e.Kind),
			CreatedAtMicros: e.CreatedAt,
		})
		if e.Sequence%3 == 0 || int(e.Sequence) == len(a.entries) {
			resp.Checkpoints = append(resp.Checkpoints, a.checkpoint(e, false))
		}
	}
	if a.exported != nil {
		a.exported()
	}
	return connect.NewResponse(resp), nil
}

func TestAuditList(t *testing.T) {
	p := newPlane(t)
	if got := muster(t, "audit", "list").want(t, 0).stdout; !strings.HasPrefix(got, "No entries.") {
		t.Errorf("the empty list says %q", got)
	}
	lab := p.add("lab", gitpodv1.RunnerPhase_RUNNER_PHASE_ACTIVE).GetRunnerId()
	grace := &gitpodv1.OrganizationMember{UserId: meID, FullName: "Grace", Email: "grace@example.com"}
	p.members = append(p.members, grace)
	entry := func(n int, principal gitpodv1.Principal, actor, action string, typ gitpodv1.ResourceType, subject string) *gitpodv1.ListAuditLogsResponse_AuditLogEntry {
		return &gitpodv1.ListAuditLogsResponse_AuditLogEntry{
			Id: runnerID(100 + n), ActorPrincipal: principal, ActorId: actor, Action: action, SubjectType: typ, SubjectId: subject,
			CreatedAt: timestamppb.New(noon.Add(-time.Duration(n) * time.Minute)), Kind: gitpodv1.AuditLogEntryKind_AUDIT_LOG_ENTRY_KIND_RESOURCE_CHANGE,
		}
	}
	p.audit.list = []*gitpodv1.ListAuditLogsResponse_AuditLogEntry{
		entry(1, gitpodv1.Principal_PRINCIPAL_USER, meID, "runner.create", gitpodv1.ResourceType_RESOURCE_TYPE_RUNNER, lab),
		entry(2, gitpodv1.Principal_PRINCIPAL_RUNNER, lab, "runner.token.exchange", gitpodv1.ResourceType_RESOURCE_TYPE_RUNNER, lab),
		entry(3, gitpodv1.Principal_PRINCIPAL_UNSPECIFIED, "", "organization.create", gitpodv1.ResourceType_RESOURCE_TYPE_ORGANIZATION, orgID),
		entry(4, gitpodv1.Principal_PRINCIPAL_SERVICE_ACCOUNT, runnerID(7), "runner.delete", gitpodv1.ResourceType_RESOURCE_TYPE_RUNNER, runnerID(8)),
	}
	want := `TIME (UTC)           WHO                                                   ACTION                 SUBJECT                                            ID
2026-11-21 11:59:00  Grace                                                 runner.create          runner lab                                         ` + runnerID(101) + `
2026-11-21 11:58:00  runner lab                                            runner.token.exchange  runner lab                                         ` + runnerID(102) + `
2026-11-21 11:57:00  the control plane                                     organization.create    organization ` + orgID + `  ` + runnerID(103) + `
2026-11-21 11:56:00  service account ` + runnerID(7) + `  runner.delete          runner ` + runnerID(8) + `        ` + runnerID(104) + `
`
	r := muster(t, "audit", "list").want(t, 0)
	if diff := cmp.Diff(want, r.stdout); diff != "" || r.stderr != "" {
		t.Errorf("%s%s", r.stderr, diff)
	}
	p.requests = nil
	r = muster(t, "audit", "list", "-n", "3", "--actor", "grace@example.com", "--subject", "lab", "--type", "personal-access-token", "--since", "24h", "--until", "2026-11-21", "--oldest-first").want(t, 0)
	if !strings.Contains(r.stderr, "There are more entries") {
		t.Errorf("a list that was cut says %q", r.stderr)
	}
	asked := &gitpodv1.ListAuditLogsRequest{
		Pagination: &gitpodv1.PaginationRequest{PageSize: 3},
		Sort:       &gitpodv1.Sort{Order: gitpodv1.SortOrder_SORT_ORDER_ASC},
		Filter: &gitpodv1.ListAuditLogsRequest_Filter{
			ActorIds: []string{meID}, SubjectIds: []string{lab}, SubjectTypes: []gitpodv1.ResourceType{gitpodv1.ResourceType_RESOURCE_TYPE_PERSONAL_ACCESS_TOKEN},
			From: timestamppb.New(noon.Add(-24 * time.Hour)), To: timestamppb.New(time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)),
		},
	}
	if diff := cmp.Diff([]proto.Message{asked}, p.requests, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	if got := muster(t, "audit", "get", runnerID(101)).want(t, 0).stdout; !strings.Contains(got, "Who:           Grace\n") || !strings.Contains(got, "Kind:          resource change\n") {
		t.Errorf("get printed\n%s", got)
	}
	muster(t, "audit", "list", "--type", "nonsense").want(t, 2)
	muster(t, "audit", "list", "--since", "yesterday").want(t, 2)
	muster(t, "audit", "list", "--actor", "nobody").want(t, 1)
}

func TestAuditExportAndVerify(t *testing.T) {
	p := newPlane(t)
	dir := t.TempDir()
	c := command{dir: dir}
	verify := func(code int, args ...string) result {
		t.Helper()
		return c.run(t, append([]string{"audit", "verify"}, args...)...).want(t, code)
	}
	p.audit.fill(0)
	c.run(t, "audit", "export", "-f", "empty.jsonl").want(t, 0)
	if r := verify(1, "empty.jsonl"); r.stdout != "" || !strings.Contains(r.stderr, "has no entries, so it proves nothing") {
		t.Errorf("of an empty log verify says %q and %q", r.stdout, r.stderr)
	}
	p.audit.fill(7)
	if r := c.run(t, "audit", "export", "-f", "first.jsonl").want(t, 0); r.stdout != "" || r.stderr != "Exported the audit log, entries 1 to 7.\n" {
		t.Errorf("export printed %q and %q", r.stdout, r.stderr)
	}
	if err := os.WriteFile(filepath.Join(dir, "keys.jsonl"), []byte(c.run(t, "audit", "export", "--keys-only").want(t, 0).stdout), 0o600); err != nil {
		t.Fatal(err)
	}
	got := verify(0, "first.jsonl").stdout
	for _, says := range []string{"is intact", "1 to 7, 2026-11-21 12:00:00 UTC", "Signatures:   3, ", "Give keys that you saved earlier", "Give an earlier export"} {
		if !strings.Contains(got, says) {
			t.Errorf("verify does not say %q:\n%s", says, got)
		}
	}

	p.audit.fill(12)
	p.audit.floor = 4
	second := c.run(t, "audit", "export").want(t, 0).stdout
	c.stdin = second
	got = verify(0, "-", "--keys", "keys.jsonl", "--checkpoint", "first.jsonl").stdout
	for _, says := range []string{"5 to 12", "up to 4 said", "whose keys you gave", "checkpoints in common: 2"} {
		if !strings.Contains(got, says) {
			t.Errorf("verify does not say %q:\n%s", says, got)
		}
	}
	c.stdin = strings.Replace(second, "runner.update", "runner.delete", 1)
	if r := verify(1, "-"); !strings.Contains(r.stderr, "entry 5 was changed") || !strings.Contains(r.stderr, "reason audit-log-broken") {
		t.Errorf("of a changed file verify says %q", r.stderr)
	}
	if r := verify(1, "first.jsonl", "--checkpoint", "-"); r.stdout != "" {
		t.Errorf("verify says %q", r.stdout)
	}
	verify(1, "first.jsonl", "--keys", "nowhere")
	verify(1, "nowhere")
}

func TestAuditExportSaysThatEntriesWentAway(t *testing.T) {
	p := newPlane(t)
	p.audit.fill(9)
	p.audit.exported = func() { p.audit.floor = 6 }
	c := command{dir: t.TempDir()}
	if r := c.run(t, "audit", "export", "-f", "log.jsonl").want(t, 1); !strings.Contains(r.stderr, "export it again") {
		t.Errorf("it says %q", r.stderr)
	}
	if left, err := os.ReadDir(c.dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
