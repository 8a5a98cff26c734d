package gitpodv1

import (
	"context"

	"connectrpc.com/connect"

	"github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/gen/gitpod/v1/gitpodv1connect"
	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/envclass"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/runnerschema"
)

// Environments serves the part of EnvironmentService that is about classes.
type Environments struct {
	gitpodv1connect.UnimplementedEnvironmentServiceHandler
	Classes *envclass.Service
}

// ListEnvironmentClasses lists environment classes, oldest first.
func (s *Environments) ListEnvironmentClasses(ctx context.Context, req *connect.Request[gitpodv1.ListEnvironmentClassesRequest]) (*connect.Response[gitpodv1.ListEnvironmentClassesResponse], error) {
	return listClasses(ctx, s.Classes, req.Msg)
}

// ListEnvironmentClasses lists environment classes, oldest first.
func (s *RunnerConfiguration) ListEnvironmentClasses(ctx context.Context, req *connect.Request[gitpodv1.ListEnvironmentClassesRequest]) (*connect.Response[gitpodv1.ListEnvironmentClassesResponse], error) {
	return listClasses(ctx, s.Classes, req.Msg)
}

func listClasses(ctx context.Context, classes *envclass.Service, m *gitpodv1.ListEnvironmentClassesRequest) (*connect.Response[gitpodv1.ListEnvironmentClassesResponse], error) {
	f := m.GetFilter()
	if f == nil {
		f = &gitpodv1.ListEnvironmentClassesRequest_Filter{}
	}
	rows, next, err := classes.List(ctx, access.CallerOf(ctx), envclass.Filter{
		Runners:   runnerIDs(f.GetRunnerIds()),
		Enabled:   f.Enabled,
		Usable:    f.CanCreateEnvironments,
		Kinds:     numbers[fleet.Kind](f.GetRunnerKinds()),
		Providers: numbers[fleet.Provider](f.GetRunnerProviders()),
	}, pageOf(m.GetPagination()))
	if err != nil {
		return nil, err
	}
	out := &gitpodv1.ListEnvironmentClassesResponse{Pagination: &gitpodv1.PaginationResponse{NextToken: next}}
	for _, c := range rows {
		out.EnvironmentClasses = append(out.EnvironmentClasses, wireClass(c))
	}
	return connect.NewResponse(out), nil
}

// CreateEnvironmentClass adds a class to a runner.
func (s *RunnerConfiguration) CreateEnvironmentClass(ctx context.Context, req *connect.Request[gitpodv1.CreateEnvironmentClassRequest]) (*connect.Response[gitpodv1.CreateEnvironmentClassResponse], error) {
	m := req.Msg
	made, err := s.Classes.Create(ctx, access.CallerOf(ctx), runnerID(m), envclass.Draft{
		DisplayName: m.GetDisplayName(), Description: m.GetDescription(), Configuration: settings(m.GetConfiguration()),
	})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&gitpodv1.CreateEnvironmentClassResponse{Id: made}), nil
}

// GetEnvironmentClass returns one class.
func (s *RunnerConfiguration) GetEnvironmentClass(ctx context.Context, req *connect.Request[gitpodv1.GetEnvironmentClassRequest]) (*connect.Response[gitpodv1.GetEnvironmentClassResponse], error) {
	c, err := s.Classes.Get(ctx, access.CallerOf(ctx), id.Canonical(req.Msg.GetEnvironmentClassId()))
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&gitpodv1.GetEnvironmentClassResponse{EnvironmentClass: wireClass(c)}), nil
}

// UpdateEnvironmentClass renames, describes, enables or disables a class.
func (s *RunnerConfiguration) UpdateEnvironmentClass(ctx context.Context, req *connect.Request[gitpodv1.UpdateEnvironmentClassRequest]) (*connect.Response[gitpodv1.UpdateEnvironmentClassResponse], error) {
	m := req.Msg
	ch := envclass.Change{DisplayName: m.DisplayName, Description: m.Description, Enabled: m.Enabled}
	if err := s.Classes.Update(ctx, access.CallerOf(ctx), id.Canonical(m.GetEnvironmentClassId()), ch); err != nil {
		return nil, err
	}
	return connect.NewResponse(&gitpodv1.UpdateEnvironmentClassResponse{}), nil
}

func wireClass(c envclass.Class) *gitpodv1.EnvironmentClass {
	out := &gitpodv1.EnvironmentClass{
		Id: c.ID, DisplayName: c.DisplayName, Description: c.Description, RunnerId: string(c.Runner), Enabled: c.Enabled,
	}
	for _, v := range c.Configuration {
		out.Configuration = append(out.Configuration, &gitpodv1.FieldValue{Key: v.Key, Value: v.Value})
	}
	return out
}

func settings(values []*gitpodv1.FieldValue) []runnerschema.Value {
	out := make([]runnerschema.Value, len(values))
	for i, v := range values {
		out[i] = runnerschema.Value{Key: v.GetKey(), Value: v.GetValue()}
	}
	return out
}

func runnerIDs(ids []string) []id.Runner {
	out := make([]id.Runner, len(ids))
	for i, s := range ids {
		out[i] = id.Runner(id.Canonical(s))
	}
	return out
}
