package chain

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const org = "01980000-0000-7000-8000-0000000000ff"

var (
	private = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))
	another = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, 32))
	key     = Key{ID: "key 1", PublicKey: Hex(private.Public().(ed25519.PublicKey))}
	newKey  = Key{ID: "key 2", PublicKey: Hex(another.Public().(ed25519.PublicKey))}
)

func sign(sequence int64, h Hash, k ed25519.PrivateKey, id string) *Checkpoint {
	c := &Checkpoint{Sequence: sequence, Hash: h, SignedAt: 1767268800000000 + sequence, KeyID: id}
	c.Signature = ed25519.Sign(k, c.Message(org))
	return c
}

// log makes the lines of an export, without the end: entries from 1 to n, those
// up to floor removed by age, and checkpoints at the given places and at the
// last entry.
func log(n, floor int, signed ...int) []line {
	entries := make([]Entry, n)
	for i := range entries {
		entries[i] = Entry{
			ID: fmt.Sprintf("entry %d", i+1), ActorPrincipal: 2, ActorID: fmt.Sprintf("actor %d", i%3), SubjectType: 2,
			SubjectID: fmt.Sprintf("subject %d", i%4), Action: "runner.create", Kind: 3, RequestID: fmt.Sprintf("request <%d>", i),
			CreatedAt: int64(1767268800000000 + i),
		}
	}
	Place(entries, 0, Origin, org)
	lines := []line{{Header: &header{Format: format, Version: version, Organization: org}}, {Key: &key}, {Key: &newKey}}
	if floor > 0 {
		c := Checkpoint{Sequence: int64(floor), Hash: entries[floor-1].Hash, Floor: true, SignedAt: 1767268800000000, KeyID: key.ID}
		c.Signature = ed25519.Sign(private, c.Message(org))
		lines = append(lines, line{Checkpoint: &c})
	}
	for i, e := range entries[floor:] {
		lines = append(lines, line{Entry: &e})
		switch at := floor + i + 1; {
		case at == n:
			lines = append(lines, line{Checkpoint: sign(e.Sequence, e.Hash, another, newKey.ID)})
		case slices.Contains(signed, at):
			lines = append(lines, line{Checkpoint: sign(e.Sequence, e.Hash, private, key.ID)})
		}
	}
	return lines
}

// text writes lines and the end that fits them.
func text(t rapid.TB, lines []line) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := NewWriter(&b, org)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lines[1:] {
		if err := w.write(&l); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func verify(content []byte, o Options) (Report, error) { return Verify(bytes.NewReader(content), o) }

func TestAnExportIsIntact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 30).Draw(t, "entries")
		floor := rapid.IntRange(0, n).Draw(t, "floor")
		signed := rapid.SliceOf(rapid.IntRange(1, n)).Draw(t, "signed")
		r, err := verify(text(t, log(n, floor, signed...)), Options{Keys: []Key{key, newKey}})
		if err != nil {
			t.Fatal(err)
		}
		if r.Entries != int64(n-floor) || r.Floor != int64(floor) || r.Entries > 0 && (r.First != int64(floor+1) || r.Last != int64(n)) {
			t.Fatalf("%d entries above %d: %+v", n, floor, r)
		}
	})
}

func TestNothingIsIntact(t *testing.T) {
	if r, err := verify(text(t, log(0, 0)), Options{}); err != nil || r.Entries != 0 || r.Organization != org {
		t.Errorf("an empty log: %+v, %v", r, err)
	}
}

// Whatever is done to the file in one place is found.
func TestEveryEditOfTheFileIsFound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 8).Draw(t, "entries")
		content := text(t, log(n, rapid.IntRange(0, n-1).Draw(t, "floor"), rapid.SliceOf(rapid.IntRange(1, n)).Draw(t, "signed")...))
		lines := bytes.SplitAfter(content, []byte("\n"))
		lines = lines[:len(lines)-1]
		at := func(name string) int { return rapid.IntRange(0, len(lines)-1).Draw(t, name) }
		var edited []byte
		switch rapid.SampledFrom([]string{"change", "add", "drop", "remove", "repeat", "swap", "cut"}).Draw(t, "edit") {
		case "change":
			edited = bytes.Clone(content)
			edited[rapid.IntRange(0, len(content)-1).Draw(t, "byte")] ^= rapid.ByteRange(1, 255).Draw(t, "flip")
		case "add":
			edited = slices.Insert(bytes.Clone(content), rapid.IntRange(0, len(content)).Draw(t, "byte"), rapid.Byte().Draw(t, "added"))
		case "drop":
			i := rapid.IntRange(0, len(content)-1).Draw(t, "byte")
			edited = slices.Delete(bytes.Clone(content), i, i+1)
		case "remove":
			i := at("line")
			edited = bytes.Join(slices.Delete(slices.Clone(lines), i, i+1), nil)
		case "repeat":
			edited = bytes.Join(slices.Insert(slices.Clone(lines), at("to"), lines[at("line")]), nil)
		case "swap":
			i, j := at("one"), at("other")
			swapped := slices.Clone(lines)
			swapped[i], swapped[j] = lines[j], lines[i]
			edited = bytes.Join(swapped, nil)
		case "cut":
			edited = content[:rapid.IntRange(0, len(content)-1).Draw(t, "length")]
		}
		if bytes.Equal(edited, content) {
			t.Skip("nothing changed")
		}
		var broken *Broken
		if _, err := verify(edited, Options{}); !errors.As(err, &broken) {
			t.Fatalf("not found (%v) in\n%s", err, edited)
		}
	})
}

