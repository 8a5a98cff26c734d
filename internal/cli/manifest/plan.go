package manifest

import (
	"fmt"
	"slices"
	"strings"
)

// Verb is what a step does.
type Verb string

// The verbs.
const (
	Create Verb = "create"
	Update Verb = "update"
	Delete Verb = "delete"
)

// Step is one change that leads from what there is to what is wanted.
type Step struct {
	Verb Verb
	// Kind and Name say what is changed, for people: "class" and "web/Small".
	Kind, Name string
	// Changes are the fields that an update changes.
	Changes []string
	// Parent is the name of the runner or the group that it belongs to.
	Parent string
	// Want and Have are of the same type: Retention, ServiceAccount, Group, Member,
	// OrganizationRole, GroupRole, Runner, Class, SCM, LLM, Policy, Share or
	// RunnerRole. Have is nil in a creation and Want in a deletion.
	Want, Have any
}

// Member is a member of a group.
type Member struct {
	ID      string
	Subject string // as in Group.Members
}

// OrganizationRole is a role of a group on the organization.
type OrganizationRole struct {
	ID   string
	Role string
}

// Options say how far a plan goes.
type Options struct {
	// Prune deletes what is there and not wanted. Without it that is kept.
	Prune bool
	// Secrets sets the secrets that the file names on what exists, too: it cannot
	// be told whether they have changed.
	Secrets bool
}

// Plan is the way from one state to another, in an order in which it works:
// what others need first, deletions last. Kept names what is there, is not
// wanted, and stays.
type Plan struct {
	Steps []Step
	Kept  []string
}

// Destroys tells whether something is gone after the plan that cannot be
// brought back by applying another file.
func (p Plan) Destroys() bool { return slices.ContainsFunc(p.Steps, Step.destroys) }

// destroys is so of what is deleted, of what a stricter retention policy removes, and
// of the secrets that go with the setting that they are for.
func (s Step) destroys() bool {
	if s.Verb != Update {
		return s.Verb == Delete
	}
	switch want := s.Want.(type) {
	case Retention:
		return want.removesMoreThan(s.Have.(Retention))
	case Runner:
		return want.Configuration["metrics"] == nil && s.Have.(Runner).Configuration["metrics"] != nil
	case SCM:
		have := s.Have.(SCM)
		return have.PAT && !want.PAT || have.OAuth != nil && want.OAuth == nil
	case LLM:
		return slices.ContainsFunc(s.Have.(LLM).Headers, func(h Header) bool {
			return len(h.Sealed) > 0 && !slices.ContainsFunc(want.Headers, func(w Header) bool { return w.Name == h.Name && w.Expression == "" })
		})
	default:
		return false
	}
}

// planner gathers steps; deletions go backwards.
type planner struct {
	Options
	steps, deletions []Step
	kept             []string
	err              error
}

// NewPlan compares what there is with what is wanted.
func NewPlan(have, want *Manifest, o Options) (Plan, error) {
	p := &planner{Options: o}
	p.retention(have.Retention, want.Retention)
	compare(p, "service account", "", have.ServiceAccounts, want.ServiceAccounts, ServiceAccount.Key, accountChanges)
	compare(p, "group", "", have.Groups, want.Groups, func(g Group) string { return g.Name }, groupChanges)
	for _, g := range want.Groups {
		before := find(have.Groups, func(h Group) bool { return h.Name == g.Name })
		compare(p, "member", g.Name, members(before), members(g), func(m Member) string { return m.Subject }, nothing)
		compare(p, "role", g.Name, organizationRoles(before), organizationRoles(g), func(r OrganizationRole) string { return r.Role }, nothing)
		compare(p, "role on group", g.Name, before.On, g.On, func(r GroupRole) string { return r.Group + "/" + r.Role }, nothing)
	}
	compare(p, "runner", "", have.Runners, want.Runners, Runner.Key, p.runnerChanges)
	for _, r := range want.Runners {
		before, at := find(have.Runners, func(h Runner) bool { return h.Key() == r.Key() }), r.Key()
		p.classes(at, before.AllClasses, r.Classes)
		p.integrations(at, before.SCM, r.SCM)
		compare(p, "llm", at, before.LLM, r.LLM, LLM.key, p.llmChanges)
		compare(p, "policy", at, before.Policies, r.Policies, func(x Policy) string { return x.Group }, roleChanges(func(x Policy) string { return x.Role }))
		compare(p, "share", at, before.Shares, r.Shares, func(x Share) string { return x.With }, roleChanges(func(x Share) string { return x.Role }))
		compare(p, "role on runner", at, before.Roles, r.Roles, func(x RunnerRole) string { return x.Group + "/" + x.Role }, nothing)
	}
	slices.Reverse(p.deletions)
	return Plan{Steps: append(p.steps, p.deletions...), Kept: p.kept}, p.err
}

