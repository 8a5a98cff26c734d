package group

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/resource"
)

// Explain tells whether a subject of the caller's organization may do something
// to a resource, and why.
func (s *Service) Explain(ctx context.Context, c access.Caller, subject access.Subject, action access.Permission, t resource.Type, resourceID string) (access.Reason, error) {
	if err := access.Check(c, access.AccessExplain, access.OrganizationObject(c.Organization)); err != nil {
		return access.Reason{}, err
	}
	if err := checkAction(action, t); err != nil {
		return access.Reason{}, err
	}
	ended, err := s.ended(ctx, c.Organization, subject)
	if err != nil {
		return access.Reason{}, err
	}
	on, found, err := s.store.Object(ctx, c.Organization, t, resourceID)
	if err != nil {
		return access.Reason{}, fault.Wrap(err, "reading the "+t.Words())
	}
	if !found {
		return access.Reason{}, fault.Missing(t.Words(), resourceID)
	}
	who := access.Caller{Subject: subject, Organization: c.Organization}
	if who.Standing, err = s.identities.StandingOf(ctx, c.Organization, subject); err != nil {
		return access.Reason{}, err
	}
	names, err := s.names(ctx, who, on)
	if err != nil {
		return access.Reason{}, err
	}
	tree := access.Explain(who, action, on, names)
	if ended != "" {
		tree = access.Reason{Because: []access.Reason{{Text: ended}, {Text: "Its roles would be these.", Because: refused(tree.Because)}}}
	}
	name := strings.TrimSpace(on.Type.Words() + " " + on.Name)
	tree.Text = fmt.Sprintf("The %s may do %q to the %s.", subject.Principal, action, name)
	if !tree.Allowed {
		tree.Text = fmt.Sprintf("The %s may not do %q to the %s.", subject.Principal, action, name)
	}
	return tree, nil
}

// refused is a tree whose reasons count for nothing.
func refused(tree []access.Reason) []access.Reason {
	out := slices.Clone(tree)
	for i := range out {
		out[i].Allowed, out[i].Because = false, refused(out[i].Because)
	}
	return out
}

// ended says why nothing is possible for a subject whatever its roles; empty
// when that is not so.
func (s *Service) ended(ctx context.Context, o id.Organization, subject access.Subject) (string, error) {
	missing := fault.Missing(subject.Principal.String(), subject.ID)
	switch subject.Principal {
	case access.PrincipalRunner:
		_, found, err := s.store.Object(ctx, o, resource.Runner, subject.ID)
		if err == nil && !found {
			err = missing
		}
		return "", fault.Wrap(err, "reading the runner")
	case access.PrincipalUser, access.PrincipalServiceAccount:
	default:
		return "", fault.Invalid("subject.principal", "must be PRINCIPAL_USER, PRINCIPAL_SERVICE_ACCOUNT or PRINCIPAL_RUNNER")
	}
	p, found, err := s.store.Principal(ctx, o, subject)
	switch {
	case err != nil:
		return "", fault.Wrap(err, "reading the subject")
	case !found:
		return "", missing
	case p.Gone:
		return fmt.Sprintf("The %s %q is gone: it has no tokens any more.", p.Principal, p.Name), nil
	case p.Suspended:
		return fmt.Sprintf("The %s %q is suspended: its tokens are refused.", p.Principal, p.Name), nil
	case !p.ValidUntil.IsZero() && !time.Now().Before(p.ValidUntil):
		return fmt.Sprintf("The %s %q was valid until %s: its tokens are refused.", p.Principal, p.Name, p.ValidUntil.UTC().Format(time.RFC3339)), nil
	default:
		return "", nil
	}
}

// names looks up the groups that an explanation may name.
func (s *Service) names(ctx context.Context, who access.Caller, on access.Object) (groupNames, error) {
	names := groupNames{}
	for _, grant := range slices.Concat(who.Grants, on.Grants, []access.Grant{{Group: on.Group}}) {
		if grant.Group == "" || !who.In(grant.Group) || names[grant.Group] != "" {
			continue
		}
		g, _, err := s.store.Group(ctx, who.Organization, grant.Group)
		if err != nil {
			return nil, fault.Wrap(err, "reading a group")
		}
		names[grant.Group] = g.Name
	}
	return names, nil
}

type groupNames map[id.Group]string

func (n groupNames) Group(g id.Group) string {
	if name := n[g]; name != "" {
		return name
	}
	return string(g)
}

// checkAction refuses an action that there is not, or that is not for this type
// of resource.
func checkAction(action access.Permission, t resource.Type) error {
	all := access.Permissions()
	if !slices.Contains(all, action) {
		return fault.Invalid("action", "there is no action %q; near it are %s", action, strings.Join(near(string(action), all), ", "))
	}
	if types := action.On(); !slices.Contains(types, t) {
		var words []string
		for _, t := range types {
			words = append(words, t.String())
		}
		return fault.Invalid("resource_type", "%q is done to a resource of type %s, not %s", action, strings.Join(words, " or "), t)
	}
	return nil
}

// near returns the actions that are most like a name that there is not.
func near(name string, all []access.Permission) []string {
	names := make([]string, len(all))
	for i, p := range all {
		names[i] = string(p)
	}
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(distance(name, a), distance(name, b)) })
	return names[:min(len(names), 5)]
}

// distance is how many letters must be changed, added or removed to make one
// name of the other; a common beginning or end brings names closer.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	d := row[len(b)]
	if aNoun, aVerb, _ := strings.Cut(a, "."); aVerb != "" {
		bNoun, bVerb, _ := strings.Cut(b, ".")
		if aNoun == bNoun || aVerb == bVerb {
			d -= 4
		}
	}
	return d
}
