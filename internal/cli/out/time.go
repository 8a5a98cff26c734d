package out

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"
)

// Age is how long ago something was, in its largest unit: "12s", "3m", "5h",
// "40d". It is empty for a time that is not set.
func Age(now time.Time, at *timestamppb.Timestamp) string {
	if at == nil {
		return ""
	}
	return Span(now.Sub(at.AsTime()))
}

// Span is a length of time in its largest unit. What lies ahead, by a clock that
// runs differently, counts as now.
func Span(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	default:
		return fmt.Sprintf("%dd", int(d.Hours()/24))
	}
}

// Time is a point in time with its age: "2026-11-21 03:50:01 UTC (3m ago)". It
// is empty for a time that is not set.
func Time(now time.Time, at *timestamppb.Timestamp) string {
	if at == nil {
		return ""
	}
	text := at.AsTime().UTC().Format("2006-01-02 15:04:05 UTC")
	if d := at.AsTime().Sub(now); d > 0 {
		return text + " (in " + Span(d) + ")"
	}
	return text + " (" + Age(now, at) + " ago)"
}
