package chain

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
)

// The form of an export: lines of JSON, each an object with one of the fields
// of line.
const (
	format  = "muster-audit-log"
	version = 1
	// maxLine is the longest line that is read, in bytes.
	maxLine = 1 << 20
)

// line is one line of an export. The order is: the header, keys, the checkpoint
// of the place where the log begins if older entries were removed, entries with
// each checkpoint right behind its entry, the end. A key comes before what is
// signed with it.
type line struct {
	Header     *header     `json:"header,omitempty"`
	Key        *Key        `json:"key,omitempty"`
	Entry      *Entry      `json:"entry,omitempty"`
	Checkpoint *Checkpoint `json:"checkpoint,omitempty"`
	End        *end        `json:"end,omitempty"`
}

type header struct {
	Format       string `json:"format"`
	Version      int    `json:"version"`
	Organization string `json:"organization_id"`
}

// end shows that the file was not cut off or damaged. It is no proof: whoever
// forges a file can write it anew.
type end struct {
	// Lines counts the lines before this one, and SHA256 is of all their bytes.
	Lines  int64 `json:"lines"`
	SHA256 Hash  `json:"sha256"`
}

// parts counts the fields that are set; a line has one.
func (l *line) parts() int {
	n := 0
	for _, set := range []bool{l.Header != nil, l.Key != nil, l.Entry != nil, l.Checkpoint != nil, l.End != nil} {
		if set {
			n++
		}
	}
	return n
}

// bytes is the one way in which a line is written, with its line feed.
func (l *line) bytes() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(l); err != nil {
		return nil, fmt.Errorf("chain: writing a line of an export: %w", err)
	}
	return b.Bytes(), nil
}

// Writer writes an export.
type Writer struct {
	to    io.Writer
	sum   hash.Hash
	lines int64
}

// NewWriter begins an export.
func NewWriter(to io.Writer, organization string) (*Writer, error) {
	w := &Writer{to: to, sum: sha256.New()}
	return w, w.write(&line{Header: &header{Format: format, Version: version, Organization: organization}})
}

// Key adds a key.
func (w *Writer) Key(k Key) error { return w.write(&line{Key: &k}) }

// Entry adds the next entry.
func (w *Writer) Entry(e Entry) error { return w.write(&line{Entry: &e}) }

// Checkpoint adds a checkpoint, behind its entry.
func (w *Writer) Checkpoint(c Checkpoint) error { return w.write(&line{Checkpoint: &c}) }

// Close ends the export. It does not close the writer below.
func (w *Writer) Close() error {
	return w.write(&line{End: &end{Lines: w.lines, SHA256: Hash(w.sum.Sum(nil))}})
}

func (w *Writer) write(l *line) error {
	b, err := l.bytes()
	if err != nil {
		return err
	}
	w.lines++
	_, _ = w.sum.Write(b) // a hash never fails
	_, err = w.to.Write(b)
	return err
}

// reader reads the lines of a file.
type reader struct {
	from *bufio.Reader
	// number is that of the last line that was read, from 1.
	number int
}

func newReader(r io.Reader) *reader { return &reader{from: bufio.NewReaderSize(r, maxLine)} }

// next returns a line and its bytes, which are good until the next call. After
// the last line the error is io.EOF. A line that is not as Writer writes it is
// an error.
func (r *reader) next() (line, []byte, error) {
	raw, err := r.from.ReadSlice('\n')
	if errors.Is(err, io.EOF) && len(raw) == 0 {
		return line{}, nil, io.EOF
	}
	r.number++
	switch {
	case errors.Is(err, io.EOF):
		return line{}, nil, r.broken("The file ends within a line: it was cut off.")
	case errors.Is(err, bufio.ErrBufferFull):
		return line{}, nil, r.broken("The line is longer than %d bytes, which no line of an export is.", maxLine)
	case err != nil:
		return line{}, nil, fmt.Errorf("reading line %d: %w", r.number, err)
	}
	var l line
	if err := json.Unmarshal(raw, &l); err != nil {
		return line{}, nil, r.broken("The line is not one of an export: %v.", err)
	}
	written, err := l.bytes()
	if err != nil {
		return line{}, nil, err
	}
	if l.parts() != 1 || !bytes.Equal(raw, written) {
		return line{}, nil, r.broken("The line is not written as an export writes it: somebody edited it.")
	}
	return l, raw, nil
}

func (r *reader) broken(format string, args ...any) error {
	return &Broken{Line: r.number, Message: fmt.Sprintf(format, args...)}
}

// Broken is the first place where an export is not as it must be.
type Broken struct {
	// Line is the number of the line, from 1.
	Line int
	// Message is a sentence for people.
	Message string
}

// Error names the line.
func (b *Broken) Error() string { return fmt.Sprintf("line %d: %s", b.Line, b.Message) }
