package app

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/musterhq/muster/internal/door"
	"github.com/musterhq/muster/internal/vitals"
)

// door makes the door of a checked configuration.
func (c *Config) door() *door.Door {
	proxies, _ := door.ParseProxies(c.TrustedProxies) // check has seen them
	limits := c.Limits
	if limits.Strangers == 0 {
		limits.Strangers = door.Defaults().Strangers
	}
	// Those who have a token, the database and the logs need file descriptors too.
	if files, ok := vitals.DescriptorLimit(); ok {
		limits.Strangers = max(1, int(min(files/2, uint64(limits.Strangers)))) //nolint:gosec // both are positive, and the smaller one is an int
	}
	return door.New(door.Config{Limits: limits, Proxies: proxies, Log: c.Logger})
}

// doorCollector exports what the door has counted.
type doorCollector struct{ door *door.Door }

var (
	refusedDesc = prometheus.NewDesc("muster_refused_total", "Requests, streams, links and connections that were refused, by the limit that they were beyond.",
		[]string{"limit"}, nil)
	openDesc = prometheus.NewDesc("muster_open", "What is open at this moment, of each kind that has a limit.", []string{"kind"}, nil)
)

// Describe implements prometheus.Collector.
func (doorCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- refusedDesc
	ch <- openDesc
}

// Collect implements prometheus.Collector.
func (c doorCollector) Collect(ch chan<- prometheus.Metric) {
	counts := c.door.Counts()
	for limit, n := range counts.Refused {
		ch <- prometheus.MustNewConstMetric(refusedDesc, prometheus.CounterValue, float64(n), limit)
	}
	for kind, n := range map[string]int{
		"streams": counts.Streams, "requests": counts.Requests, "caller-streams": counts.CallerStreams, "connections": counts.Strangers,
	} {
		ch <- prometheus.MustNewConstMetric(openDesc, prometheus.GaugeValue, float64(n), kind)
	}
}
