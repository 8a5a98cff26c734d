package envclass_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/envclass"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/page"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/runnerschema"
)

func TestClassIsReadAsItWasCreated(t *testing.T) {
	f := setup(t)
	r := f.runner("")
	values := []runnerschema.Value{{Key: "zone", Value: "b"}, {Key: "cpu", Value: "  4 "}, {Key: "empty", Value: ""}}
	made := f.create(r.ID, "Large", values...)
	got, err := f.Get(t.Context(), f.admin, made)
	must(t, err)
	if got.ID != made || got.Runner != r.ID || got.DisplayName != "Large" || got.Description != "a class" || !got.Enabled {
		t.Errorf("%+v", got)
	}
	if diff := cmp.Diff(values, got.Configuration); diff != "" {
		t.Error(diff)
	}
	events := f.takeEvents()
	if len(events) != 1 || events[0].Operation != event.Created || events[0].Object.Type != resource.EnvironmentClass || events[0].Object.ID != made || events[0].Object.Runner != r.ID {
		t.Errorf("events: %+v", events)
	}

	off, name := false, "Huge"
	must(t, f.Update(t.Context(), f.admin, made, envclass.Change{Enabled: &off}))
	must(t, f.Update(t.Context(), f.admin, made, envclass.Change{DisplayName: &name}))
	got, err = f.Get(t.Context(), f.admin, made)
	must(t, err)
	if got.Enabled || got.DisplayName != "Huge" || got.Description != "a class" || len(got.Configuration) != 3 || !got.UpdatedAt.After(got.CreatedAt) {
		t.Errorf("after the changes: %+v", got)
	}
	if events := f.takeEvents(); len(events) != 2 || events[0].Operation != event.Updated {
		t.Errorf("events: %+v", events)
	}
}

func TestCreateRefuses(t *testing.T) {
	f := setup(t)
	strict, loose, broken := f.runner("strict"), f.runner(""), f.runner("unreadable")
	leaving := f.runner("", func(r *fleet.Runner) { r.DeletingAt = time.Now() })
	set := func(pairs ...string) []runnerschema.Value {
		var out []runnerschema.Value
		for _, p := range pairs {
			k, v, _ := strings.Cut(p, "=")
			out = append(out, runnerschema.Value{Key: k, Value: v})
		}
		return out
	}
	for name, c := range map[string]struct {
		runner id.Runner
		values []runnerschema.Value
		code   fault.Code
		parts  []string
	}{
		"a key twice":                        {loose.ID, set("a=1", "a=1"), fault.InvalidArgument, []string{`configuration: "a" is set 2 times`}},
		"all that the schema has against it": {strict.ID, set("cpu=9", "zone=c", "gpu=1"), fault.InvalidArgument, []string{`"cpu" must be`, `"zone" must be one of a, b`, `"gpu" is not a setting`}},
		"what is missing":                    {strict.ID, nil, fault.InvalidArgument, []string{`"cpu" is required`}},
		"a runner that is being deleted":     {leaving.ID, nil, fault.FailedPrecondition, []string{"being deleted"}},
		"a runner that is not there":         {id.Runner(id.New()), nil, fault.NotFound, []string{"runner"}},
		"a schema that cannot be read":       {broken.ID, nil, fault.Internal, nil},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f.Create(t.Context(), f.admin, c.runner, envclass.Draft{DisplayName: "Large", Description: "a class", Configuration: c.values})
			got := fault.From(err)
			if err == nil || got.Code != c.code {
				t.Fatalf("%v", err)
			}
			for _, p := range c.parts {
				if !strings.Contains(got.Message, p) {
					t.Errorf("%q lacks %q", got.Message, p)
				}
			}
		})
	}
	if events := f.takeEvents(); len(events) != 0 {
		t.Errorf("events: %+v", events)
	}
	f.create(strict.ID, "Large", set("cpu=8", "zone=a")...)
}

func TestTextsAreCounted(t *testing.T) {
	f := setup(t)
	r := f.runner("")
	for _, c := range []struct {
		name, description string
		want              envclass.Errors
	}{
		{"abc", "abc", envclass.Errors{}},
		{"äöü", strings.Repeat("ü", 200), envclass.Errors{}},
		{strings.Repeat("ü", 127), "abc", envclass.Errors{}},
		{"ab", "", envclass.Errors{DisplayName: "must have 3 to 127 characters, has 2", Description: "must have 3 to 200 characters, has 0"}},
		{strings.Repeat("ü", 128), strings.Repeat("x", 201), envclass.Errors{DisplayName: "must have 3 to 127 characters, has 128", Description: "must have 3 to 200 characters, has 201"}},
	} {
		got, err := f.Validate(t.Context(), f.admin, r.ID, envclass.Draft{DisplayName: c.name, Description: c.description})
		must(t, err)
		if diff := cmp.Diff(c.want, got); diff != "" || got.None() != (c.want.DisplayName == "") {
			t.Errorf("%q, %q: %s", c.name, c.description, diff)
		}
		_, err = f.Create(t.Context(), f.admin, r.ID, envclass.Draft{DisplayName: c.name, Description: c.description})
		if (err == nil) != got.None() {
			t.Errorf("creating %q: %v", c.name, err)
		}
	}
	made, long := f.create(r.ID, "Large"), strings.Repeat("x", 201)
	if err := f.Update(t.Context(), f.admin, made, envclass.Change{Description: &long}); !fault.Is(err, fault.InvalidArgument) {
		t.Errorf("a long description: %v", err)
	}
}

