package scmhost

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// errNotGit says that an answer does not follow git's protocol.
var errNotGit = errors.New("not git's protocol")

// maxPacket is the longest line of git's protocol, with the four digits of its
// length.
const maxPacket = 65520

// packets reads git's pkt-lines up to a bound.
type packets struct {
	limit *io.LimitedReader
	r     *bufio.Reader
	line  [maxPacket]byte
}

func newPackets(r io.Reader, bound int64) *packets {
	limit := &io.LimitedReader{R: r, N: bound}
	return &packets{limit: limit, r: bufio.NewReaderSize(limit, 4<<10)}
}

// next returns a line without its line feed; ok is false for the flush packet and
// the other packets that only separate. io.EOF stands for the end between two
// lines and for the bound, which cut tells apart.
func (p *packets) next() (line string, ok bool, err error) {
	var digits [4]byte
	if n, err := io.ReadFull(p.r, digits[:]); err != nil {
		if n == 0 && errors.Is(err, io.EOF) || p.cut(err) {
			return "", false, io.EOF
		}
		return "", false, broken(err)
	}
	n, err := strconv.ParseUint(string(digits[:]), 16, 16)
	switch {
	case err != nil || n == 3 || n > maxPacket:
		return "", false, errNotGit
	case n < 3:
		return "", false, nil
	}
	data := p.line[:n-4]
	if _, err := io.ReadFull(p.r, data); err != nil {
		if p.cut(err) {
			return "", false, io.EOF
		}
		return "", false, broken(err)
	}
	return strings.TrimSuffix(string(data), "\n"), true, nil
}

// cut tells whether the bound is why nothing came.
func (p *packets) cut(err error) bool {
	return p.limit.N <= 0 && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF))
}

// broken keeps what went wrong with the connection apart from what is no git.
func broken(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errNotGit
	}
	return fmt.Errorf("reading refs: %w", err)
}
