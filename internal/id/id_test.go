package id

import (
	"sort"
	"strings"
	"testing"
	"time"
)

func TestNewSortsByTimeAndIsUnique(t *testing.T) {
	start := time.Now()
	var ids []string
	for i := range 1000 {
		ids = append(ids, at(start.Add(time.Duration(i)*time.Millisecond)))
	}
	if !sort.StringsAreSorted(ids) {
		t.Error("ids of later times do not sort later")
	}
	seen := map[string]bool{}
	for range 10_000 {
		s := at(start)
		if seen[s] {
			t.Fatalf("%s was made twice", s)
		}
		seen[s] = true
		if !Valid(s) || s[14] != '7' || !strings.ContainsRune("89ab", rune(s[19])) {
			t.Fatalf("%s is no UUIDv7", s)
		}
	}
}

func TestValidAndCanonical(t *testing.T) {
	const good = "0192f3c4-5b6a-7c8d-9e0f-a1b2c3d4e5f6"
	for s, want := range map[string]bool{
		good:                              true,
		strings.ToUpper(good):             true,
		"":                                false,
		"{" + good + "}":                  false,
		strings.ReplaceAll(good, "-", ""): false,
		good[:35]:                         false,
		good[:35] + "g":                   false,
		good[:8] + "0" + good[9:]:         false,
		good + "\x00":                     false,
	} {
		if Valid(s) != want {
			t.Errorf("Valid(%q) = %v", s, !want)
		}
	}
	if Canonical(strings.ToUpper(good)) != good || Canonical(good) != good {
		t.Error("Canonical does not lower-case")
	}
}
