// Package gitpodv1 turns calls of the runner API into calls of the domain, and
// its answers back. It decides nothing: what a message cannot express is
// refused here, everything else is the domain's to judge.
package gitpodv1

import (
	"context"

	"connectrpc.com/connect"

	"github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/gen/gitpod/v1/gitpodv1connect"
	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/codehost"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/group"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/page"
)

// Runners serves RunnerService.
type Runners struct {
	gitpodv1connect.UnimplementedRunnerServiceHandler
	Fleet     *fleet.Service
	Groups    *group.Service
	CodeHosts *codehost.Service
}

// CreateRunner registers a runner.
func (s *Runners) CreateRunner(ctx context.Context, req *connect.Request[gitpodv1.CreateRunnerRequest]) (*connect.Response[gitpodv1.CreateRunnerResponse], error) {
	m := req.Msg
	n, err := newRunner(m)
	if err != nil {
		return nil, err
	}
	r, exchange, err := s.Fleet.Create(ctx, access.CallerOf(ctx), n)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&gitpodv1.CreateRunnerResponse{Runner: s.wire(&r), ExchangeToken: exchange}), nil
}

// GetRunner returns one runner.
func (s *Runners) GetRunner(ctx context.Context, req *connect.Request[gitpodv1.GetRunnerRequest]) (*connect.Response[gitpodv1.GetRunnerResponse], error) {
	r, err := s.Fleet.Get(ctx, access.CallerOf(ctx), runnerID(req.Msg))
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&gitpodv1.GetRunnerResponse{Runner: s.wire(&r)}), nil
}

// ListRunners lists runners, oldest first.
func (s *Runners) ListRunners(ctx context.Context, req *connect.Request[gitpodv1.ListRunnersRequest]) (*connect.Response[gitpodv1.ListRunnersResponse], error) {
	f := req.Msg.GetFilter()
	q := fleet.Query{
		Creators:  canonical(f.GetCreatorIds()),
		Kinds:     numbers[fleet.Kind](f.GetKinds()),
		Providers: numbers[fleet.Provider](f.GetProviders()),
	}
	rows, next, err := s.Fleet.List(ctx, access.CallerOf(ctx), q, pageOf(req.Msg.GetPagination()))
	if err != nil {
		return nil, err
	}
	out := &gitpodv1.ListRunnersResponse{Pagination: &gitpodv1.PaginationResponse{NextToken: next}}
	for i := range rows {
		out.Runners = append(out.Runners, s.wire(&rows[i]))
	}
	return connect.NewResponse(out), nil
}

// UpdateRunner changes what a runner is asked to be.
func (s *Runners) UpdateRunner(ctx context.Context, req *connect.Request[gitpodv1.UpdateRunnerRequest]) (*connect.Response[gitpodv1.UpdateRunnerResponse], error) {
	ch, err := change(req.Msg)
	if err != nil {
		return nil, err
	}
	if err := s.Fleet.Update(ctx, access.CallerOf(ctx), runnerID(req.Msg), ch); err != nil {
		return nil, err
	}
	return connect.NewResponse(&gitpodv1.UpdateRunnerResponse{}), nil
}

// DeleteRunner deletes a runner.
func (s *Runners) DeleteRunner(ctx context.Context, req *connect.Request[gitpodv1.DeleteRunnerRequest]) (*connect.Response[gitpodv1.DeleteRunnerResponse], error) {
	if err := s.Fleet.Delete(ctx, access.CallerOf(ctx), runnerID(req.Msg), req.Msg.GetForce()); err != nil {
		return nil, err
	}
	return connect.NewResponse(&gitpodv1.DeleteRunnerResponse{}), nil
}

// CreateRunnerToken makes one more exchange token.
func (s *Runners) CreateRunnerToken(ctx context.Context, req *connect.Request[gitpodv1.CreateRunnerTokenRequest]) (*connect.Response[gitpodv1.CreateRunnerTokenResponse], error) {
	exchange, rec, err := s.Fleet.CreateToken(ctx, access.CallerOf(ctx), runnerID(req.Msg))
	if err != nil {
		return nil, err
	}
	return made(&gitpodv1.CreateRunnerTokenResponse{ExchangeToken: exchange}, rec.ID), nil
}

// CreateRunnerLogsToken makes a token to read the runner's logs with.
func (s *Runners) CreateRunnerLogsToken(ctx context.Context, req *connect.Request[gitpodv1.CreateRunnerLogsTokenRequest]) (*connect.Response[gitpodv1.CreateRunnerLogsTokenResponse], error) {
	signed, err := s.Fleet.CreateLogsToken(ctx, access.CallerOf(ctx), runnerID(req.Msg))
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&gitpodv1.CreateRunnerLogsTokenResponse{AccessToken: signed}), nil
}

func runnerID(m interface{ GetRunnerId() string }) id.Runner {
	return id.Runner(id.Canonical(m.GetRunnerId()))
}

func canonical(ids []string) []string {
	out := make([]string, len(ids))
	for i, s := range ids {
		out[i] = id.Canonical(s)
	}
	return out
}

// numbers converts enumerations, whose numbers are the same on both sides.
func numbers[To, From ~int32](from []From) []To {
	out := make([]To, len(from))
	for i, n := range from {
		out[i] = To(n)
	}
	return out
}

func pageOf(p *gitpodv1.PaginationRequest) page.Request {
	return page.Request{Size: p.GetPageSize(), Token: p.GetToken()}
}

// defined refuses a number that is no value of its enumeration; a JSON client
// cannot send one, a binary client can.
func defined[E ~int32](field string, names map[int32]string, e E) error {
	if _, ok := names[int32(e)]; !ok {
		return fault.Invalid(field, "%d is not a defined value", int32(e))
	}
	return nil
}

func bounded(field, value string, limit int) error {
	if len(value) > limit {
		return fault.Invalid(field, "must have at most %d bytes, has %d", limit, len(value))
	}
	return nil
}

// maxFilter is how many values a filter may have.
const maxFilter = 25

func boundedList[T any](field string, values []T) error {
	if len(values) > maxFilter {
		return fault.Invalid(field, "must have at most %d values, has %d", maxFilter, len(values))
	}
	return nil
}