// Somebody who knows the format writes new hashes and a new end. Without the
// private key that is found as well.
func TestEveryForgeryIsFound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 12).Draw(t, "entries")
		floor := rapid.IntRange(0, n-2).Draw(t, "floor")
		lines := log(n, floor, rapid.SliceOf(rapid.IntRange(1, n)).Draw(t, "signed")...)
		before := text(t, lines)
		var places []int // of the entries
		for i, l := range lines {
			if l.Entry != nil {
				e := *l.Entry
				lines[i].Entry = &e
				places = append(places, i)
			}
		}
		one, other := rapid.SampledFrom(places).Draw(t, "one"), rapid.SampledFrom(places).Draw(t, "other")
		switch rapid.SampledFrom([]string{"change", "remove", "insert", "swap", "redate"}).Draw(t, "forgery") {
		case "change":
			e := lines[one].Entry
			text := rapid.SampledFrom([]*string{&e.ID, &e.ActorID, &e.SubjectID, &e.Action, &e.RequestID}).Draw(t, "field")
			*text += "x"
		case "redate":
			e := lines[one].Entry
			e.CreatedAt++
			number := rapid.SampledFrom([]*int32{&e.ActorPrincipal, &e.SubjectType, &e.Kind}).Draw(t, "field")
			*number++
		case "remove":
			lines = slices.Delete(lines, one, one+1)
		case "insert":
			e := *lines[other].Entry
			lines = slices.Insert(lines, one, line{Entry: &e})
		case "swap":
			lines[one], lines[other] = lines[other], lines[one]
		}
		hashes := map[int64]Hash{}
		if rapid.Bool().Draw(t, "chained anew") {
			previous, sequence := Origin, int64(floor)
			for _, l := range lines {
				switch {
				case l.Checkpoint != nil && sequence == int64(floor) && floor > 0 && previous == Origin:
					previous = l.Checkpoint.Hash
				case l.Entry != nil:
					sequence++
					l.Entry.Sequence = sequence
					l.Entry.Hash = l.Entry.HashAfter(previous, org)
					previous = l.Entry.Hash
					hashes[sequence] = previous
				}
			}
			if rapid.Bool().Draw(t, "checkpoints too") {
				for i, l := range lines {
					if h, ok := hashes[sequence0(l)]; ok {
						c := *l.Checkpoint
						c.Hash = h
						lines[i].Checkpoint = &c
					}
				}
			}
		}
		forged := text(t, lines)
		if bytes.Equal(before, forged) {
			t.Skip("nothing changed")
		}
		if r, err := verify(forged, Options{Keys: []Key{key, newKey}}); err == nil {
			t.Fatalf("not found: %+v\n%s\n%s", r, before, forged)
		}
	})
}

// sequence0 is the sequence number of a checkpoint; 0 for other lines.
func sequence0(l line) int64 {
	if l.Checkpoint == nil {
		return 0
	}
	return l.Checkpoint.Sequence
}

