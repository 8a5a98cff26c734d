package manifest

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// These say which fields of a thing differ, and refuse what cannot be changed.

func accountChanges(have, want ServiceAccount) ([]string, error) {
	if have.ValidUntil != want.ValidUntil {
		return nil, fmt.Errorf("validUntil is %s and cannot be changed; delete the account, or make another one", have.ValidUntil)
	}
	return field(nil, "description", have.Description, want.Description), nil
}

func groupChanges(have, want Group) ([]string, error) {
	return field(nil, "description", have.Description, want.Description), nil
}

func (p *planner) runnerChanges(have, want Runner) ([]string, error) {
	if have.Provider != want.Provider {
		return nil, fmt.Errorf("provider is %s and cannot be changed; delete the runner, or make another one", have.Provider)
	}
	if fmt.Sprint(have.Configuration["region"]) != fmt.Sprint(want.Configuration["region"]) {
		return nil, errors.New("configuration.region cannot be changed; delete the runner, or make another one")
	}
	changes := configurationChanges(nil, "configuration.", have.Configuration, want.Configuration)
	if p.Secrets && want.MetricsPassword != nil {
		changes = append(changes, "metricsPassword")
	}
	if p.Secrets && want.HoneycombAPIKey != nil {
		changes = append(changes, "honeycombApiKey")
	}
	return changes, nil
}

// configurationChanges compares two documents; what is absent is the same as
// what is empty.
func configurationChanges(changes []string, path string, have, want map[string]any) []string {
	keys := slices.Sorted(maps.Keys(have))
	for k := range want {
		if !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for _, k := range keys {
		h, hIsMap := have[k].(map[string]any)
		w, wIsMap := want[k].(map[string]any)
		if hIsMap || wIsMap {
			changes = configurationChanges(changes, path+k+".", h, w)
			continue
		}
		if !empty(have[k]) || !empty(want[k]) {
			changes = field(changes, path+k, orEmpty(have[k]), orEmpty(want[k]))
		}
	}
	return changes
}

// empty tells whether a value is what the wire leaves out. An hour of 0 is not:
// hours are only there when they are set.
func empty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case bool:
		return !v
	case string:
		return v == ""
	default:
		return false
	}
}

func orEmpty(v any) any {
	if empty(v) {
		return ""
	}
	return v
}

// classes are compared by name. One with another configuration is replaced.
func (p *planner) classes(runner string, have, want []Class) {
	// Of the classes of one name those that are disabled are the past, unless
	// nothing else is there.
	var present []Class
	for _, c := range have {
		another := slices.ContainsFunc(have, func(o Class) bool { return o.ID != c.ID && o.Name == c.Name && !o.Disabled })
		if c.Disabled && another {
			continue
		}
		present = append(present, c)
	}
	var kept []Class
	for _, c := range present {
		w := find(want, func(w Class) bool { return w.Name == c.Name })
		if w.Name == "" || maps.Equal(w.Configuration, c.Configuration) {
			kept = append(kept, c)
			continue
		}
		if !c.Disabled {
			off := c
			off.Disabled = true
			p.steps = append(p.steps, Step{
				Verb: Update, Kind: "class", Name: name(runner, c.Name), Parent: runner, Have: c, Want: off,
				Changes: []string{"disabled: one with the new configuration takes its place"},
			})
		}
	}
	// A class cannot be deleted: what is not wanted is disabled.
	gone := slices.DeleteFunc(slices.Clone(kept), func(c Class) bool {
		return c.Disabled || slices.ContainsFunc(want, func(w Class) bool { return w.Name == c.Name })
	})
	kept = slices.DeleteFunc(kept, func(c Class) bool {
		return !slices.ContainsFunc(want, func(w Class) bool { return w.Name == c.Name })
	})
	compare(p, "class", runner, kept, want, func(c Class) string { return c.Name }, func(have, want Class) ([]string, error) {
		return field(field(nil, "description", have.Description, want.Description), "disabled", have.Disabled, want.Disabled), nil
	})
	for _, c := range gone {
		if !p.Prune {
			p.kept = append(p.kept, fmt.Sprintf("class %q", name(runner, c.Name)))
			continue
		}
		off := c
		off.Disabled = true
		p.deletions = append(p.deletions, Step{Verb: Update, Kind: "class", Name: name(runner, c.Name), Parent: runner, Have: c, Want: off, Changes: []string{"disabled: classes cannot be deleted"}})
	}
}

// integrations are compared by host. One of another kind is replaced.
func (p *planner) integrations(runner string, have, want []SCM) {
	key := func(i SCM) string { return strings.ToLower(i.Host) }
	var kept []SCM
	for _, i := range have {
		w := find(want, func(w SCM) bool { return key(w) == key(i) })
		if w.Host != "" && (w.Kind != i.Kind || w.Host != i.Host) {
			p.steps = append(p.steps, Step{Verb: Delete, Kind: "scm", Name: name(runner, i.Host), Parent: runner, Have: i})
			continue
		}
		kept = append(kept, i)
	}
	compare(p, "scm", runner, kept, want, key, p.scmChanges)
}

func (p *planner) scmChanges(have, want SCM) ([]string, error) {
	h, w := cmp.Or(have.OAuth, &OAuth{}), cmp.Or(want.OAuth, &OAuth{})
	changes := field(nil, "pat", have.PAT, want.PAT)
	changes = field(changes, "oauth.clientId", h.ClientID, w.ClientID)
	changes = field(changes, "oauth.issuerUrl", h.IssuerURL, w.IssuerURL)
	changes = field(changes, "virtualDirectory", have.VirtualDirectory, want.VirtualDirectory)
	if w.ClientSecret != nil && (p.Secrets || have.OAuth == nil) {
		changes = append(changes, "oauth.clientSecret")
	}
	return changes, nil
}

func (l LLM) key() string {
	models := slices.Sorted(slices.Values(l.Models))
	return strings.Trim(l.Endpoint+" "+strings.Join(slices.Compact(models), ","), " ")
}

func (p *planner) llmChanges(have, want LLM) ([]string, error) {
	changes := field(nil, "maxTokens", have.MaxTokens, want.MaxTokens)
	changes = field(changes, "disabled", have.Disabled, want.Disabled)
	if !reflect.DeepEqual(have.Models, want.Models) {
		changes = append(changes, "the order of models")
	}
	if p.Secrets && want.APIKey != nil {
		changes = append(changes, "apiKey")
	}
	return changes, nil
}
