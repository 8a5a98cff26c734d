package sqlstore

import (
	"context"
	"strings"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/envclass"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/group"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/llm"
	"github.com/musterhq/muster/internal/page"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/scm"
)

// fewSeen begins the names of lists by somebody who sees ten runners of all.
const fewSeen = "of few runners seen: "

// ofSomeHosts reads all of the names that it is given, each from an index.
const ofSomeHosts = "which of some hosts there are"

// creatorOfFew made ten runners.
const creatorOfFew = "creator of few"

// allowed tells whether a query may take a step that others may not: what few
// runners have is in no index in its order, and is as little as they have. It is
// found through an index all the same.
func allowed(q plannedQuery, step string) bool {
	return strings.HasPrefix(q.name, fewSeen) && (step == "Sort" || step == "TEMP B-TREE") || q.name == ofSomeHosts && step == "SCAN"
}

// fewSeenQueries are the lists by somebody who sees ten runners: each finds
// those first, and then what they have.
func (w filled) fewSeenQueries(where string, p page.Query) []plannedQuery {
	ctx := context.Background()
	var queries []plannedQuery
	for as, reach := range map[string]access.Reach{"by a group, ": {Groups: []id.Group{w.sharer}}, "by who made them, ": {Creator: creatorOfFew}} {
		name := fewSeen + as
		queries = append(queries,
			plannedQuery{name + "runners " + where, "runners", func(r reads) error {
				_, err := r.Runners(ctx, fleet.Query{Organization: w.org, Reach: reach, Page: p})
				return err
			}},
			plannedQuery{name + "classes " + where, "environment_classes_of_runner", func(r reads) error {
				_, err := r.EnvironmentClasses(ctx, envclass.Query{Organization: w.org, Reach: reach, Page: p})
				return err
			}},
			plannedQuery{name + "usable classes " + where, "environment_classes_of_runner", func(r reads) error {
				use := envclass.Use{Subject: w.user, Roles: []resource.Role{resource.RoleRunnerUser}}
				_, err := r.EnvironmentClasses(ctx, envclass.Query{Organization: w.org, Reach: reach, Usable: new(bool), Use: use, Page: p})
				return err
			}},
			plannedQuery{name + "SCM integrations " + where, "scm_integrations_of_", func(r reads) error {
				_, err := r.SCMIntegrations(ctx, scm.Query{Organization: w.org, Reach: reach, Page: p})
				return err
			}},
			plannedQuery{name + "LLM integrations " + where, "llm_integrations_of_runner", func(r reads) error {
				_, err := r.LLMIntegrations(ctx, llm.Query{Organization: w.org, Reach: reach, Page: p})
				return err
			}},
		)
	}
	return append(queries, plannedQuery{fewSeen + "role assignments of one's own group " + where, "role_assignments_of_group", func(r reads) error {
		_, err := r.Assignments(ctx, group.AssignmentQuery{Organization: w.org, Reach: access.AssignmentReach{Groups: []id.Group{w.sharer}}, Page: p})
		return err
	}})
}
