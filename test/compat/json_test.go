package compat

import (
	"encoding/json"
	"strings"
	"testing"
)

// onlySet takes out of a JSON object the scalars that have their default value:
// clients take them as absent. Objects, and numbers with presence, stay.
func onlySet(t *testing.T, text string) string {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	dropDefaults(v)
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func dropDefaults(object map[string]any) {
	for key, v := range object {
		switch v := v.(type) {
		case map[string]any:
			dropDefaults(v)
		case string:
			if v == "" || strings.HasSuffix(v, "_UNSPECIFIED") {
				delete(object, key)
			}
		case bool:
			if !v {
				delete(object, key)
			}
		}
	}
}
