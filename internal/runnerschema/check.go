package runnerschema

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Limits of settings, in bytes and in settings.
const (
	maxKey    = 255
	maxValue  = 4096
	maxValues = 100
)

// Value is one setting as somebody sets it.
type Value struct {
	Key   string
	Value string
}

// Error says what is wrong with one setting.
type Error struct {
	Key string
	// Problem is a phrase that follows the key, such as "is required".
	Problem string
}

// String is the error as a sentence without its end.
func (e Error) String() string {
	return strconv.Quote(e.Key[:min(len(e.Key), maxKey)]) + " " + e.Problem
}

// Check returns what is wrong with values, each key once: those that were given
// in their order, then those that are missing in the order of the fields.
// Without fields anything goes, but a key must be there and must be there once.
func Check(fields []Field, values []Value) []Error {
	var found []Error
	times := make(map[string]int, len(values))
	for _, v := range values {
		times[v.Key]++
	}
	told := make(map[string]bool)
	tell := func(key, problem string) {
		if problem != "" && !told[key] {
			told[key] = true
			found = append(found, Error{Key: key, Problem: problem})
		}
	}
	for i, v := range values {
		if i == maxValues {
			tell(v.Key, fmt.Sprintf("is one too many: there may be %d settings", maxValues))
			break
		}
		tell(v.Key, problem(fields, v, times[v.Key]))
	}
	for _, f := range fields {
		if f.Required && f.settable() && times[f.ID] == 0 {
			tell(f.ID, "is required")
		}
	}
	return found
}

// settable tells whether a field takes a value that everybody may see.
func (f Field) settable() bool {
	_, display := f.Type.(Display)
	return !display && !f.Secret
}

func problem(fields []Field, v Value, times int) string {
	switch {
	case v.Key == "":
		return "is no key: a setting needs one"
	case len(v.Key) > maxKey:
		return fmt.Sprintf("is a key of more than %d bytes", maxKey)
	case len(v.Value) > maxValue:
		return fmt.Sprintf("has a value of more than %d bytes", maxValue)
	case times > 1:
		return fmt.Sprintf("is set %d times; set it once", times)
	case len(fields) == 0:
		return ""
	}
	i := slices.IndexFunc(fields, func(f Field) bool { return f.ID == v.Key })
	if i < 0 {
		return "is not a setting of this runner; it has " + keys(fields)
	}
	switch f := fields[i]; {
	case f.Secret:
		return "takes a secret, which cannot be kept here: everybody who may use the class can read its settings"
	case f.Required && v.Value == "" && f.settable():
		return "is required and must not be empty"
	case f.Type == nil:
		return ""
	default:
		return f.Type.check(v.Value)
	}
}

// keys lists what can be set.
func keys(fields []Field) string {
	var names []string
	for _, f := range fields {
		if f.settable() && !slices.Contains(names, f.ID) {
			names = append(names, f.ID)
		}
	}
	if len(names) == 0 {
		return "none that can be set"
	}
	return list(names)
}

// list names a few things and counts the others.
func list(names []string) string {
	const shown = 12
	if more := len(names) - shown; more > 1 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:shown], ", "), more)
	}
	return strings.Join(names, ", ")
}

func (t String) check(value string) string {
	if t.Pattern == "" {
		return ""
	}
	re, err := regexp.Compile(t.Pattern)
	if err != nil {
		return "cannot be checked: the runner's schema has a pattern for it that is no regular expression (RE2). That is a fault of the runner: update it"
	}
	// A match of the whole, if there is one, is the longest of the leftmost.
	re.Longest()
	if at := re.FindStringIndex(value); at == nil || at[0] != 0 || at[1] != len(value) {
		return fmt.Sprintf("must match %s as a whole", t.Pattern)
	}
	return ""
}

func (Bool) check(value string) string {
	if value != "true" && value != "false" {
		return `must be "true" or "false"`
	}
	return ""
}

func (t Int) check(value string) string {
	n, err := strconv.ParseInt(value, 10, 32)
	// Only the usual form, so that one number is one text: no "+4", no "007".
	if err != nil || strconv.FormatInt(n, 10) != value {
		return "must be a whole number" + t.bounds() + ", in digits"
	}
	bounds := t.bounds()
	if bounds != "" && (n < int64(t.Min) || t.Max >= t.Min && n > int64(t.Max)) {
		return "must be a number" + bounds
	}
	return ""
}

func (t Int) bounds() string {
	switch {
	case t.Min == 0 && t.Max == 0:
		return ""
	case t.Max < t.Min:
		return fmt.Sprintf(" from %d", t.Min)
	default:
		return fmt.Sprintf(" from %d to %d", t.Min, t.Max)
	}
}

func (t Enum) check(value string) string {
	if slices.Contains(t.Values, value) {
		return ""
	}
	if len(t.Values) == 0 {
		return "cannot be set: the runner's schema has no values to choose from. That is a fault of the runner: update it"
	}
	return "must be one of " + list(t.Values)
}

func (Display) check(string) string { return "is for display only and cannot be set" }
