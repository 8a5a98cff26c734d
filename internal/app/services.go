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
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/link"
	"github.com/musterhq/muster/internal/rpc"
	"github.com/musterhq/muster/internal/rpc/adminv1"
	"github.com/musterhq/muster/internal/rpc/gitpodv1"
)

func (p *plane) rpcConfig(cfg *Config, bus *event.Bus, registry *prometheus.Registry) rpc.Config {
	events := &gitpodv1.Events{Bus: bus, Audit: p.audit}
	return rpc.Config{
		Authenticate: p.identity.Authenticate,
		Hold:         p.identity.Hold,
		Services:     p.services(cfg, events),
		Watch:        events.Watch,
		Extra:        p.publicRoutes(),
		Guarded:      p.logsRoutes(),
		Door:         p.door,
		Ready:        func(context.Context) error { return p.health.ready() },
		Degraded:     p.health.degraded,
		Remarks:      p.remarks,
		Registry:     registry,
		Logger:       cfg.Logger,
	}
}

// remarks are what people should know although this replica answers.
func (p *plane) remarks() []string {
	if note := p.confirmed.Note(); note != "" {
		return []string{note}
	}
	return nil
}

// services are all that the contract names; what is not built answers
// unimplemented.
func (p *plane) services(cfg *Config, events *gitpodv1.Events) []rpc.Service {
	return []rpc.Service{
		service(gitpodv1connect.RunnerServiceName, gitpodv1connect.NewRunnerServiceHandler, gitpodv1connect.RunnerServiceHandler(&gitpodv1.Runners{Fleet: p.fleet, Groups: p.groups, CodeHosts: p.codeHosts})),
		service(gitpodv1connect.IdentityServiceName, gitpodv1connect.NewIdentityServiceHandler, gitpodv1connect.IdentityServiceHandler(&gitpodv1.Identities{Fleet: p.fleet, IDTokens: p.idTokens})),
		service(gitpodv1connect.UserServiceName, gitpodv1connect.NewUserServiceHandler, gitpodv1connect.UserServiceHandler(&gitpodv1.Users{Identity: p.identity})),
		service(gitpodv1connect.OrganizationServiceName, gitpodv1connect.NewOrganizationServiceHandler, gitpodv1connect.OrganizationServiceHandler(&gitpodv1.Organizations{Identity: p.identity})),
		service(gitpodv1connect.GatewayServiceName, gitpodv1connect.NewGatewayServiceHandler, gitpodv1connect.GatewayServiceHandler(&gitpodv1.Gateways{All: cfg.gateways()})),
		service(gitpodv1connect.EventServiceName, gitpodv1connect.NewEventServiceHandler, gitpodv1connect.EventServiceHandler(events)),
		service(gitpodv1connect.RunnerConfigurationServiceName, gitpodv1connect.NewRunnerConfigurationServiceHandler, gitpodv1connect.RunnerConfigurationServiceHandler(&gitpodv1.RunnerConfiguration{Classes: p.classes, SCM: p.scm, HostTokens: p.hosts, LLM: p.llm, CodeHosts: p.codeHosts})),
		service(gitpodv1connect.EnvironmentServiceName, gitpodv1connect.NewEnvironmentServiceHandler, gitpodv1connect.EnvironmentServiceHandler(&gitpodv1.Environments{Classes: p.classes})),
		service(gitpodv1connect.GroupServiceName, gitpodv1connect.NewGroupServiceHandler, gitpodv1connect.GroupServiceHandler(&gitpodv1.Groups{Groups: p.groups})),
		service(gitpodv1connect.ServiceAccountServiceName, gitpodv1connect.NewServiceAccountServiceHandler, gitpodv1connect.ServiceAccountServiceHandler(&gitpodv1.ServiceAccounts{ServiceAccounts: p.accounts})),
		service(adminv1connect.MemberServiceName, adminv1connect.NewMemberServiceHandler, adminv1connect.MemberServiceHandler(&adminv1.Members{Identity: p.identity})),
		service(adminv1connect.RetentionServiceName, adminv1connect.NewRetentionServiceHandler, adminv1connect.RetentionServiceHandler(&adminv1.Retention{Retention: p.retention})),
		service(adminv1connect.RunnerKeyServiceName, adminv1connect.NewRunnerKeyServiceHandler, adminv1connect.RunnerKeyServiceHandler(&adminv1.RunnerKeys{Fleet: p.fleet, Sealed: p.sealed})),
		service(adminv1connect.RunnerTokenServiceName, adminv1connect.NewRunnerTokenServiceHandler, adminv1connect.RunnerTokenServiceHandler(&adminv1.RunnerTokens{Fleet: p.fleet})),
		service(adminv1connect.InstallationServiceName, adminv1connect.NewInstallationServiceHandler, adminv1connect.InstallationServiceHandler(&adminv1.Installation{Identity: p.identity, Keys: p.keys})),
		service(adminv1connect.AuditServiceName, adminv1connect.NewAuditServiceHandler, adminv1connect.AuditServiceHandler(&adminv1.Audit{Log: p.audit})),
		service(adminv1connect.AccessServiceName, adminv1connect.NewAccessServiceHandler, adminv1connect.AccessServiceHandler(&adminv1.Access{Groups: p.groups})),
		{Name: linkv1connect.LinkServiceName, New: func(opts ...connect.HandlerOption) (string, http.Handler) {
			path, h := linkv1connect.NewLinkServiceHandler(p.hub, opts...)
			return path, link.WithControl(h)
		}},
	}
}

func service[H any](name string, construct func(H, ...connect.HandlerOption) (string, http.Handler), h H) rpc.Service {
	return rpc.Service{Name: name, New: func(opts ...connect.HandlerOption) (string, http.Handler) { return construct(h, opts...) }}
}

// fleetMetrics exports what the hub holds, and what will not come back.
func fleetMetrics(hub *link.Hub, runners *fleet.Service) prometheus.Collector {
	return fleetCollector{hub, runners}
}

type fleetCollector struct {
	hub     *link.Hub
	runners *fleet.Service
}

var (
	sessionsDesc = prometheus.NewDesc("muster_sessions", "Runner sessions that this replica holds.", nil, nil)
	endingDesc   = prometheus.NewDesc("muster_runner_tokens_ending_soon", "Runners whose access token ends within 14 days.", nil, nil)
	linksDesc    = prometheus.NewDesc("muster_links", "Runner links that are open on this replica.", nil, nil)
)

// Describe implements prometheus.Collector.
func (fleetCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- sessionsDesc
	ch <- linksDesc
	ch <- endingDesc
}

// Collect implements prometheus.Collector.
func (c fleetCollector) Collect(ch chan<- prometheus.Metric) {
	sessions, links := c.hub.Counts()
	ch <- prometheus.MustNewConstMetric(sessionsDesc, prometheus.GaugeValue, float64(sessions))
	ch <- prometheus.MustNewConstMetric(linksDesc, prometheus.GaugeValue, float64(links))
	ch <- prometheus.MustNewConstMetric(endingDesc, prometheus.GaugeValue, float64(c.runners.AccessEndingSoon()))
}