// Who may do what follows from the runner.
func TestPermissions(t *testing.T) {
	f := setup(t)
	r := f.runner("")
	made := f.create(r.ID, "Large")
	user, reader, owner := f.member, caller(f.org, resource.RoleOrgMember), caller(f.org, resource.RoleOrgMember)
	f.grant(&user, r.ID, resource.RoleRunnerUser)
	f.grant(&reader, r.ID, resource.RoleRunnerConfigurationReader)
	f.grant(&owner, r.ID, resource.RoleRunnerAdmin)
	itself := access.Caller{Subject: access.Subject{Principal: access.PrincipalRunner, ID: string(r.ID)}, Organization: f.org}
	other := access.Caller{Subject: access.Subject{Principal: access.PrincipalRunner, ID: id.New()}, Organization: f.org}
	for name, c := range map[string]struct {
		caller access.Caller
		// read and write are the codes of the errors; nil is none.
		read, write *fault.Code
		usable      bool
	}{
		"an admin":                    {f.admin, nil, nil, true},
		"who administers the runner":  {owner, nil, nil, true},
		"who uses the runner":         {user, nil, ptr(fault.PermissionDenied), true},
		"who reads its configuration": {reader, nil, ptr(fault.PermissionDenied), false},
		"a member":                    {caller(f.org, resource.RoleOrgMember), ptr(fault.NotFound), ptr(fault.NotFound), false},
		"the runner":                  {itself, nil, ptr(fault.PermissionDenied), false},
		"another runner":              {other, ptr(fault.NotFound), ptr(fault.NotFound), false},
		"another organization":        {f.stranger, ptr(fault.NotFound), ptr(fault.NotFound), false},
		"nobody":                      {access.Caller{}, ptr(fault.NotFound), ptr(fault.NotFound), false},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f.Get(t.Context(), c.caller, made)
			checkCode(t, "Get", err, c.read)
			_, err = f.Validate(t.Context(), c.caller, r.ID, envclass.Draft{})
			checkCode(t, "Validate", err, c.read)
			_, err = f.Runner(t.Context(), c.caller, r.ID)
			checkCode(t, "Runner", err, c.read)
			checkCode(t, "Update", f.Update(t.Context(), c.caller, made, envclass.Change{}), c.write)
			made2, err := f.Create(t.Context(), c.caller, r.ID, envclass.Draft{DisplayName: "Small", Description: "a class"})
			checkCode(t, "Create", err, c.write)
			for _, usable := range []bool{true, false} {
				rows, _, err := f.List(t.Context(), c.caller, envclass.Filter{Usable: &usable}, page.Request{})
				must(t, err)
				listed := slices.ContainsFunc(rows, func(x envclass.Class) bool { return x.ID == made })
				if want := c.read == nil && c.usable == usable; listed != want {
					t.Errorf("List with usable %v: %v, want %v", usable, listed, want)
				}
			}
			if made2 != "" {
				rows, _, err := f.List(t.Context(), c.caller, envclass.Filter{}, page.Request{Size: 1})
				must(t, err)
				if len(rows) != 1 || rows[0].ID != made {
					t.Errorf("the first page: %+v", rows)
				}
			}
		})
	}
}

func ptr(c fault.Code) *fault.Code { return &c }

func checkCode(t *testing.T, what string, err error, want *fault.Code) {
	t.Helper()
	if want == nil && err != nil || want != nil && (err == nil || fault.From(err).Code != *want) {
		t.Errorf("%s: %v", what, err)
	}
}

// A page token goes with its filters and its caller.
func TestPageTokensAreBound(t *testing.T) {
	f := setup(t)
	r := f.runner("")
	for range 3 {
		f.create(r.ID, "Large")
	}
	_, next, err := f.List(t.Context(), f.admin, envclass.Filter{}, page.Request{Size: 1})
	must(t, err)
	yes, no := true, false
	for name, c := range map[string]struct {
		caller access.Caller
		filter envclass.Filter
	}{
		"enabled":  {f.admin, envclass.Filter{Enabled: &yes}},
		"usable":   {f.admin, envclass.Filter{Usable: &no}},
		"runner":   {f.admin, envclass.Filter{Runners: []id.Runner{r.ID}}},
		"kind":     {f.admin, envclass.Filter{Kinds: []fleet.Kind{fleet.KindRemote}}},
		"provider": {f.admin, envclass.Filter{Providers: []fleet.Provider{fleet.ProviderGCP}}},
		"caller":   {caller(f.org, resource.RoleOrgAdmin), envclass.Filter{}},
	} {
		if _, _, err := f.List(t.Context(), c.caller, c.filter, page.Request{Token: next}); !fault.HasReason(err, fault.InvalidPageToken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	rows, last, err := f.List(t.Context(), f.admin, envclass.Filter{}, page.Request{Token: next, Size: 2})
	if err != nil || len(rows) != 2 || last != "" {
		t.Errorf("the rest: %d, %q, %v", len(rows), last, err)
	}
}
