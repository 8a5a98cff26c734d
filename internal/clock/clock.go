// Package clock tells how much time has passed when a process may have been
// stopped or its machine suspended.
package clock

import "time"

// Gap is the time between two readings of time.Now by whichever clock moved
// further: the monotonic clock stands still while a machine is suspended, the
// wall clock does not. It is at most zero when both say so.
func Gap(a, b time.Time) time.Duration {
	return max(b.Sub(a), b.Round(0).Sub(a.Round(0)))
}
