package cli_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
)

func TestPATs(t *testing.T) {
	p := newPlane(t)
	if got := muster(t, "pat", "list").want(t, 0).stdout; got != "No tokens. Make one: muster pat create DESCRIPTION\n" {
		t.Errorf("the empty list says %q", got)
	}
	// Only the token is on the standard output.
	if got := muster(t, "pat", "create", "ci", "--valid-for", "30d", "--read-only").want(t, 0).stdout; got != "muster_pat_new\n" {
		t.Errorf("create printed %q", got)
	}
	want := &gitpodv1.CreatePersonalAccessTokenRequest{
		UserId: meID, Description: "ci", ReadOnly: true, ValidFor: durationpb.New(30 * 24 * time.Hour),
	}
	if diff := cmp.Diff([]proto.Message{want}, p.requests, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	wantList := `DESCRIPTION  ID                                    SCOPE  AGE  EXPIRES  LAST USED
ci           ` + runnerID(0) + `  read   0s   in 30d   never
`
	if diff := cmp.Diff(wantList, muster(t, "pat", "list").want(t, 0).stdout); diff != "" {
		t.Error(diff)
	}
	if got := muster(t, "pat", "get", "ci").want(t, 0).stdout; !strings.Contains(got, "Expires:      2026-12-21 12:00:00 UTC (in 30d)\n") {
		t.Errorf("get printed\n%s", got)
	}
	muster(t, "pat", "delete", "ci", "--yes").want(t, 0)
	muster(t, "pat", "delete", "ci", "--yes").want(t, 1)
	for _, bad := range []string{"soon", "-1h", "d", "-3d"} {
		if r := muster(t, "pat", "create", "ci", "--valid-for="+bad).want(t, 2); !strings.Contains(r.stderr, "30d or 12h") {
			t.Errorf("--valid-for=%s gave %q", bad, r.stderr)
		}
	}
}

func TestMembers(t *testing.T) {
	p := newPlane(t)
	r := muster(t, "member", "add", "Grace", "--email", "grace@example.com", "--role", "admin").want(t, 0)
	if r.stdout != "muster_pat_grace\n" || !strings.Contains(r.stderr, "Added Grace (grace@example.com) as admin.") {
		t.Errorf("add printed %q and %q", r.stdout, r.stderr)
	}
	status := func() string {
		return strings.Fields(strings.Split(muster(t, "member", "list").want(t, 0).stdout, "\n")[1])[3]
	}
	muster(t, "member", "set-role", "Grace", "member").want(t, 0)
	if got := p.members[0].GetRole(); got != gitpodv1.OrganizationRole_ORGANIZATION_ROLE_MEMBER {
		t.Errorf("after set-role the role is %s", got)
	}
	muster(t, "member", "set-role", "Grace", "king").want(t, 2)
	muster(t, "member", "suspend", "GRACE@example.com").want(t, 0)
	if got := status(); got != "SUSPENDED" {
		t.Errorf("after suspend the status is %s", got)
	}
	muster(t, "member", "resume", "Grace").want(t, 0)
	if got := status(); got != "ACTIVE" {
		t.Errorf("after resume the status is %s", got)
	}
	muster(t, "member", "remove", p.members[0].GetUserId(), "--yes").want(t, 0)
	if got := status(); got != "LEFT" {
		t.Errorf("after remove the status is %s", got)
	}
	// Who has left does not stand in the way of who came after.
	muster(t, "member", "add", "Grace", "--email", "grace@example.com").want(t, 0)
	muster(t, "member", "suspend", "Grace").want(t, 0)
	if p.members[1].GetStatus() != gitpodv1.UserStatus_USER_STATUS_SUSPENDED {
		t.Error("the wrong member was suspended")
	}
}

func TestUsage(t *testing.T) {
	newPlane(t)
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"runner lst", 2, "muster: unexpected argument lst, did you mean"},
		{"runner", 2, `See "muster runner --help".`},
		{"runner get", 2, `See "muster runner get --help".`},
		{"runner list --output xml", 2, `--output`},
		{"member add X", 2, "missing flags: --email"},
		{"pat create x --valid-for 0s", 2, `"0s" is no time at all`},
		{"pat create x --valid-for=-1h", 2, `"-1h" is not a length of time`},
		{"service-account token create ci x --valid-for 0d", 2, `"0d" is no time at all`},
		{"runner tokens rotate lab --valid-for 0s", 2, `"0s" is no time at all`},
		{"audit get nope", 2, `"nope" is not the id of an entry`},
		{"runner wait lab --for nowhere", 2, "--for"},
	} {
		if r := muster(t, strings.Fields(c.args)...).want(t, c.code); !strings.Contains(r.stderr, c.want) {
			t.Errorf("%s: it says %q", c.args, r.stderr)
		}
	}
	if r := muster(t).want(t, 0); !strings.Contains(r.stdout, "Usage: muster") {
		t.Errorf("without arguments it prints %q", r.stdout)
	}
	if got := muster(t, "version").want(t, 0).stdout; !strings.HasPrefix(got, "muster test (go") {
		t.Errorf("version prints %q", got)
	}
}
