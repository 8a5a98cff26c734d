// Package page makes and reads the tokens of keyset paging.
//
// A list is ordered by (key, id), where the key is what the caller sorts by. A
// token is the position after the last row that was returned, bound to the
// query that it came from: a token of another filter, sort or organization is
// refused instead of giving wrong rows. The page size is not bound, since
// clients may change it between pages. Tokens are URL-safe and opaque.
package page

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strconv"
	"time"

	"github.com/musterhq/muster/internal/fault"
)

// Sizes of a page, in rows.
const (
	DefaultSize = 25
	MaxSize     = 100
)

// Cursor is the position of a row in an ordered list.
type Cursor struct {
	// Key is the sort key in its stored form; times are the decimal or binary
	// form that the caller of this package chooses.
	Key string
	ID  string
}

// Request is what a client sent.
type Request struct {
	Size  int32
	Token string
}

// Query is a checked Request.
type Query struct {
	// Limit is the number of rows to return, 1 to MaxSize.
	Limit int
	// After is the position to go on from; nil for the first page.
	After *Cursor

	binding [8]byte
}

const version = 1

// Parse checks a request. The binding must name everything that selects and
// orders the rows, the organization included, and not the page size.
func Parse(r Request, binding string) (Query, error) {
	if r.Size < 0 || r.Size > MaxSize {
		return Query{}, fault.Invalid("pagination.page_size", "must be between 0 and %d, is %d; 0 means %d", MaxSize, r.Size, DefaultSize)
	}
	q := Query{Limit: int(r.Size)}
	if q.Limit == 0 {
		q.Limit = DefaultSize
	}
	sum := sha256.Sum256([]byte(binding))
	copy(q.binding[:], sum[:])
	if r.Token == "" {
		return q, nil
	}
	bad := fault.New(fault.InvalidArgument, fault.InvalidPageToken,
		"pagination.token: this is not a page token of this list with these filters. Start again without a token.")
	bad.Field = "pagination.token"
	raw, err := base64.RawURLEncoding.DecodeString(r.Token)
	if err != nil || len(raw) < 1+8+2+4 || raw[0] != version {
		return Query{}, bad
	}
	body, sumBytes := raw[:len(raw)-4], raw[len(raw)-4:]
	if crc32.ChecksumIEEE(body) != binary.BigEndian.Uint32(sumBytes) || [8]byte(body[1:9]) != q.binding {
		return Query{}, bad
	}
	keyLen := int(binary.BigEndian.Uint16(body[9:11]))
	rest := body[11:]
	if keyLen > len(rest) {
		return Query{}, bad
	}
	q.After = &Cursor{Key: string(rest[:keyLen]), ID: string(rest[keyLen:])}
	return q, nil
}

// Cut takes the rows of a query that asked for Limit+1 of them, and returns the
// page and the token of the next one; the token is empty on the last page.
// position gives a row's place in the order.
func Cut[T any](q Query, rows []T, position func(T) Cursor) ([]T, string) {
	if len(rows) <= q.Limit {
		return rows, ""
	}
	rows = rows[:q.Limit]
	return rows, q.Token(position(rows[len(rows)-1]))
}

// Token is the token of the page that begins after a position.
func (q Query) Token(c Cursor) string {
	b := make([]byte, 0, 1+8+2+len(c.Key)+len(c.ID)+4)
	b = append(b, version)
	b = append(b, q.binding[:]...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(c.Key))) //nolint:gosec // keys are names and numbers
	b = append(b, c.Key...)
	b = append(b, c.ID...)
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	return base64.RawURLEncoding.EncodeToString(b)
}

// TimeKey is the sort key of a time: 16 hexadecimal digits of its microseconds,
// which sort as the times do.
func TimeKey(t time.Time) string { return fmt.Sprintf("%016x", t.UnixMicro()) }

// KeyTime is the time of a TimeKey.
func KeyTime(key string) (time.Time, error) {
	us, err := strconv.ParseInt(key, 16, 64)
	if err != nil || len(key) != 16 {
		return time.Time{}, fmt.Errorf("page: %q is not the key of a time", key)
	}
	return time.UnixMicro(us), nil
}
