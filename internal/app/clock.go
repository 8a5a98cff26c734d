package app

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/musterhq/muster/internal/confirmed"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/store/sqlstore"
)

// ClockState is what the database of a control plane knows of the time.
type ClockState struct {
	// Confirmed is the confirmed time, Clock what the clock here shows, and Ahead how
	// far that is ahead.
	Confirmed, Clock time.Time
	Ahead            time.Duration
	// Paused says that nothing is removed by age, and Left is for how much running
	// time that goes on if the clock stays as it is.
	Paused bool
	Left   time.Duration
	// Credentials have times of a clock that was far off.
	Credentials []confirmed.Credential
}

// ShowClock compares the clock here with the database that cfg names. A control
// plane may run on it meanwhile.
func ShowClock(ctx context.Context, cfg Config) (ClockState, error) {
	return withClock(ctx, cfg, func(store confirmed.Store) (ClockState, error) {
		s, made, err := confirmed.Read(ctx, store)
		return clockState(s, made), err
	})
}

// ConfirmClock makes what the clock here shows the confirmed time of the database
// that cfg names, and returns what was there before. A control plane that runs on it
// takes that over within a minute.
func ConfirmClock(ctx context.Context, cfg Config) (ClockState, error) {
	return withClock(ctx, cfg, func(store confirmed.Store) (ClockState, error) {
		s, made, err := confirmed.Confirm(ctx, store, time.Now())
		return clockState(s, made), err
	})
}

func clockState(s confirmed.State, made []confirmed.Credential) ClockState {
	now := time.Now().Round(0)
	paused, left := s.Paused(now)
	return ClockState{Confirmed: s.At, Clock: now, Ahead: now.Sub(s.At), Paused: paused, Left: left, Credentials: made}
}

func withClock(ctx context.Context, cfg Config, do func(confirmed.Store) (ClockState, error)) (ClockState, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if err := cfg.checkDatabase(); err != nil {
		return ClockState{}, err
	}
	store, _, err := openStore(ctx, &cfg, sqlstore.Options{Beside: true})
	if err != nil {
		return ClockState{}, err
	}
	defer closeAfter(store, cfg.Logger)
	return do(store.Confirmed())
}

// checkDatabase refuses a data directory without a database, for commands that
// make none.
func (c *Config) checkDatabase() error {
	if c.DatabaseURL == "" && c.DataDir != "" && !sqlstore.Initialized(c.DataDir) {
		return fault.New(fault.FailedPrecondition, fault.StorageUnavailable,
			"There is no database in %q. Name the directory that \"muster serve\" was started with, or its PostgreSQL database with --database-url.", c.DataDir)
	}
	return nil
}

// clockMetrics exports how the clock and the confirmed time differ.
func clockMetrics(c *confirmed.Clock) prometheus.Collector { return clockCollector{c} }

type clockCollector struct{ clock *confirmed.Clock }

var (
	aheadDesc  = prometheus.NewDesc("muster_clock_ahead_seconds", "How far the clock of this machine is ahead of the confirmed time; below zero when it is behind.", nil, nil)
	pausedDesc = prometheus.NewDesc("muster_removal_paused", "1 while nothing is removed by age, because the clock and the confirmed time differ.", nil, nil)
)

// Describe implements prometheus.Collector.
func (clockCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- aheadDesc
	ch <- pausedDesc
}

// Collect implements prometheus.Collector.
func (c clockCollector) Collect(ch chan<- prometheus.Metric) {
	s, wall := c.clock.Status()
	paused := 0.0
	if s.Doubted {
		paused = 1
	}
	ch <- prometheus.MustNewConstMetric(aheadDesc, prometheus.GaugeValue, wall.Sub(s.At).Seconds())
	ch <- prometheus.MustNewConstMetric(pausedDesc, prometheus.GaugeValue, paused)
}