// compare finds what to create, to change and to delete among things of one
// kind. changes returns the fields that differ.
func compare[T any](p *planner, kind, parent string, have, want []T, key func(T) string, changes func(have, want T) ([]string, error)) {
	there, err := byKey(have, key)
	if err != nil {
		p.fail("%s %w; rename one of them", label(kind, parent), err)
		return
	}
	wanted, err := byKey(want, key)
	if err != nil {
		p.fail("the file: %s %w", label(kind, parent), err)
		return
	}
	for _, w := range want {
		h, ok := there[key(w)]
		if !ok && slices.ContainsFunc(have, func(h T) bool { return strings.HasPrefix(key(h), key(w)+"#") }) {
			p.fail("%s %q: several have this name; give the id of the one that is meant, as \"muster export\" writes it", kind, name(parent, key(w)))
			continue
		}
		if !ok {
			p.steps = append(p.steps, Step{Verb: Create, Kind: kind, Name: name(parent, key(w)), Parent: parent, Want: w})
			continue
		}
		differ, err := changes(h, w)
		if err != nil {
			p.fail("%s %q: %w", kind, name(parent, key(w)), err)
		}
		if len(differ) > 0 {
			p.steps = append(p.steps, Step{Verb: Update, Kind: kind, Name: name(parent, key(w)), Parent: parent, Want: w, Have: h, Changes: differ})
		}
	}
	for _, h := range have {
		if _, ok := wanted[key(h)]; !ok {
			p.drop(Step{Verb: Delete, Kind: kind, Name: name(parent, key(h)), Parent: parent, Have: h})
		}
	}
}

func (p *planner) drop(s Step) {
	if !p.Prune {
		p.kept = append(p.kept, fmt.Sprintf("%s %q", s.Kind, s.Name))
		return
	}
	p.deletions = append(p.deletions, s)
}

// fail keeps the first error.
func (p *planner) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
	}
}

func byKey[T any](all []T, key func(T) string) (map[string]T, error) {
	m := make(map[string]T, len(all))
	for _, t := range all {
		k := key(t)
		if _, twice := m[k]; twice {
			return nil, fmt.Errorf("%q is there twice", k)
		}
		m[k] = t
	}
	return m, nil
}

func find[T any](all []T, is func(T) bool) T {
	var none T
	if i := slices.IndexFunc(all, is); i >= 0 {
		return all[i]
	}
	return none
}

func name(parent, key string) string {
	if parent == "" {
		return key
	}
	return parent + "/" + key
}

func label(kind, parent string) string {
	if parent == "" {
		return kind
	}
	return kind + " of " + parent + ":"
}

// retention is changed as a whole; a file without one leaves it alone.
func (p *planner) retention(have, want *Retention) {
	if want == nil {
		return
	}
	h := Retention{}
	if have != nil {
		h = *have
	}
	changes := field(nil, "neverConnectedDays", h.NeverConnectedDays, want.NeverConnectedDays)
	changes = field(changes, "offlineDays", h.OfflineDays, want.OfflineDays)
	if changes = field(changes, "auditDays", h.AuditDays, want.AuditDays); len(changes) > 0 {
		p.steps = append(p.steps, Step{Verb: Update, Kind: "retention policy", Name: "of the organization", Changes: changes, Want: *want, Have: h})
	}
}

// removesMoreThan tells whether one of the limits is new or earlier; 0 is none.
func (r Retention) removesMoreThan(other Retention) bool {
	stricter := func(days, than int32) bool { return days > 0 && (than == 0 || days < than) }
	return stricter(r.NeverConnectedDays, other.NeverConnectedDays) || stricter(r.OfflineDays, other.OfflineDays) || stricter(r.AuditDays, other.AuditDays)
}

func members(g Group) []Member {
	var all []Member
	for _, m := range g.Members {
		all = append(all, Member{g.MemberIDs[m], m})
	}
	return all
}

func organizationRoles(g Group) []OrganizationRole {
	var all []OrganizationRole
	for _, r := range g.Roles {
		all = append(all, OrganizationRole{g.RoleIDs[r], r})
	}
	return all
}

func nothing[T any](T, T) ([]string, error) { return nil, nil }

func roleChanges[T any](role func(T) string) func(have, want T) ([]string, error) {
	return func(have, want T) ([]string, error) { return field(nil, "role", role(have), role(want)), nil }
}

// field adds a line when two values differ.
func field(changes []string, name string, have, want any) []string {
	h, w := fmt.Sprint(have), fmt.Sprint(want)
	if h == w {
		return changes
	}
	return append(changes, fmt.Sprintf("%s: %s -> %s", name, shown(h), shown(w)))
}

func shown(s string) string {
	if s == "" {
		return "(none)"
	}
	if strings.ContainsAny(s, " \t\n") {
		return fmt.Sprintf("%q", s)
	}
	return s
}
