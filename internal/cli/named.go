package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"connectrpc.com/connect"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/resource"
)

// named is something of any type that was named on the command line.
type named struct {
	typ  gitpodv1.ResourceType
	id   string
	name string
}

// subject is the thing as somebody who acts.
func (n *named) subject() *gitpodv1.Subject {
	for p, t := range typeOfPrincipal {
		if t == n.typ {
			return &gitpodv1.Subject{Id: n.id, Principal: p}
		}
	}
	return &gitpodv1.Subject{Id: n.id}
}

// nouns are the types that go by another name on this command line.
var nouns = map[string]gitpodv1.ResourceType{
	"member":     gitpodv1.ResourceType_RESOURCE_TYPE_USER,
	"class":      gitpodv1.ResourceType_RESOURCE_TYPE_ENVIRONMENT_CLASS,
	"scm":        gitpodv1.ResourceType_RESOURCE_TYPE_RUNNER_SCM_INTEGRATION,
	"llm":        gitpodv1.ResourceType_RESOURCE_TYPE_RUNNER_LLM_INTEGRATION,
	"host-token": gitpodv1.ResourceType_RESOURCE_TYPE_HOST_AUTHENTICATION_TOKEN,
	"pat":        gitpodv1.ResourceType_RESOURCE_TYPE_PERSONAL_ACCESS_TOKEN,
}

// typeName is how people type a type: "service-account".
func typeName(t gitpodv1.ResourceType) string {
	return strings.ReplaceAll(words(prefixType, t), " ", "-")
}

// typeWords is how people read a type: "service account".
func typeWords(t gitpodv1.ResourceType) string {
	if t == gitpodv1.ResourceType_RESOURCE_TYPE_UNSPECIFIED {
		return ""
	}
	return resource.Type(t).Words()
}

// parseType reads the name of a type, or the noun of this command line; with
// hyphens or underscores, in any case. Zero means that there is none.
func parseType(typed string) gitpodv1.ResourceType {
	typed = strings.ToLower(strings.ReplaceAll(typed, "_", "-"))
	if t, ok := nouns[typed]; ok {
		return t
	}
	return number[gitpodv1.ResourceType](gitpodv1.ResourceType_value, prefixType, typed)
}

