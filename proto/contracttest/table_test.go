package contracttest

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
)

// entries maps what is promised ("field Runner.name") to the promise
// ("4 string").
type entries map[string]string

// add refuses a second promise about the same thing: it would hide the first.
func (e entries) add(key string, facts ...string) error {
	if _, ok := e[key]; ok {
		return fmt.Errorf("%s stands twice", key)
	}
	e[key] = strings.Join(facts, " ")
	return nil
}

func (e entries) addAll(more entries) error {
	for key, facts := range more {
		if err := e.add(key, facts); err != nil {
			return err
		}
	}
	return nil
}

// member says what an indented line is, by the kind of the heading above it.
var member = map[string]string{"service": "rpc", "message": "field", "enum": "value"}

// parse reads a table. Its head explains the form.
func parse(r io.Reader) (entries, error) {
	table := entries{}
	var kind, name string
	lines := bufio.NewScanner(r)
	for number := 1; lines.Scan(); number++ {
		line := lines.Text()
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		var key string
		if indented := line[0] == ' '; indented {
			if kind == "" {
				return nil, fmt.Errorf("line %d: no heading above it", number)
			}
			key = member[kind] + " " + name + "." + words[0]
			words = words[1:]
		} else {
			if len(words) < 2 || member[words[0]] == "" {
				return nil, fmt.Errorf("line %d: %q is neither service, message nor enum", number, line)
			}
			kind, name = words[0], words[1]
			key = kind + " " + name
			words = words[2:]
		}
		if err := table.add(key, words...); err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
	}
	return table, lines.Err()
}

// compare says what got lacks, has too much, or has otherwise than want.
func compare(want, got entries) []string {
	var differences []string
	for key, facts := range want {
		switch found, ok := got[key]; {
		case !ok:
			differences = append(differences, fmt.Sprintf("%s: missing; the table promises %q", key, facts))
		case found != facts:
			differences = append(differences, fmt.Sprintf("%s: is %q; the table promises %q", key, found, facts))
		}
	}
	for key, facts := range got {
		if _, ok := want[key]; !ok {
			differences = append(differences, fmt.Sprintf("%s: is %q; the table does not know it", key, facts))
		}
	}
	slices.Sort(differences)
	return differences
}
