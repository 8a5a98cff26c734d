package clock

import "log/slog"

// WithUnits is slog.HandlerOptions.ReplaceAttr: it writes durations as people do,
// "1.5s", in every format; JSON would have a number of nanoseconds.
func WithUnits(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}
