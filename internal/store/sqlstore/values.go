package sqlstore

import (
	"math"
	"time"

	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/page"
)

// micros is how a time is stored.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func moment(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}

// blob keeps an absent value from becoming NULL.
func blob(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// bytesOf undoes blob.
func bytesOf(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}

// mask is a set of small numbers; the empty one stands for all. Numbers that no
// enumeration has are in no set.
func mask[T ~int32](values []T) int64 {
	if len(values) == 0 {
		return -1
	}
	var m int64
	for _, v := range values {
		if v >= 0 && v < 63 {
			m |= 1 << v
		}
	}
	return m
}

// timeCursor is the position in a list that is ordered by a time.
type timeCursor struct {
	at int64
	id string
}

// The ends of every such list.
var (
	beforeAll = timeCursor{at: math.MinInt64}
	afterAll  = timeCursor{at: math.MaxInt64}
)

// cursorOf reads a position; start is where a list begins.
func cursorOf(q page.Query, start timeCursor) (timeCursor, error) {
	if q.After == nil {
		return start, nil
	}
	at, err := page.KeyTime(q.After.Key)
	if err != nil {
		return timeCursor{}, badCursor(err)
	}
	return timeCursor{at: at.UnixMicro(), id: q.After.ID}, nil
}

func badCursor(cause error) error {
	return fault.New(fault.InvalidArgument, fault.InvalidPageToken,
		"pagination.token: this is not a page token of this list. Start again without a token.").WithCause(cause)
}

// maxRows is one more than the page, to tell whether there is another.
func maxRows(q page.Query) int32 { return int32(q.Limit) + 1 } //nolint:gosec // a page has at most page.MaxSize rows
