package chain

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"slices"
)

// Options say what an export is held to beside itself.
type Options struct {
	// Keys are those that the verifier trusts; empty takes those of the export,
	// which proves that it is consistent and not where it comes from.
	Keys []Key
	// Earlier is what was kept of an earlier state of the log; nil compares
	// nothing.
	Earlier *Saved
}

// Report says what was found in an export that is intact.
type Report struct {
	Organization string
	// Entries counts the entries; the first and the last have the sequence
	// numbers First and Last, and were written at FirstAt and LastAt, in
	// microseconds since 1970. All are 0 for an export without entries.
	Entries         int64
	First, Last     int64
	FirstAt, LastAt int64
	// Checkpoints counts the signatures that were verified; the last was made at
	// SignedAt, in microseconds since 1970.
	Checkpoints int64
	SignedAt    int64
	// Keys are the ids of the keys that the checkpoints are signed with, sorted.
	Keys []string
	// Floor is the sequence number of the last entry that was removed by age; 0
	// when the log begins at its beginning.
	Floor int64
	// Compared counts the earlier checkpoints that lie in the export.
	Compared int
}

// Verify reads an export and checks everything that can be checked without a
// control plane. The error is a Broken for the first place that is not as it
// must be. The export may be larger than the memory.
func Verify(from io.Reader, o Options) (Report, error) {
	v := verifier{r: newReader(from), sum: sha256.New(), keys: keyring{}, used: map[string]bool{}, earlier: map[int64]Hash{}}
	if err := v.trust(o); err != nil {
		return Report{}, err
	}
	for !v.ended {
		l, raw, err := v.r.next()
		if errors.Is(err, io.EOF) {
			v.r.number++
			err = v.r.broken("The end of the export is missing: the file was cut off.")
		}
		if err == nil {
			err = v.line(&l, raw)
		}
		if err != nil {
			return v.report, err
		}
	}
	switch _, _, err := v.r.next(); {
	case err == nil:
		return v.report, v.r.broken("There is something behind the end of the export.")
	case !errors.Is(err, io.EOF):
		return v.report, err
	}
	v.report.Keys = slices.Sorted(maps.Keys(v.used))
	return v.report, v.compared(o.Earlier)
}

// verifier is how far an export was read.
type verifier struct {
	r   *reader
	sum hash.Hash
	// keys are those that signatures are checked with; given says that they are
	// not from the export.
	keys  keyring
	given bool
	used  map[string]bool
	// earlier has the hashes that entries had earlier, by their sequence.
	earlier map[int64]Hash

	// last and hash are those of the entry that was read last.
	last int64
	hash Hash
	// signed is the sequence of the last checkpoint.
	signed int64
	ended  bool
	report Report
}

func (v *verifier) trust(o Options) error {
	v.given = len(o.Keys) > 0
	for _, k := range o.Keys {
		if err := v.keys.add(k); err != nil {
			return fmt.Errorf("the given keys: %w", err)
		}
	}
	if o.Earlier == nil {
		return nil
	}
	for _, c := range o.Earlier.Checkpoints {
		if had, ok := v.earlier[c.Sequence]; ok && had != c.Hash {
			return fmt.Errorf("the earlier checkpoints contradict each other about entry %d", c.Sequence)
		}
		v.earlier[c.Sequence] = c.Hash
	}
	return nil
}

func (v *verifier) line(l *line, raw []byte) error {
	if (l.Header != nil) != (v.r.number == 1) {
		return v.r.broken("The export must begin with its header, and have one.")
	}
	var err error
	switch {
	case l.Header != nil:
		err = v.header(l.Header)
	case l.Key != nil:
		err = v.key(*l.Key)
	case l.Entry != nil:
		err = v.entry(l.Entry)
	case l.Checkpoint != nil:
		err = v.checkpoint(l.Checkpoint)
	case l.End != nil:
		err = v.end(l.End)
	}
	_, _ = v.sum.Write(raw) // a hash never fails
	return err
}

func (v *verifier) header(h *header) error {
	if h.Format != format || h.Version != version {
		return v.r.broken("%s", unknownFormat(h))
	}
	v.report.Organization = h.Organization
	return nil
}

func (v *verifier) key(k Key) error {
	if v.given {
		// A key that is not known may be a newer one. It is not used.
		if trusted, ok := v.keys[k.ID]; ok && string(trusted.PublicKey) != string(k.PublicKey) {
			return v.r.broken("The key %q is not the one that you gave under this id.", k.ID)
		}
		return nil
	}
	if err := v.keys.add(k); err != nil {
		return v.r.broken("In the export %v.", err)
	}
	return nil
}

