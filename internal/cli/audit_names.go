package cli

import (
	"context"
	"slices"
	"strings"

	"connectrpc.com/connect"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
)

const (
	prefixType      = "RESOURCE_TYPE_"
	prefixAuditKind = "AUDIT_LOG_ENTRY_KIND_"
	// maxLookups is how many names are asked for one by one; what is beyond shows
	// its id.
	maxLookups = 100
	// maxFilter is how many values a filter may have.
	maxFilter = 25
)

// words is the name of an enumeration value in a sentence.
func words(prefix string, value interface{ String() string }) string {
	return strings.ToLower(strings.ReplaceAll(short(prefix, value), "_", " "))
}

// auditNames are the names of those that are told of, by their ids. What is
// gone, or not for the caller to see, has none.
type auditNames map[string]string

func (c *Client) auditNames(ctx context.Context, entries []*gitpodv1.ListAuditLogsResponse_AuditLogEntry) auditNames {
	w := wanted{}
	for _, e := range entries {
		w.add(typeOfPrincipal[e.GetActorPrincipal()], e.GetActorId())
		w.add(e.GetSubjectType(), e.GetSubjectId())
	}
	return c.lookUp(ctx, w)
}

// namesOf looks up the names of subjects.
func (c *Client) namesOf(ctx context.Context, subjects ...*gitpodv1.Subject) auditNames {
	w := wanted{}
	for _, s := range subjects {
		w.add(typeOfPrincipal[s.GetPrincipal()], s.GetId())
	}
	return c.lookUp(ctx, w)
}

// wanted are the ids of what names are looked up for, by type.
type wanted map[gitpodv1.ResourceType][]string

func (w wanted) add(t gitpodv1.ResourceType, id string) {
	if id != "" && !slices.Contains(w[t], id) {
		w[t] = append(w[t], id)
	}
}

func (c *Client) lookUp(ctx context.Context, wanted wanted) auditNames {
	names := auditNames{}
	for ids := range slices.Chunk(wanted[gitpodv1.ResourceType_RESOURCE_TYPE_USER], maxFilter) {
		c.memberNames(ctx, names, ids)
	}
	lookups := 0
	for t, find := range map[gitpodv1.ResourceType]func(context.Context, string) (string, error){
		gitpodv1.ResourceType_RESOURCE_TYPE_RUNNER:          c.runnerName,
		gitpodv1.ResourceType_RESOURCE_TYPE_SERVICE_ACCOUNT: c.serviceAccountName,
		gitpodv1.ResourceType_RESOURCE_TYPE_GROUP:           c.groupName,
	} {
		for _, id := range wanted[t] {
			if lookups++; lookups > maxLookups {
				break
			}
			if name, err := find(ctx, id); err == nil {
				names[id] = name
			}
		}
	}
	return names
}

var typeOfPrincipal = map[gitpodv1.Principal]gitpodv1.ResourceType{
	gitpodv1.Principal_PRINCIPAL_USER:            gitpodv1.ResourceType_RESOURCE_TYPE_USER,
	gitpodv1.Principal_PRINCIPAL_RUNNER:          gitpodv1.ResourceType_RESOURCE_TYPE_RUNNER,
	gitpodv1.Principal_PRINCIPAL_SERVICE_ACCOUNT: gitpodv1.ResourceType_RESOURCE_TYPE_SERVICE_ACCOUNT,
}

func (c *Client) memberNames(ctx context.Context, names auditNames, ids []string) {
	me, err := c.me(ctx)
	if err != nil {
		return
	}
	resp, err := c.Organizations.ListMembers(ctx, connect.NewRequest(&gitpodv1.ListMembersRequest{
		OrganizationId: me.GetOrganizationId(), Filter: &gitpodv1.ListMembersRequest_Filter{UserIds: ids},
		Pagination: &gitpodv1.PaginationRequest{PageSize: pageSize},
	}))
	if err != nil {
		return
	}
	for _, m := range resp.Msg.GetMembers() {
		names[m.GetUserId()] = m.GetFullName()
	}
}

func (c *Client) runnerName(ctx context.Context, id string) (string, error) {
	r, err := c.GetRunner(ctx, id)
	return r.GetName(), err
}

func (c *Client) serviceAccountName(ctx context.Context, id string) (string, error) {
	resp, err := c.ServiceAccounts.GetServiceAccount(ctx, connect.NewRequest(&gitpodv1.GetServiceAccountRequest{ServiceAccountId: id}))
	if err != nil {
		return "", err
	}
	return resp.Msg.GetServiceAccount().GetName(), nil
}

func (c *Client) groupName(ctx context.Context, id string) (string, error) {
	resp, err := c.Groups.GetGroup(ctx, connect.NewRequest(&gitpodv1.GetGroupRequest{Group: &gitpodv1.GetGroupRequest_Id{Id: id}}))
	if err != nil {
		return "", err
	}
	return resp.Msg.GetGroup().GetName(), nil
}

// actor says who acted.
func (n auditNames) actor(e *gitpodv1.ListAuditLogsResponse_AuditLogEntry) string {
	return n.subjectName(&gitpodv1.Subject{Principal: e.GetActorPrincipal(), Id: e.GetActorId()})
}

// subjectName is the name of a person, and kind and name of anybody else.
func (n auditNames) subjectName(s *gitpodv1.Subject) string {
	if s.GetPrincipal() == gitpodv1.Principal_PRINCIPAL_UNSPECIFIED {
		return "the control plane"
	}
	name := n[s.GetId()]
	if name != "" && s.GetPrincipal() == gitpodv1.Principal_PRINCIPAL_USER {
		return name
	}
	return words(prefixPrincipal, s.GetPrincipal()) + " " + n.named(s.GetId())
}

// subject says what was acted on.
func (n auditNames) subject(e *gitpodv1.ListAuditLogsResponse_AuditLogEntry) string {
	return strings.TrimSpace(typeWords(e.GetSubjectType()) + " " + n.named(e.GetSubjectId()))
}

func (n auditNames) named(id string) string {
	if name := n[id]; name != "" {
		return name
	}
	return id
}
