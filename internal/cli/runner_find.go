package cli

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"connectrpc.com/connect"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
)

// pageSize is the largest page that the API gives.
const pageSize = 100

var uuidPattern = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// ListRunners returns all runners that the filter selects, oldest first.
func (c *Client) ListRunners(ctx context.Context, filter *gitpodv1.ListRunnersRequest_Filter) ([]*gitpodv1.Runner, error) {
	return pages(func(p *gitpodv1.PaginationRequest) ([]*gitpodv1.Runner, *gitpodv1.PaginationResponse, error) {
		resp, err := c.Runners.ListRunners(ctx, connect.NewRequest(&gitpodv1.ListRunnersRequest{Pagination: p, Filter: filter}))
		if err != nil {
			return nil, nil, err
		}
		return resp.Msg.GetRunners(), resp.Msg.GetPagination(), nil
	})
}

// pages collects all pages of a list.
func pages[T any](list func(*gitpodv1.PaginationRequest) ([]T, *gitpodv1.PaginationResponse, error)) ([]T, error) {
	var all []T
	token := ""
	for {
		items, next, err := list(&gitpodv1.PaginationRequest{PageSize: pageSize, Token: token})
		if err != nil {
			return nil, err
		}
		all = append(all, items...)
		if next.GetNextToken() == "" {
			return all, nil
		}
		if next.GetNextToken() == token {
			return nil, fmt.Errorf("the control plane repeats the same page of a list")
		}
		token = next.GetNextToken()
	}
}

// GetRunner returns a runner by its id.
func (c *Client) GetRunner(ctx context.Context, id string) (*gitpodv1.Runner, error) {
	resp, err := c.Runners.GetRunner(ctx, connect.NewRequest(&gitpodv1.GetRunnerRequest{RunnerId: id}))
	if err != nil {
		return nil, err
	}
	return resp.Msg.GetRunner(), nil
}

// FindRunner returns the runner with the given id or name. Names need not be
// unique: a name that several runners have is an error that lists them.
func (c *Client) FindRunner(ctx context.Context, nameOrID string) (*gitpodv1.Runner, error) {
	if uuidPattern.MatchString(nameOrID) {
		return c.GetRunner(ctx, nameOrID)
	}
	all, err := c.ListRunners(ctx, nil)
	if err != nil {
		return nil, err
	}
	return pick("runner", nameOrID, all,
		func(r *gitpodv1.Runner) bool { return r.GetName() == nameOrID },
		func(r *gitpodv1.Runner) string {
			return fmt.Sprintf("%s  %s", r.GetRunnerId(), phaseName(r.GetStatus().GetPhase()))
		})
}

// pick returns the only one that matches. describe tells several apart; its
// text begins with the id.
func pick[T any](what, name string, all []T, match func(T) bool, describe func(T) string) (T, error) {
	var none T
	var found []T
	for _, t := range all {
		if match(t) {
			found = append(found, t)
		}
	}
	switch len(found) {
	case 0:
		return none, &missing{fmt.Sprintf("there is no %s %q that you can see", what, name)}
	case 1:
		return found[0], nil
	}
	var b strings.Builder
	plural := "s"
	if strings.HasSuffix(what, "s") {
		plural = "es"
	}
	fmt.Fprintf(&b, "%d %s%s are called %q; say which by its id:", len(found), what, plural, name)
	for _, t := range found {
		b.WriteString("\n  " + describe(t))
	}
	return none, fmt.Errorf("%s", b.String())
}

// runnerIDs are the ids of runners that were named.
func (c *Client) runnerIDs(ctx context.Context, names []string) ([]string, error) {
	var ids []string
	for _, name := range names {
		r, err := c.FindRunner(ctx, name)
		if err != nil {
			return nil, err
		}
		ids = append(ids, r.GetRunnerId())
	}
	return ids, nil
}