func TestTheFirstBrokenPlaceIsNamed(t *testing.T) {
	forged := sign(4, Hash{4}, private, key.ID)
	for name, c := range map[string]struct {
		lines func() []line
		o     Options
		says  string
	}{
		"a gap":        {func() []line { return without(log(6, 0), 6) }, Options{}, "line 7: Entry 5 follows entry 3: entry 4 is missing."},
		"a longer gap": {func() []line { return without(without(log(6, 0), 6), 6) }, Options{}, "entries 4 to 5 are missing"},
		"a beginning that was cut off": {func() []line {
			return slices.Delete(log(6, 0, 2), 3, 5)
		}, Options{}, "the entry before it is 0: entries 1 to 2 are missing"},
		"a floor in between":           {func() []line { return append(log(6, 0), log(6, 6)[3]) }, Options{}, "says that the log begins behind it"},
		"no beginning":                 {func() []line { return without(log(6, 0), 3) }, Options{}, "begins with entry 2"},
		"a beginning that was removed": {func() []line { return without(log(6, 2), 3) }, Options{}, "no checkpoint says"},
		"no end": {func() []line {
			l := log(6, 0, 4)
			return slices.Delete(l, 8, 10)
		}, Options{}, "about entry 6, and the entry before it is 4: entries 5 to 6 are missing"},
		"no last checkpoint": {func() []line { l := log(6, 0, 4); return l[:len(l)-1] }, Options{}, "The log ends with entry 6 and its last checkpoint is about entry 4"},
		"a moved checkpoint": {func() []line {
			l := log(6, 0, 4)
			l[7], l[8] = l[8], l[7]
			return l
		}, Options{}, "comes behind entry 5"},
		"a changed entry": {func() []line {
			l := log(6, 0, 2)
			e := *l[7].Entry
			e.Action = "runner.delete"
			l[7].Entry = &e
			return l
		}, Options{}, "one of the entries 3 to 4 was changed"},
		"two checkpoints": {func() []line { l := log(4, 0); return append(l, l[len(l)-1]) }, Options{}, "two checkpoints of entry 4"},
		"another hash": {func() []line {
			return append(log(4, 0)[:7], line{Checkpoint: forged})
		}, Options{}, "another hash"},
		"an unknown key":         {func() []line { return without(log(4, 0), 2) }, Options{}, `"key 2", which is not in the export`},
		"a key too new":          {func() []line { return log(4, 0) }, Options{Keys: []Key{key}}, "save them again"},
		"a key that was changed": {func() []line { return log(4, 0) }, Options{Keys: []Key{key, {ID: newKey.ID, PublicKey: key.PublicKey}}}, "not the one that you gave"},
		"two keys with one id": {func() []line {
			return slices.Insert(log(4, 0), 2, line{Key: &Key{ID: key.ID, PublicKey: newKey.PublicKey}})
		}, Options{}, "two different keys"},
		"a short key": {func() []line { return slices.Insert(log(4, 0), 2, line{Key: &Key{ID: "x", PublicKey: Hex{1}}}) }, Options{}, "1 bytes"},
		"two headers": {func() []line { return slices.Insert(log(4, 0), 1, log(0, 0)[0]) }, Options{}, "begin with its header"},
	} {
		_, err := verify(text(t, c.lines()), c.o)
		var broken *Broken
		if !errors.As(err, &broken) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
}

// without removes a line.
func without(lines []line, i int) []line { return slices.Delete(lines, i, i+1) }

func TestFilesThatAreNone(t *testing.T) {
	whole := string(text(t, log(3, 0)))
	for name, c := range map[string]struct{ content, says string }{
		"nothing":         {"", "line 1: The end of the export is missing"},
		"text":            {"hello\n", "not one of an export"},
		"a cut line":      {whole[:len(whole)-1], "ends within a line"},
		"no end":          {whole[:strings.LastIndex(whole, `{"end"`)], "The end of the export is missing"},
		"more":            {whole + whole, "behind the end"},
		"an empty object": {"{}\n", "edited"},
		"two things":      {`{"header":{"format":"muster-audit-log","version":1,"organization_id":"x"},"end":{"lines":0,"sha256":"` + strings.Repeat("0", 64) + "\"}}\n", "edited"},
		"a newer version": {strings.Replace(whole, `"version":1`, `"version":2`, 1), "version 2; this program reads"},
		"carriage return": {strings.ReplaceAll(whole, "\n", "\r\n"), "edited"},
		"a long line":     {strings.Repeat("x", maxLine+1), "longer than"},
	} {
		if _, err := verify([]byte(c.content), Options{}); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
}

func TestAnEarlierState(t *testing.T) {
	load := func(lines []line) *Saved {
		s, err := Load(bytes.NewReader(text(t, lines)))
		if err != nil {
			t.Fatal(err)
		}
		return &s
	}
	now := text(t, log(10, 3, 5))
	for name, c := range map[string]struct {
		earlier *Saved
		says    string
	}{
		"of the same log":     {load(log(5, 0, 4)), ""},
		"at the floor":        {load(log(3, 0)), ""},
		"of before the floor": {load(log(2, 0)), "cannot be compared"},
		"of a longer log":     {load(log(11, 0)), "entry 11 is missing"},
		"of another history":  {load(append(log(4, 0)[:7], line{Checkpoint: sign(5, Hash{1}, private, key.ID)})), "history was rewritten"},
		"of nothing":          {load(log(0, 0)), "no checkpoint"},
		"of somebody else":    {&Saved{Organization: "x", Checkpoints: load(log(5, 0)).Checkpoints}, "of organization"},
		"that contradicts":    {&Saved{Checkpoints: []Checkpoint{{Sequence: 1}, {Sequence: 1, Hash: Hash{1}}}}, "contradict"},
	} {
		r, err := verify(now, Options{Earlier: c.earlier})
		if c.says == "" && (err != nil || r.Compared == 0) || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %+v, %v, want %q", name, r, err, c.says)
		}
	}
}

func TestLoadTakesAnyLines(t *testing.T) {
	l := line{Checkpoint: sign(4, Hash{4}, private, key.ID)}
	b, err := l.bytes()
	if err != nil {
		t.Fatal(err)
	}
	if s, err := Load(bytes.NewReader(b)); err != nil || len(s.Checkpoints) != 1 || s.Organization != "" {
		t.Errorf("a checkpoint alone: %+v, %v", s, err)
	}
	if s, err := Load(bytes.NewReader(text(t, log(4, 0)))); err != nil || len(s.Keys) != 2 || s.Organization != org {
		t.Errorf("an export: %+v, %v", s, err)
	}
	if _, err := Load(strings.NewReader("x\n")); err == nil {
		t.Error("text was loaded")
	}
}
