package chain

import (
	"errors"
	"fmt"
	"io"
)

// Saved is what somebody kept of the audit log, to hold later exports to it.
type Saved struct {
	// Organization is empty when the file does not say whose log it is of.
	Organization string
	Keys         []Key
	Checkpoints  []Checkpoint
}

// Load reads the keys and the checkpoints of a file: an export, or any of its
// lines.
func Load(from io.Reader) (Saved, error) {
	var s Saved
	r := newReader(from)
	for {
		l, _, err := r.next()
		switch {
		case errors.Is(err, io.EOF):
			return s, nil
		case err != nil:
			return s, err
		case l.Header != nil && s.Organization != "" && s.Organization != l.Header.Organization:
			return s, r.broken("The file is of two organizations.")
		case l.Header != nil && (l.Header.Format != format || l.Header.Version != version):
			return s, r.broken("%s", unknownFormat(l.Header))
		case l.Header != nil:
			s.Organization = l.Header.Organization
		case l.Key != nil:
			s.Keys = append(s.Keys, *l.Key)
		case l.Checkpoint != nil:
			s.Checkpoints = append(s.Checkpoints, *l.Checkpoint)
		}
	}
}

func unknownFormat(h *header) string {
	return fmt.Sprintf("This is %q, version %d; this program reads %q, version %d.", h.Format, h.Version, format, version)
}
