//go:build wrongclock

package time

import "syscall"

// wallOffset is how many seconds the wall clock of this process is off. The
// monotonic clock is what it is.
var wallOffset = func() (offset int64) {
	text, _ := syscall.Getenv("WRONG_CLOCK_SECONDS")
	sign := int64(1)
	for _, c := range []byte(text) {
		if c == '-' {
			sign = -1
		} else {
			offset = 10*offset + int64(c-'0')
		}
	}
	return sign * offset
}()
