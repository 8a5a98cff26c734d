package sqlstore

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/group"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/identity"
	"github.com/musterhq/muster/internal/resource"
)

// Reached returns what a group has roles on, and those roles.
func (r reads) Reached(ctx context.Context, g id.Group) ([]access.Object, bool, error) {
	return group.Reached(ctx, r, g)
}

// GroupsOf returns the groups of a user or a service account.
func (r reads) GroupsOf(ctx context.Context, o id.Organization, subject string) (identity.Groups, error) {
	const doing = "reading the groups of a subject"
	var g identity.Groups
	ids, err := r.q.ListGroupsOfSubject(ctx, subject)
	if err != nil || len(ids) == 0 {
		return g, r.explained(err, doing)
	}
	for _, group := range ids {
		g.IDs = append(g.IDs, id.Group(group))
	}
	rows, err := r.q.ListOrganizationRolesOfSubject(ctx, subject, string(o))
	if err != nil {
		return g, r.explained(err, doing)
	}
	for _, row := range rows {
		g.Grants = append(g.Grants, access.Grant{Group: id.Group(row.GroupID), Role: resource.Role(row.ResourceRole)})
	}
	return g, nil
}

// grantsOf reads the grants of a runner_rows row: "GROUP:ROLE,GROUP:ROLE".
func grantsOf(text string) ([]access.Grant, error) {
	if text == "" {
		return nil, nil
	}
	var grants []access.Grant
	for pair := range strings.SplitSeq(text, ",") {
		group, number, _ := strings.Cut(pair, ":")
		role, err := strconv.ParseInt(number, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("reading the roles on a runner: %w", err)
		}
		grants = append(grants, access.Grant{Group: id.Group(group), Role: resource.Role(role)})
	}
	return grants, nil
}
