package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/envclass"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/group"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/identity"
	"github.com/musterhq/muster/internal/page"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/store/sqlstore"
)

// The sizes of the organizations that visibilityContests compare, in runners,
// and how many of them the limited caller sees in each.
const (
	smallOrganization = 1_000
	largeOrganization = 100_000
	visibleRunners    = 10
)

// visibilityContests measure the lists of a caller who sees ten runners of many
// against those of one who sees ten of few: what a caller may not see must cost
// nothing. At most 1.3 times the time is at least 0.77 of the rate.
func visibilityContests(ctx context.Context, dir string) ([]contest, func(), error) {
	large, err := openOrganization(ctx, filepath.Join(dir, "large"), largeOrganization)
	if err != nil {
		return nil, nil, err
	}
	small, err := openOrganization(ctx, filepath.Join(dir, "small"), smallOrganization)
	if err != nil {
		return nil, nil, errors.Join(err, large.Close())
	}
	done := func() { fail(errors.Join(large.Close(), small.Close())) }
	name := func(list string) string {
		return fmt.Sprintf("%s, %d visible of %d against of %d", list, visibleRunners, largeOrganization, smallOrganization)
	}
	return []contest{
		{name("ListRunners"), 0.77, large.list(large.runners), small.list(small.runners)},
		{name("ListRoleAssignments"), 0.77, large.list(large.assignments), small.list(small.assignments)},
		{name("ListEnvironmentClasses"), 0.77, large.list(large.classes), small.list(small.classes)},
	}, done, nil
}

// organization is a database with one organization, as one member sees it.
type organization struct {
	*sqlstore.Store
	id     id.Organization
	caller access.Caller
	page   page.Query
}

// openOrganization makes n runners, each with a class and a role for a group;
// the caller's group has a role on visibleRunners of them, which are spread over
// all.
func openOrganization(ctx context.Context, dir string, n int) (*organization, error) {
	store, err := sqlstore.Open(ctx, sqlstore.Options{DataDir: dir, Publish: func([]event.Event) {}})
	if err != nil {
		return nil, err
	}
	mine, others := id.Group(id.New()), id.Group(id.New())
	o := &organization{Store: store, id: id.Organization(id.New())}
	o.caller = access.Caller{
		Subject: access.Subject{Principal: access.PrincipalUser, ID: id.New()}, Organization: o.id,
		Standing: access.Standing{Groups: []id.Group{mine}, Grants: []access.Grant{{Role: resource.RoleOrgMember}}},
	}
	start := time.Now()
	err = errors.Join(
		store.Identity().Write(ctx, func(tx identity.Tx) error {
			return tx.InsertOrganization(ctx, identity.Organization{ID: o.id, Name: "measured"})
		}),
		store.Groups().Write(ctx, func(tx group.Tx) error {
			return errors.Join(
				tx.InsertGroup(ctx, group.Group{ID: mine, Organization: o.id, Name: "mine"}),
				tx.InsertGroup(ctx, group.Group{ID: others, Organization: o.id, Name: "others"}),
			)
		}),
	)
	for i := 0; i < n && err == nil; i += 1000 {
		err = o.fill(ctx, start, i, n, mine, others)
	}
	if err == nil {
		o.page, err = page.Parse(page.Request{Size: page.DefaultSize}, "")
	}
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return o, nil
}

// fill makes the thousand runners that begin with the i-th of n.
func (o *organization) fill(ctx context.Context, start time.Time, i, n int, mine, others id.Group) error {
	runners := make([]fleet.Runner, 1000)
	err := o.Fleet().Write(ctx, func(tx fleet.Tx) error {
		for j := range runners {
			runners[j] = fleet.Runner{
				ID: id.Runner(id.New()), Organization: o.id, Name: "a runner", Kind: fleet.KindLocal, Provider: fleet.ProviderLinuxHost,
				Creator: access.Subject{Principal: access.PrincipalUser, ID: id.New()}, CreatedAt: start.Add(time.Duration(i+j) * time.Microsecond), Revision: 1,
			}
			if err := tx.InsertRunner(ctx, runners[j]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = o.EnvClass().Write(ctx, func(tx envclass.Tx) error {
		for _, r := range runners {
			if err := tx.InsertEnvironmentClass(ctx, envclass.Class{
				ID: id.New(), Organization: o.id, Runner: r.ID, DisplayName: "a class", Enabled: true, CreatedAt: r.CreatedAt, Revision: 1,
			}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return o.Groups().Write(ctx, func(tx group.Tx) error {
		for j, r := range runners {
			to := []id.Group{others}
			if (i+j)%(n/visibleRunners) == 0 {
				to = append(to, mine)
			}
			for _, g := range to {
				if err := tx.InsertAssignment(ctx, group.Assignment{
					ID: id.New(), Organization: o.id, Group: g, Type: resource.Runner, Resource: string(r.ID), Role: resource.RoleRunnerAdmin,
					CreatedAt: r.CreatedAt, Revision: 1,
				}); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// list reads a list over and over, and holds it to the number of its rows.
func (o *organization) list(read func(context.Context) (rows, want int, err error)) func(context.Context) (int64, error) {
	return func(ctx context.Context) (int64, error) {
		return together(ctx, 1, func(ctx context.Context, _ int) error {
			rows, want, err := read(ctx)
			if err == nil && rows != want {
				err = fmt.Errorf("a list has %d rows instead of %d", rows, want)
			}
			return err
		})
	}
}

func (o *organization) runners(ctx context.Context) (rows, want int, err error) {
	list, err := o.Fleet().Runners(ctx, fleet.Query{Organization: o.id, Reach: access.ReachOf(o.caller), Page: o.page})
	return len(list), visibleRunners, err
}

func (o *organization) classes(ctx context.Context) (rows, want int, err error) {
	list, err := o.EnvClass().EnvironmentClasses(ctx, envclass.Query{Organization: o.id, Reach: access.ReachOf(o.caller), Page: o.page})
	return len(list), visibleRunners, err
}

// assignments are those of the caller's group, and those of the other group on
// the same runners, which the caller may share.
func (o *organization) assignments(ctx context.Context) (rows, want int, err error) {
	list, err := o.Groups().Assignments(ctx, group.AssignmentQuery{Organization: o.id, Reach: access.AssignmentReachOf(o.caller), Page: o.page})
	return len(list), 2 * visibleRunners, err
}
