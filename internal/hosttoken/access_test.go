package hosttoken_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/hosttoken"
	"github.com/musterhq/muster/internal/page"
	"github.com/musterhq/muster/internal/resource"
)

func TestWhoMayWhat(t *testing.T) {
	f := setup(t)
	own := f.create(f.user, f.gitHub())
	theirs := f.create(f.admin, f.gitHub())
	f.must(f.store.Fleet().Write(t.Context(), func(tx fleet.Tx) error {
		r := f.keyless
		r.PublicKey = f.runner.PublicKey
		_, err := tx.UpdateRunner(t.Context(), r)
		return err
	}))
	n := f.gitHub()
	n.Runner = f.keyless.ID
	elsewhere := f.create(f.admin, n)
	all := []string{own.ID, theirs.ID, elsewhere.ID}
	for _, tt := range []struct {
		name    string
		caller  access.Caller
		sees    []string
		updates string
		deletes bool // what it sees
	}{
		{"the subject", f.user, []string{own.ID}, own.ID, true},
		{"the subject, when the runner is not shared any more", access.Caller{Subject: f.user.Subject, Organization: f.user.Organization}, []string{own.ID}, own.ID, true},
		{"a runners admin", f.person(f.admin.Organization, resource.RoleOrgRunnersAdmin), all, "", true},
		{"a member", f.member, nil, "", false},
		{"a user of the runner", f.grant(f.member, f.runner, resource.RoleRunnerUser), nil, "", false},
		{"an admin of the runner", f.grant(f.member, f.runner, resource.RoleRunnerAdmin), []string{own.ID, theirs.ID}, "", true},
		{"an admin of the runner, with one of its own", f.grant(f.user, f.keyless, resource.RoleRunnerAdmin), []string{own.ID, elsewhere.ID}, own.ID, true},
		{"an admin of another organization", f.person(f.organization(), resource.RoleOrgAdmin), nil, "", false},
		{"the runner", access.Caller{Subject: access.Subject{Principal: access.PrincipalRunner, ID: string(f.runner.ID)}, Organization: f.admin.Organization}, nil, "", false},
	} {
		list := func(q hosttoken.Query) (listed []string) {
			rows, _, err := f.List(t.Context(), tt.caller, q, page.Request{})
			f.must(err)
			for _, row := range rows {
				listed = append(listed, row.ID)
			}
			return listed
		}
		both := func(a []string, keep ...string) (kept []string) {
			for _, s := range a {
				if slices.Contains(keep, s) {
					kept = append(kept, s)
				}
			}
			return kept
		}
		for what, lists := range map[string][2][]string{
			"all":            {tt.sees, list(hosttoken.Query{})},
			"the runner's":   {both(tt.sees, own.ID, theirs.ID), list(hosttoken.Query{Runner: f.runner.ID})},
			"the subject's":  {both(tt.sees, own.ID), list(hosttoken.Query{Subject: f.user.ID})},
			"the admin's":    {both(tt.sees, theirs.ID, elsewhere.ID), list(hosttoken.Query{Subject: f.admin.ID})},
			"one's on one":   {both(tt.sees, elsewhere.ID), list(hosttoken.Query{Runner: f.keyless.ID, Subject: f.admin.ID})},
			"nobody's on it": {nil, list(hosttoken.Query{Runner: f.keyless.ID, Subject: f.user.ID})},
		} {
			if d := cmp.Diff(lists[0], lists[1]); d != "" {
				t.Errorf("%s lists %s (-want +got):\n%s", tt.name, what, d)
			}
		}
		for _, token := range all {
			seen := slices.Contains(tt.sees, token)
			want := func(may bool) fault.Code {
				switch {
				case may:
					return 0
				case seen:
					return fault.PermissionDenied
				default:
					return fault.NotFound
				}
			}
			_, err := f.Get(t.Context(), tt.caller, token)
			for what, c := range map[string]struct {
				want fault.Code
				err  error
			}{
				"Get":    {want(seen), err},
				"Update": {want(tt.updates == token), f.Update(t.Context(), tt.caller, token, hosttoken.Change{})},
			} {
				if (c.want == 0) != (c.err == nil) || c.want != 0 && !fault.Is(c.err, c.want) {
					t.Errorf("%s: %s: %v", tt.name, what, c.err)
				}
			}
			if seen && tt.deletes {
				continue
			}
			if err := f.Delete(t.Context(), tt.caller, token); !fault.Is(err, want(false)) {
				t.Errorf("%s: Delete: %v", tt.name, err)
			}
		}
	}
	f.take()
	f.must(f.Delete(t.Context(), f.grant(f.member, f.runner, resource.RoleRunnerAdmin), own.ID))
	events, told := f.take()
	if !slices.Equal(events, []string{"host_authentication_token deleted"}) ||
		!slices.Equal(told, []string{"host_authentication_token/" + own.ID + "/refresh_token", "host_authentication_token/" + own.ID + "/token"}) {
		t.Errorf("events %v, told %v", events, told)
	}
	if err := f.Delete(t.Context(), f.user, own.ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("a second deletion: %v", err)
	}
}
