package app

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/musterhq/muster/internal/store/sqlstore"
	"github.com/musterhq/muster/internal/vitals"
)

// resources are what the control plane can run out of.
func (c *Config) resources(store *sqlstore.Store) []vitals.Resource {
	return []vitals.Resource{
		vitals.Descriptors(), vitals.DataDisk(c.DataDir), vitals.LogDisk(), vitals.Goroutines(), connectionsOf(store),
	}
}

// connectionsOf is the pool of database connections. It is short when calls had
// to wait for one since it was last read, and all are in use.
func connectionsOf(store *sqlstore.Store) vitals.Resource {
	var before int64
	return vitals.Resource{
		Name:   "database connections",
		Advice: "calls wait for each other; look for slow queries, a database that is slow, or a caller that asks for very much",
		Read: func() (vitals.Reading, bool) {
			p := store.Pool()
			waited := p.Waited - before
			before = p.Waited
			return vitals.Reading{
				Used: uint64(p.Used), Limit: uint64(p.Limit), //nolint:gosec // never negative
				Short: waited > 0 && p.Used >= p.Limit,
				Note:  fmt.Sprintf("calls have waited for one %d times since the last look", waited),
			}, true
		},
	}
}

// vitalsCollector exports what the control plane can run out of, and how well
// it is.
type vitalsCollector struct {
	vitals *vitals.Watch
	health *health
}

var (
	usedDesc     = prometheus.NewDesc("muster_resource_used", "How much is used of what can run out; disks in bytes.", []string{"resource"}, nil)
	limitDesc    = prometheus.NewDesc("muster_resource_limit", "How much there is of what can run out; disks in bytes.", []string{"resource"}, nil)
	acceptDesc   = prometheus.NewDesc("muster_accept_errors_total", "How often a connection could not be accepted.", nil, nil)
	readyDesc    = prometheus.NewDesc("muster_ready", "1 while calls can be answered, which is what /readyz tells.", nil, nil)
	degradedDesc = prometheus.NewDesc("muster_degraded", "1 while calls that change something are refused.", nil, nil)
)

// Describe implements prometheus.Collector.
func (vitalsCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{usedDesc, limitDesc, acceptDesc, readyDesc, degradedDesc} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c vitalsCollector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	for name, r := range c.vitals.Readings() {
		gauge(usedDesc, float64(r.Used), name)
		gauge(limitDesc, float64(r.Limit), name)
	}
	ch <- prometheus.MustNewConstMetric(acceptDesc, prometheus.CounterValue, float64(c.vitals.Failed()))
	gauge(readyDesc, flag(c.health.ready() == nil))
	gauge(degradedDesc, flag(c.health.degraded() != ""))
}

func flag(on bool) float64 {
	if on {
		return 1
	}
	return 0
}
