// Package vitals watches what a process can run out of: file descriptors, disk,
// goroutines, connections to its database. It reads how much is used every few
// seconds, for metrics, and logs a line a minute while something is short.
package vitals

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/musterhq/muster/internal/pace"
)

const (
	// readEvery is how often everything is read.
	readEvery = 10 * time.Second
	// sayEvery is how often a line is logged of what is short.
	sayEvery = time.Minute
)

// Reading is how much of something is used, and how much there is. Bytes for
// disks, and numbers for all else.
type Reading struct {
	Used, Limit uint64
	// Short says that no more is left, or soon will not be.
	Short bool
	// Note is what else there is to say about it; empty for nothing.
	Note string
}

// Resource is something that can run out.
type Resource struct {
	Name string
	// Read reads it. It returns false when that cannot be read at the moment, which
	// then shows as before.
	Read func() (Reading, bool)
	// Advice is what can be done about it.
	Advice string
}

// Watch watches resources. It is safe for concurrent use.
type Watch struct {
	log       *slog.Logger
	resources []*watched
	accepts   accepts
}

type watched struct {
	Resource

	mu   sync.Mutex
	last Reading
	read bool
	// said is when its shortness was last logged; zero while it is not short.
	said time.Time
}

// New watches resources once Run runs.
func New(log *slog.Logger, resources ...Resource) *Watch {
	w := &Watch{log: log, accepts: accepts{lines: pace.NewLines(sayEvery, 1)}}
	for _, r := range resources {
		w.resources = append(w.resources, &watched{Resource: r})
	}
	return w
}

// Run reads all resources every few seconds until ctx ends.
func (w *Watch) Run(ctx context.Context) {
	tick := time.NewTicker(readEvery)
	defer tick.Stop()
	for {
		for _, r := range w.resources {
			w.look(ctx, r)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (w *Watch) look(ctx context.Context, r *watched) {
	reading, ok := r.Read()
	if !ok {
		return
	}
	now := time.Now()
	r.mu.Lock()
	r.last, r.read = reading, true
	before := r.said
	say := reading.Short && (before.IsZero() || now.Sub(before) >= sayEvery)
	switch {
	case !reading.Short:
		r.said = time.Time{}
	case say:
		r.said = now
	}
	r.mu.Unlock()
	attrs := []slog.Attr{slog.String("of", r.Name), slog.Uint64("used", reading.Used), slog.Uint64("limit", reading.Limit)}
	if reading.Note != "" {
		attrs = append(attrs, slog.String("note", reading.Note))
	}
	switch {
	case say:
		w.log.LogAttrs(ctx, slog.LevelWarn, "running out", append(attrs, slog.String("hint", r.Advice))...)
	case !reading.Short && !before.IsZero():
		w.log.LogAttrs(ctx, slog.LevelInfo, "there is enough again", attrs...)
	}
}

// Readings returns what was last read, by the name of the resource.
func (w *Watch) Readings() map[string]Reading {
	readings := map[string]Reading{}
	for _, r := range w.resources {
		r.mu.Lock()
		if r.read {
			readings[r.Name] = r.last
		}
		r.mu.Unlock()
	}
	return readings
}
