package app

import (
	"context"
	"net/http"

	"connectrpc.com/connect"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/musterhq/muster/gen/gitpod/v1/gitpodv1connect"
	"github.com/musterhq/muster/gen/muster/admin/v1/adminv1connect"
	"github.com/musterhq/muster/gen/muster/link/v1/linkv1connect"
	"github.com/musterhq/muster/internal/event"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/link"
	"github.com/musterhq/muster/internal/rpc"
	"github.com/musterhq/muster/internal/rpc/adminv1"
	"github.com/musterhq/muster/internal/rpc/gitpodv1"
	"github.com/musterhq/muster/internal/rpc/relay"
)

func (p *plane) rpcConfig(cfg *Config, keys signingKeys, bus *event.Bus, registry *prometheus.Registry) rpc.Config {
	events := &gitpodv1.Events{Bus: bus}
	logs := &relay.Handler{Hub: p.hub, Issuer: p.url, Keys: keys.verify}
	return rpc.Config{
		Authenticate: p.identity.Authenticate,
		Hold:         p.identity.Hold,
		Services:     p.services(cfg, events),
		Watch:        events.Watch,
		Extra:        logs.Routes(),
		Ready:        p.ready,
		Registry:     registry,
		Logger:       cfg.Logger,
	}
}

// ready tells whether this replica may hold sessions, which it proves against
// the database every few seconds.
func (p *plane) ready(context.Context) error {
	if p.keeper.Held() {
		return nil
	}
	return fault.New(fault.Unavailable, fault.StorageUnavailable, "The database has not answered for a while.")
}

// services are all that the contract names; what is not built answers
// unimplemented.
func (p *plane) services(cfg *Config, events *gitpodv1.Events) []rpc.Service {
	return []rpc.Service{
		service(gitpodv1connect.RunnerServiceName, gitpodv1connect.NewRunnerServiceHandler, gitpodv1connect.RunnerServiceHandler(&gitpodv1.Runners{Fleet: p.fleet})),
		service(gitpodv1connect.IdentityServiceName, gitpodv1connect.NewIdentityServiceHandler, gitpodv1connect.IdentityServiceHandler(&gitpodv1.Identities{Fleet: p.fleet})),
		service(gitpodv1connect.UserServiceName, gitpodv1connect.NewUserServiceHandler, gitpodv1connect.UserServiceHandler(&gitpodv1.Users{Identity: p.identity})),
		service(gitpodv1connect.OrganizationServiceName, gitpodv1connect.NewOrganizationServiceHandler, gitpodv1connect.OrganizationServiceHandler(&gitpodv1.Organizations{Identity: p.identity})),
		service(gitpodv1connect.GatewayServiceName, gitpodv1connect.NewGatewayServiceHandler, gitpodv1connect.GatewayServiceHandler(&gitpodv1.Gateways{All: cfg.gateways()})),
		service(gitpodv1connect.EventServiceName, gitpodv1connect.NewEventServiceHandler, gitpodv1connect.EventServiceHandler(events)),
		service(gitpodv1connect.RunnerConfigurationServiceName, gitpodv1connect.NewRunnerConfigurationServiceHandler, gitpodv1connect.RunnerConfigurationServiceHandler(gitpodv1connect.UnimplementedRunnerConfigurationServiceHandler{})),
		service(gitpodv1connect.EnvironmentServiceName, gitpodv1connect.NewEnvironmentServiceHandler, gitpodv1connect.EnvironmentServiceHandler(gitpodv1connect.UnimplementedEnvironmentServiceHandler{})),
		service(gitpodv1connect.GroupServiceName, gitpodv1connect.NewGroupServiceHandler, gitpodv1connect.GroupServiceHandler(gitpodv1connect.UnimplementedGroupServiceHandler{})),
		service(gitpodv1connect.ServiceAccountServiceName, gitpodv1connect.NewServiceAccountServiceHandler, gitpodv1connect.ServiceAccountServiceHandler(gitpodv1connect.UnimplementedServiceAccountServiceHandler{})),
		service(adminv1connect.MemberServiceName, adminv1connect.NewMemberServiceHandler, adminv1connect.MemberServiceHandler(&adminv1.Members{Identity: p.identity})),
		service(adminv1connect.RunnerKeyServiceName, adminv1connect.NewRunnerKeyServiceHandler, adminv1connect.RunnerKeyServiceHandler(&adminv1.RunnerKeys{Fleet: p.fleet})),
		{Name: linkv1connect.LinkServiceName, New: func(opts ...connect.HandlerOption) (string, http.Handler) {
			path, h := linkv1connect.NewLinkServiceHandler(p.hub, opts...)
			return path, link.WithControl(h)
		}},
	}
}

func service[H any](name string, construct func(H, ...connect.HandlerOption) (string, http.Handler), h H) rpc.Service {
	return rpc.Service{Name: name, New: func(opts ...connect.HandlerOption) (string, http.Handler) { return construct(h, opts...) }}
}

func (k signingKeys) signer(issuer string) func(r id.Runner, person string) (string, error) {
	return func(r id.Runner, person string) (string, error) { return k.sign.Sign(issuer, r, person) }
}

// fleetMetrics exports what the hub holds.
func fleetMetrics(hub *link.Hub) prometheus.Collector {
	return hubCollector{hub}
}

type hubCollector struct{ hub *link.Hub }

var (
	sessionsDesc = prometheus.NewDesc("muster_sessions", "Runner sessions that this replica holds.", nil, nil)
	linksDesc    = prometheus.NewDesc("muster_links", "Runner links that are open on this replica.", nil, nil)
)

// Describe implements prometheus.Collector.
func (hubCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- sessionsDesc
	ch <- linksDesc
}

// Collect implements prometheus.Collector.
func (c hubCollector) Collect(ch chan<- prometheus.Metric) {
	sessions, links := c.hub.Counts()
	ch <- prometheus.MustNewConstMetric(sessionsDesc, prometheus.GaugeValue, float64(sessions))
	ch <- prometheus.MustNewConstMetric(linksDesc, prometheus.GaugeValue, float64(links))
}
