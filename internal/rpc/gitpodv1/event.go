package gitpodv1

import (
	"context"
	"errors"
	"slices"

	"connectrpc.com/connect"

	"github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/gen/gitpod/v1/gitpodv1connect"
	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/auditlog"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/resource"
)

// Events serves EventService.
type Events struct {
	gitpodv1connect.UnimplementedEventServiceHandler
	Bus   *event.Bus
	Audit *auditlog.Service
}

// WatchEvents serves the Connect and gRPC forms.
func (s *Events) WatchEvents(ctx context.Context, req *connect.Request[gitpodv1.WatchEventsRequest], stream *connect.ServerStream[gitpodv1.WatchEventsResponse]) error {
	return s.Watch(ctx, req.Msg, stream.Send)
}

// Watch checks the request, and sends events until ctx ends. It sends nil once
// the subscription stands, which sends the headers.
func (s *Events) Watch(ctx context.Context, req *gitpodv1.WatchEventsRequest, send func(*gitpodv1.WatchEventsResponse) error) error {
	caller := access.CallersOf(ctx)
	filters, err := filtersOf(req)
	if err != nil {
		return err
	}
	sub, unsubscribe := s.Bus.Subscribe(func(e event.Event) bool { return filters.want(e) && access.Sees(caller(), e.Object) })
	defer unsubscribe()
	if err := send(nil); err != nil {
		return err
	}
	for {
		e, err := sub.Next(ctx)
		switch {
		case errors.Is(err, event.ErrTooSlow):
			return fault.New(fault.ResourceExhausted, fault.WatcherTooSlow, "The watcher fell more than %d events behind and has lost some. List what you watch, then watch again.", event.Buffer)
		case err != nil:
			return err
		}
		err = send(&gitpodv1.WatchEventsResponse{
			Operation: gitpodv1.ResourceOperation(e.Operation), ResourceType: gitpodv1.ResourceType(e.Object.Type), ResourceId: e.Object.ID,
		})
		if err != nil {
			return err
		}
	}
}

type filters []filter

type filter struct {
	typ      resource.Type
	ids      []string
	creators []string
}

func filtersOf(req *gitpodv1.WatchEventsRequest) (filters, error) {
	if environment, ok := req.GetScope().(*gitpodv1.WatchEventsRequest_EnvironmentId); ok {
		if len(req.GetResourceTypeFilters()) > 0 {
			return nil, fault.Invalid("resource_type_filters", "are for the organization scope only")
		}
		if !id.Valid(environment.EnvironmentId) {
			return nil, fault.Invalid("environment_id", "must be a UUID")
		}
		return nil, fault.Missing("environment", environment.EnvironmentId)
	}
	var fs filters
	for _, f := range req.GetResourceTypeFilters() {
		fs = append(fs, filter{resource.Type(f.GetResourceType()), canonical(f.GetResourceIds()), canonical(f.GetCreatorIds())})
	}
	return fs, nil
}

// want tells whether any filter accepts the event. Creators are not looked at
// for deletions; an event without one passes no creator filter.
func (fs filters) want(e event.Event) bool {
	if len(fs) == 0 {
		return true
	}
	return slices.ContainsFunc(fs, func(f filter) bool {
		return f.typ == e.Object.Type &&
			(len(f.ids) == 0 || slices.Contains(f.ids, e.Object.ID)) &&
			(len(f.creators) == 0 || e.Operation == event.Deleted || e.Creator.ID != "" && slices.Contains(f.creators, e.Creator.ID))
	})
}
