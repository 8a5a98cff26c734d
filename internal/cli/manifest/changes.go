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
	if want.Provider == "" {
		return nil, errors.New("provider is missing; linux-host is a runner on a Linux host")
	}
	if have.Variant != want.Variant {
		return nil, fmt.Errorf("variant is %s and cannot be changed; delete the runner, or make another one", shown(have.Variant))
	}
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

// classes are compared by name. The configuration of one cannot be changed, so
// that another one takes its place: a disabled one that has the configuration
// already, or a new one. have has all classes of the runner, disabled ones too.
func (p *planner) classes(runner string, have, want []Class) {
	if _, err := byKey(want, Class.key); err != nil {
		p.fail("the file: %s %w", label("class", runner), err)
		return
	}
	used := map[string]bool{}
	for _, w := range want {
		enabled := slices.DeleteFunc(slices.Clone(have), func(c Class) bool { return c.Disabled || !sameClass(c, w) })
		if len(enabled) > 1 {
			p.fail("class %q: several have this name; give the id of the one that is meant, as \"muster export\" writes it", name(runner, w.Name))
			return
		}
		current := find(enabled, func(Class) bool { return true })
		exact := find(have, func(c Class) bool {
			return sameClass(c, w) && maps.Equal(c.Configuration, w.Configuration) && !c.Disabled
		})
		for _, c := range have { // else the newest of the disabled ones
			if exact.ID == "" || exact.Disabled {
				if c.Disabled && sameClass(c, w) && maps.Equal(c.Configuration, w.Configuration) {
					exact = c
				}
			}
		}
		used[current.ID], used[exact.ID] = true, true
		if current.ID != "" && current.ID != exact.ID {
			off := current
			off.Disabled = true
			p.steps = append(p.steps, p.classStep(runner, current, off, "disabled: one with the new configuration takes its place"))
		}
		if exact.ID == "" {
			p.steps = append(p.steps, Step{Verb: Create, Kind: "class", Name: name(runner, w.Name), Parent: runner, Want: w})
			continue
		}
		if changes := field(field(nil, "description", exact.Description, w.Description), "disabled", exact.Disabled, w.Disabled); len(changes) > 0 {
			p.steps = append(p.steps, p.classStep(runner, exact, w, changes...))
		}
	}
	for _, c := range have {
		switch {
		case c.Disabled || used[c.ID]:
		case !p.Prune:
			p.kept = append(p.kept, fmt.Sprintf("class %q", name(runner, c.Name)))
		default:
			off := c
			off.Disabled = true
			p.deletions = append(p.deletions, p.classStep(runner, c, off, "disabled: classes cannot be deleted"))
		}
	}
}

func sameClass(have, want Class) bool {
	return have.Name == want.Name && (want.Ref == "" || want.Ref == have.ID)
}

func (p *planner) classStep(runner string, have, want Class, changes ...string) Step {
	return Step{Verb: Update, Kind: "class", Name: name(runner, want.Name), Parent: runner, Have: have, Want: want, Changes: changes}
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

// headerNames are the headers as far as they can be compared.
func headerNames(l LLM) string {
	var all []string
	for _, h := range l.Headers {
		all = append(all, strings.TrimSuffix(h.Name+"="+h.Expression, "="))
	}
	return strings.Join(all, ", ")
}

func (l LLM) key() string {
	if l.Ref != "" {
		return l.Ref
	}
	models := slices.Sorted(slices.Values(l.Models))
	return strings.Trim(l.Endpoint+" "+strings.Join(slices.Compact(models), ","), " ")
}

func (p *planner) llmChanges(have, want LLM) ([]string, error) {
	changes := field(nil, "maxTokens", have.MaxTokens, want.MaxTokens)
	changes = field(changes, "disabled", have.Disabled, want.Disabled)
	changes = field(changes, "headers", headerNames(have), headerNames(want))
	if p.Secrets && slices.ContainsFunc(want.Headers, func(h Header) bool { return h.Value != nil }) {
		changes = append(changes, "values of headers")
	}
	if !reflect.DeepEqual(have.Models, want.Models) {
		changes = append(changes, "the order of models")
	}
	if p.Secrets && want.APIKey != nil {
		changes = append(changes, "apiKey")
	}
	return changes, nil
}
