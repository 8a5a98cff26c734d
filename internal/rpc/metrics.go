package rpc

import (
	"sync/atomic"
	"time"

	"connectrpc.com/connect"
	"github.com/prometheus/client_golang/prometheus"
)

// metrics count what the transport does.
type metrics struct {
	calls    *prometheus.CounterVec
	duration *prometheus.HistogramVec
	streams  *prometheus.GaugeVec
}

func newMetrics() *metrics {
	return &metrics{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "muster_rpc_calls_total", Help: "Finished calls by procedure and code.",
		}, []string{"procedure", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "muster_rpc_duration_seconds", Help: "Duration of calls that are no streams, by procedure and code.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1, 5, 30},
		}, []string{"procedure", "code"}),
		streams: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "muster_rpc_streams", Help: "Open streams by procedure.",
		}, []string{"procedure"}),
	}
}

func (m *metrics) register(r *prometheus.Registry) error {
	for _, c := range []prometheus.Collector{m.calls, m.duration, m.streams} {
		if err := r.Register(c); err != nil {
			return err
		}
	}
	return nil
}

// procedureMetrics are those of one procedure. The series of a code is looked
// up once, when the code first occurs.
type procedureMetrics struct {
	all     *metrics
	name    string
	stream  bool
	streams prometheus.Gauge
	codes   *[connect.CodeUnauthenticated + 1]atomic.Pointer[codeMetrics]
}

type codeMetrics struct {
	calls    prometheus.Counter
	duration prometheus.Observer // nil for streams
}

func (m *metrics) of(p *procedure) procedureMetrics {
	pm := procedureMetrics{all: m, name: p.name, stream: p.stream(), codes: new([connect.CodeUnauthenticated + 1]atomic.Pointer[codeMetrics])}
	if pm.stream {
		pm.streams = m.streams.WithLabelValues(p.name)
	}
	return pm
}

func (p *procedureMetrics) observe(code connect.Code, took time.Duration) {
	cm := p.codes[code].Load()
	if cm == nil {
		cm = &codeMetrics{calls: p.all.calls.WithLabelValues(p.name, codeName(code))}
		if !p.stream {
			cm.duration = p.all.duration.WithLabelValues(p.name, codeName(code))
		}
		p.codes[code].Store(cm)
	}
	cm.calls.Inc()
	if cm.duration != nil {
		cm.duration.Observe(took.Seconds())
	}
}