func (v *verifier) entry(e *Entry) error {
	switch {
	case e.Sequence <= v.last:
		return v.r.broken("Entry %d comes behind entry %d: it is there twice, or was moved.", e.Sequence, v.last)
	case e.Sequence != v.last+1 && v.last == 0:
		return v.r.broken("The log begins with entry %d, and no checkpoint says that what was before was removed by age: %s missing.", e.Sequence, entries(1, e.Sequence-1))
	case e.Sequence != v.last+1:
		return v.r.broken("Entry %d follows entry %d: %s missing.", e.Sequence, v.last, entries(v.last+1, e.Sequence-1))
	case e.Hash != e.HashAfter(v.hash, v.report.Organization):
		return v.r.broken("The hash of entry %d is not the one of what it says and of what is before it: %s changed.", e.Sequence, v.suspects(e.Sequence))
	}
	if v.report.Entries == 0 {
		v.report.First, v.report.FirstAt = e.Sequence, e.CreatedAt
	}
	v.last, v.hash = e.Sequence, e.Hash
	v.report.Entries++
	v.report.Last, v.report.LastAt = e.Sequence, e.CreatedAt
	return v.holds(e.Sequence, e.Hash)
}

// suspects names the entries of which one must be at fault when the hash of the
// last of them is wrong: what was signed before is good.
func (v *verifier) suspects(last int64) string {
	if v.signed+1 == last {
		return fmt.Sprintf("entry %d was", last)
	}
	return fmt.Sprintf("one of the entries %d to %d was", v.signed+1, last)
}

func (v *verifier) checkpoint(c *Checkpoint) error {
	begins := c.Floor && v.last == 0 && c.Sequence > 0
	switch {
	case c.Floor && !begins:
		return v.r.broken("The checkpoint of entry %d says that the log begins behind it, but entry %d comes before it.", c.Sequence, v.last)
	case c.Sequence > v.last && !begins:
		return v.r.broken("A checkpoint is about entry %d, and the entry before it is %d: %s missing.", c.Sequence, v.last, entries(v.last+1, c.Sequence))
	case c.Sequence < v.last:
		return v.r.broken("The checkpoint of entry %d comes behind entry %d: it was moved.", c.Sequence, v.last)
	case c.Sequence == v.signed:
		return v.r.broken("There are two checkpoints of entry %d.", c.Sequence)
	case !begins && c.Hash != v.hash:
		return v.r.broken("The checkpoint of entry %d has another hash than the entry: one of them was changed.", c.Sequence)
	}
	k, ok := v.keys[c.KeyID]
	switch {
	case !ok && v.given:
		return v.r.broken("The checkpoint of entry %d is signed with the key %q, which is not among the keys that you gave. If the control plane has a new key since you saved them, save them again.", c.Sequence, c.KeyID)
	case !ok:
		return v.r.broken("The checkpoint of entry %d is signed with the key %q, which is not in the export.", c.Sequence, c.KeyID)
	case !c.Verify(v.report.Organization, k):
		return v.r.broken("The signature of the checkpoint of entry %d is wrong: the checkpoint, the key %q or the organization was changed.", c.Sequence, c.KeyID)
	}
	v.signed, v.used[c.KeyID] = c.Sequence, true
	v.report.Checkpoints++
	v.report.SignedAt = c.SignedAt
	if begins {
		v.last, v.hash, v.report.Floor = c.Sequence, c.Hash, c.Sequence
		return v.holds(c.Sequence, c.Hash)
	}
	return nil
}

func (v *verifier) end(e *end) error {
	switch {
	case v.signed < v.last:
		return v.r.broken("The log ends with entry %d and its last checkpoint is about entry %d: a checkpoint was removed, or entries added.", v.last, v.signed)
	case e.Lines != int64(v.r.number-1) || e.SHA256 != Hash(v.sum.Sum(nil)):
		return v.r.broken("The end of the export does not fit what is before it: lines were removed, added or changed.")
	}
	v.ended = true
	return nil
}

// holds compares an entry with what it was earlier.
func (v *verifier) holds(sequence int64, h Hash) error {
	earlier, ok := v.earlier[sequence]
	if !ok {
		return nil
	}
	if earlier != h {
		return v.r.broken("Entry %d is not what it was when the earlier checkpoint was signed: history was rewritten, in this entry or before it.", sequence)
	}
	v.report.Compared++
	return nil
}

// compared checks that the export reaches to the earlier checkpoints.
func (v *verifier) compared(earlier *Saved) error {
	if earlier == nil {
		return nil
	}
	if earlier.Organization != "" && earlier.Organization != v.report.Organization {
		return v.r.broken("The export is of organization %q, and the earlier checkpoint of %q.", v.report.Organization, earlier.Organization)
	}
	var newest int64
	for sequence := range v.earlier {
		newest = max(newest, sequence)
	}
	switch {
	case newest == 0:
		return errors.New("the earlier file has no checkpoint to compare with")
	case newest > v.last:
		return v.r.broken("The log ends with entry %d, and an earlier checkpoint is about entry %d: %s missing.", v.last, newest, entries(v.last+1, newest))
	case v.report.Compared == 0:
		return v.r.broken("The log begins with entry %d, and the newest earlier checkpoint is about entry %d, which is not in it: the two cannot be compared.", v.report.Floor+1, newest)
	}
	return nil
}

// entries names entries with the verb that fits their number: "entry 3 is",
// "entries 3 to 5 are".
func entries(from, to int64) string {
	if from == to {
		return fmt.Sprintf("entry %d is", from)
	}
	return fmt.Sprintf("entries %d to %d are", from, to)
}