// typesKept are the types of what this control plane keeps, as people type
// them.
func typesKept() string {
	var names []string
	for n := range gitpodv1.ResourceType_name {
		if t := resource.Type(n); access.Kept(t) && t != resource.RoleAssignmentChanged && t != resource.GroupMembershipChanged {
			names = append(names, actionType(t))
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// cutType splits "TYPE/NAME"; without a type that there is, all is the name.
func cutType(text string) (t gitpodv1.ResourceType, name string) {
	typ, name, ok := strings.Cut(text, "/")
	if ok {
		if t = parseType(typ); t != 0 {
			return t, name
		}
	}
	return 0, text
}

// findSubject returns the only one of some principals that has a name, an email
// address or an id, which may follow "user/", "service-account/" or "runner/".
func (c *Client) findSubject(ctx context.Context, text string, among ...gitpodv1.Principal) (*named, error) {
	typ, name := cutType(text)
	var all []*named
	var kinds []string
	for _, p := range among {
		t := typeOfPrincipal[p]
		kinds = append(kinds, typeName(t)+"/")
		if typ != 0 && typ != t {
			continue
		}
		found, err := c.candidates(ctx, t, name)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	if typ != 0 && !slices.Contains(kinds, typeName(typ)+"/") {
		return nil, usagef("%q must begin with %s, or with nothing of the kind", text, strings.Join(kinds, " or "))
	}
	what := "subject"
	if len(among) == 1 {
		what = typeWords(typeOfPrincipal[among[0]])
	}
	return pick(what, name, all, func(*named) bool { return true }, func(n *named) string {
		return fmt.Sprintf("%s  %s", n.id, typeName(n.typ))
	})
}

// findResource returns what "TYPE/NAME", "TYPE/ID" or "organization" names. What
// has no name here goes by its id.
func (c *Client) findResource(ctx context.Context, text string) (*named, error) {
	if text == "organization" {
		me, err := c.me(ctx)
		if err != nil {
			return nil, err
		}
		return &named{gitpodv1.ResourceType_RESOURCE_TYPE_ORGANIZATION, me.GetOrganizationId(), "organization"}, nil
	}
	t, name := cutType(text)
	if t == 0 {
		return nil, usagef("%q is not a resource; write it as TYPE/NAME or TYPE/ID, such as runner/web or group/builders, or \"organization\"; types are %s", text, typesKept())
	}
	all, err := c.candidates(ctx, t, name)
	if err != nil {
		return nil, err
	}
	return pick(typeWords(t), name, all, func(*named) bool { return true }, func(n *named) string { return n.id })
}

// candidates returns what is called name, or has it as its id, among the things
// of a type.
func (c *Client) candidates(ctx context.Context, t gitpodv1.ResourceType, name string) ([]*named, error) {
	byID := uuidPattern.MatchString(name)
	var all []*named
	add := func(id, title string, more ...string) {
		if strings.EqualFold(id, name) || title == name || slices.ContainsFunc(more, func(m string) bool { return strings.EqualFold(m, name) }) {
			all = append(all, &named{t, id, title})
		}
	}
	switch {
	case t == gitpodv1.ResourceType_RESOURCE_TYPE_USER:
		members, err := c.listMembers(ctx)
		for _, m := range members {
			if m.GetStatus() != gitpodv1.UserStatus_USER_STATUS_LEFT || byID {
				add(m.GetUserId(), m.GetFullName(), m.GetFullName(), m.GetEmail())
			}
		}
		return all, err
	case t == gitpodv1.ResourceType_RESOURCE_TYPE_SERVICE_ACCOUNT:
		accounts, err := c.listServiceAccounts(ctx, &gitpodv1.ListServiceAccountsRequest_Filter{IncludeSuspended: byID})
		for _, a := range accounts {
			add(a.GetId(), a.GetName())
		}
		return all, err
	case t == gitpodv1.ResourceType_RESOURCE_TYPE_RUNNER:
		runners, err := c.ListRunners(ctx, nil)
		for _, r := range runners {
			add(r.GetRunnerId(), r.GetName())
		}
		return all, err
	case t == gitpodv1.ResourceType_RESOURCE_TYPE_GROUP:
		groups, err := c.listGroups(ctx, nil)
		for _, g := range groups {
			add(g.GetId(), g.GetName())
		}
		return all, err
	case t == gitpodv1.ResourceType_RESOURCE_TYPE_ENVIRONMENT_CLASS && !byID:
		classes, err := c.listClasses(ctx, nil)
		for _, class := range classes {
			add(class.GetId(), class.GetDisplayName())
		}
		return all, err
	case t == gitpodv1.ResourceType_RESOURCE_TYPE_RUNNER_SCM_INTEGRATION && !byID:
		integrations, err := c.listSCM(ctx, nil)
		for _, i := range integrations {
			add(i.GetId(), i.GetHost(), i.GetHost())
		}
		return all, err
	case t == gitpodv1.ResourceType_RESOURCE_TYPE_HOST_AUTHENTICATION_TOKEN && !byID:
		tokens, err := c.listHostTokens(ctx, nil)
		for _, token := range tokens {
			add(token.GetId(), token.GetHost(), token.GetHost())
		}
		return all, err
	case byID:
		return []*named{{t, name, name}}, nil
	default:
		return nil, usagef("what is of the type %s goes by its id here, not by a name such as %q", typeName(t), name)
	}
}

// resourceNames are the names of groups and runners, by their ids, for lists.
func (c *Client) resourceNames(ctx context.Context) (map[string]string, error) {
	groups, err := c.listGroups(ctx, nil)
	if err != nil {
		return nil, err
	}
	runners, err := c.ListRunners(ctx, nil)
	if err != nil {
		return nil, err
	}
	names := make(map[string]string, len(groups)+len(runners))
	for _, g := range groups {
		names[g.GetId()] = g.GetName()
		if g.GetDirectShare() {
			names[g.GetId()] = c.directName(ctx, g)
		}
	}
	for _, r := range runners {
		names[r.GetRunnerId()] = r.GetName()
	}
	return names, nil
}

// directName is the name of a group that exists to share something with a single
// one: that one's.
func (c *Client) directName(ctx context.Context, g *gitpodv1.Group) string {
	resp, err := c.Groups.ListMemberships(ctx, connect.NewRequest(&gitpodv1.ListMembershipsRequest{GroupId: g.GetId()}))
	if err != nil || len(resp.Msg.GetMembers()) != 1 {
		return g.GetName()
	}
	return resp.Msg.GetMembers()[0].GetName() + " (direct)"
}
