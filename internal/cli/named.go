package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"connectrpc.com/connect"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
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

// typeName is how people type a type: "service-account".
func typeName(t gitpodv1.ResourceType) string {
	return strings.ReplaceAll(words(prefixType, t), " ", "-")
}

// cutType splits "TYPE/NAME"; without a type that there is, all is the name.
func cutType(text string) (t gitpodv1.ResourceType, name string) {
	typ, name, ok := strings.Cut(text, "/")
	if ok {
		if typ == "member" {
			typ = "user"
		}
		if t = number[gitpodv1.ResourceType](gitpodv1.ResourceType_value, prefixType, typ); t != 0 {
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
	return pick("subject", name, all, func(*named) bool { return true }, func(n *named) string {
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
		return nil, usagef("%q is not a resource; write it as TYPE/NAME, such as runner/web or group/builders, or \"organization\"", text)
	}
	all, err := c.candidates(ctx, t, name)
	if err != nil {
		return nil, err
	}
	return pick(words(prefixType, t), name, all, func(*named) bool { return true }, func(n *named) string { return n.id })
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
				add(m.GetUserId(), m.GetFullName(), m.GetEmail())
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
	case byID:
		return []*named{{t, name, name}}, nil
	default:
		return nil, usagef("a %s goes by its id here, not by a name such as %q", words(prefixType, t), name)
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
