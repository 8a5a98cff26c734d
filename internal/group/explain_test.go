package group_test

import (
	"strings"
	"testing"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/resource"
)

func TestExplain(t *testing.T) {
	f := setup(t)
	ctx := t.Context()
	ann := f.person("Ann", resource.RoleOrgMember)
	robot := f.account("Robot")
	g := f.group("builders", ann.Subject)
	r := f.runner(f.admin.Subject)
	a := f.assign(g.ID, resource.Runner, string(r.ID), resource.RoleRunnerUser)
	itself := access.Subject{Principal: access.PrincipalRunner, ID: string(r.ID)}
	for _, tt := range []struct {
		subject access.Subject
		action  access.Permission
		t       resource.Type
		on      string
		allowed bool
		because string
	}{
		{ann.Subject, access.RunnerUse, resource.Runner, string(r.ID), true, `The group "builders" has the role runner-user on it`},
		{ann.Subject, access.RunnerUpdate, resource.Runner, string(r.ID), false, `which does not allow "runner.update"`},
		{ann.Subject, access.RunnerCreate, resource.Organization, string(f.org), false, "org-member"},
		{ann.Subject, access.RoleAssignmentRead, resource.RoleAssignment, a.ID, true, `is in the group "builders"`},
		{ann.Subject, access.GroupRead, resource.Group, string(g.ID), true, "org-member"},
		{f.admin.Subject, access.RunnerCreate, resource.Organization, string(f.org), true, "org-admin"},
		{robot, access.ServiceAccountTokenCreate, resource.ServiceAccount, robot.ID, true, "The subject is it"},
		{robot, access.RunnerRead, resource.Runner, string(r.ID), false, "org-member"},
		{itself, access.RunnerLink, resource.Runner, string(r.ID), true, "The subject is it"},
		{itself, access.MemberRead, resource.User, ann.ID, false, "Every runner"},
	} {
		why, err := f.Explain(ctx, f.admin, tt.subject, tt.action, tt.t, tt.on)
		if err != nil || why.Allowed != tt.allowed || !strings.Contains(text(why), tt.because) {
			t.Errorf("%s on a %s: %v\n%s", tt.action, tt.t.Words(), err, text(why))
		}
	}
	for _, tt := range []struct {
		subject access.Subject
		action  access.Permission
		t       resource.Type
		on      string
		want    fault.Code
		says    string
	}{
		{ann.Subject, "runner.delte", resource.Runner, string(r.ID), fault.InvalidArgument, "near it are runner.delete"},
		{ann.Subject, "delete", resource.Runner, string(r.ID), fault.InvalidArgument, "runner.delete"},
		{ann.Subject, access.RunnerDelete, resource.Group, string(g.ID), fault.InvalidArgument, "runner or organization, not group"},
		{ann.Subject, access.RunnerCreate, resource.Runner, string(r.ID), fault.InvalidArgument, "organization, not runner"},
		{ann.Subject, access.RunnerDelete, resource.Runner, id.New(), fault.NotFound, "runner"},
		{access.Subject{Principal: access.PrincipalUser, ID: id.New()}, access.RunnerDelete, resource.Runner, string(r.ID), fault.NotFound, "user"},
		{access.Subject{Principal: access.PrincipalRunner, ID: id.New()}, access.RunnerDelete, resource.Runner, string(r.ID), fault.NotFound, "runner"},
		{access.Subject{Principal: 99, ID: id.New()}, access.RunnerDelete, resource.Runner, string(r.ID), fault.InvalidArgument, "principal"},
		{access.System, access.RunnerDelete, resource.Runner, string(r.ID), fault.InvalidArgument, "principal"},
	} {
		if _, err := f.Explain(ctx, f.admin, tt.subject, tt.action, tt.t, tt.on); !fault.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s by %v: %v", tt.action, tt.subject, err)
		}
	}
	_, err := f.Explain(ctx, ann, f.admin.Subject, access.RunnerUse, resource.Runner, string(r.ID))
	f.refuses(err, fault.PermissionDenied)

	// Roles are of no use to whom the door is closed.
	f.must(f.identities.SuspendMember(ctx, f.admin, id.User(ann.ID)))
	why, err := f.Explain(ctx, f.admin, ann.Subject, access.RunnerUse, resource.Runner, string(r.ID))
	if err != nil || why.Allowed || !strings.Contains(text(why), "is suspended") {
		t.Errorf("suspended: %v\n%s", err, text(why))
	}
}

// text is a tree as text.
func text(r access.Reason) string {
	out := r.Text + "\n"
	for _, b := range r.Because {
		out += text(b)
	}
	return out
}
