package door

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/musterhq/muster/internal/pace"
)

// limit is one of the limits.
type limit int

const (
	addressRequests limit = iota
	allRequests
	addressStreams
	allStreams
	callerStreams
	callerOpens
	welcomes
	connections
	limits // how many there are
)

// names are those of the metric, and of the flags that set the limits.
var names = [limits]string{
	"address-requests", "requests", "address-streams", "streams", "caller-streams", "caller-opens", "welcomes", "connections",
}

// noteEvery is how often a line is logged of a limit that is reached.
const noteEvery = time.Minute

type refusals struct {
	counts [limits]atomic.Uint64
	lines  [limits]*pace.Lines
}

func newRefusals() *refusals {
	r := new(refusals)
	for l := range r.lines {
		r.lines[l] = pace.NewLines(noteEvery, 1)
	}
	return r
}

// note counts a refusal, and tells the log of it if it was told nothing of the
// kind for a while.
func (r *refusals) note(log *slog.Logger, l limit, attrs ...slog.Attr) {
	r.counts[l].Add(1)
	may, left := r.lines[l].Take(time.Now())
	if !may {
		return
	}
	attrs = append([]slog.Attr{slog.String("of", names[l])}, attrs...)
	log.LogAttrs(context.Background(), slog.LevelWarn, "a limit is reached, and what goes beyond it refused; more of the kind is counted for a minute",
		append(attrs, slog.Int("refused_before", left))...)
}

// Counts are what a door has counted.
type Counts struct {
	// Refused is how much was refused, by the name of the limit.
	Refused map[string]uint64
	// Streams and Requests without a token are open, and CallerStreams of the
	// owners of tokens. Strangers are connections on which no token was proved.
	Streams, Requests, CallerStreams, Strangers int
}

// Counts returns what was counted so far.
func (d *Door) Counts() Counts {
	c := Counts{
		Refused: map[string]uint64{},
		Streams: d.streams.count(), Requests: d.requests.count(), CallerStreams: d.callers.count(), Strangers: d.strangers.count(),
	}
	for l, name := range names {
		c.Refused[name] = d.refusals.counts[l].Load()
	}
	return c
}
