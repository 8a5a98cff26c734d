package fleet

import (
	"time"

	"github.com/musterhq/muster/internal/fault"
)

// UpdateWindow is the daily time, in UTC, in which a runner may update itself.
// Hours are 0 to 23. A window may cross midnight. It is stored and returned as
// it was sent: an End that was not sent stays absent, and means Start plus
// MinWindow.
type UpdateWindow struct {
	Start uint32  `json:"start"`
	End   *uint32 `json:"end,omitempty"`
}

// MinWindow is the shortest update window, and the length of one without an end.
const MinWindow = 2 * time.Hour

const field = "spec.configuration.update_window"

// NewUpdateWindow checks a window as a client sends it. Both hours absent is no
// window: updates are allowed at any time.
func NewUpdateWindow(start, end *uint32) (*UpdateWindow, error) {
	switch {
	case start == nil && end == nil:
		return nil, nil
	case start == nil:
		return nil, fault.Invalid(field+".start_hour", "is required when end_hour is set")
	case *start > 23:
		return nil, fault.Invalid(field+".start_hour", "must be an hour between 0 and 23 (UTC), is %d", *start)
	}
	w := &UpdateWindow{Start: *start}
	if end == nil {
		return w, nil
	}
	switch {
	case *end > 23:
		return nil, fault.Invalid(field+".end_hour", "must be an hour between 0 and 23 (UTC), is %d", *end)
	case *end == *start:
		return nil, fault.Invalid(field+".end_hour", "must differ from start_hour; leave the window out to allow updates at any time")
	}
	e := *end
	w.End = &e
	if w.Length() < MinWindow {
		return nil, fault.Invalid(field+".end_hour", "the window must last at least %d hours, and lasts %d", int(MinWindow.Hours()), int(w.Length().Hours()))
	}
	return w, nil
}

// Length is how long the window lasts.
func (w *UpdateWindow) Length() time.Duration {
	if w.End == nil {
		return MinWindow
	}
	return time.Duration((*w.End+24-w.Start)%24) * time.Hour
}
