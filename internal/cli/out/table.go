package out

import (
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Table is rows under a header, in aligned columns. A table that was written
// can take further rows, which keep its columns.
type Table struct {
	header []string
	rows   [][]string
	widths []int
}

// NewTable makes a table with the given header.
func NewTable(header ...string) *Table {
	t := &Table{header: header, widths: make([]int, len(header))}
	t.measure(header)
	return t
}

// Row adds a row; an empty cell is shown as "-".
func (t *Table) Row(cells ...string) {
	row := make([]string, len(t.widths))
	for i := range row {
		row[i] = "-"
		if i < len(cells) && cells[i] != "" {
			row[i] = Clean(cells[i])
		}
	}
	t.measure(row)
	t.rows = append(t.rows, row)
}

// Reserve widens the columns for a row like this one, which may come later.
func (t *Table) Reserve(cells ...string) { t.measure(cells) }

// Write writes the header, the first time, and the rows that were added since
// the last Write.
func (t *Table) Write(w io.Writer) error {
	var b strings.Builder
	if t.header != nil {
		t.line(&b, t.header)
		t.header = nil
	}
	for _, row := range t.rows {
		t.line(&b, row)
	}
	t.rows = t.rows[:0]
	_, err := io.WriteString(w, b.String())
	return err
}

func (t *Table) measure(row []string) {
	for i, cell := range row {
		t.widths[i] = max(t.widths[i], utf8.RuneCountInString(cell))
	}
}

func (t *Table) line(b *strings.Builder, row []string) {
	for i, cell := range row {
		b.WriteString(cell)
		if i < len(row)-1 {
			b.WriteString(strings.Repeat(" ", t.widths[i]-utf8.RuneCountInString(cell)+2))
		}
	}
	b.WriteByte('\n')
}

// Fields writes one thing as lines of a name and a value: pairs holds them in
// turn. A value that is empty is left out.
func Fields(w io.Writer, pairs ...string) error {
	width := 0
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			width = max(width, utf8.RuneCountInString(pairs[i]))
		}
	}
	var b strings.Builder
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			continue
		}
		b.WriteString(pairs[i])
		b.WriteByte(':')
		b.WriteString(strings.Repeat(" ", width-utf8.RuneCountInString(pairs[i])+2))
		b.WriteString(Clean(pairs[i+1]))
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Clean makes text from elsewhere fit for a line on a terminal: what a runner
// says of itself must not move the cursor.
func Clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || r == '\r' {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return '\uFFFD'
		}
		return r
	}, s)
}
