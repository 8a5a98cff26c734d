// Package manifest is the configuration plane of an organization as a file:
// what "muster export" writes and "muster apply" reads, and the difference
// between two of them.
//
// Things are known by their names, as people write them; ids stay out of the
// file. Secrets are never in it: a file may say in which environment variable
// one is. The package knows neither the wire nor the server.
package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"

	yaml "go.yaml.in/yaml/v3"
)

// Version is the version of the form that this package reads and writes.
const Version = 1

// Manifest is the whole file.
type Manifest struct {
	Version int `yaml:"version"`
	// Partial marks what somebody wrote who may not see everything.
	Partial         bool             `yaml:"partial,omitempty"`
	Retention       *Retention       `yaml:"retention,omitempty"`
	ServiceAccounts []ServiceAccount `yaml:"serviceAccounts,omitempty"`
	Groups          []Group          `yaml:"groups,omitempty"`
	Runners         []Runner         `yaml:"runners,omitempty"`
}

// Retention is what is removed by age, in days; 0 keeps it.
type Retention struct {
	NeverConnectedDays int32 `yaml:"neverConnectedDays,omitempty"`
	OfflineDays        int32 `yaml:"offlineDays,omitempty"`
	AuditDays          int32 `yaml:"auditDays,omitempty"`
}

// ServiceAccount is an account of a program. ValidUntil is RFC 3339 and cannot
// be changed later.
type ServiceAccount struct {
	ID string `yaml:"-"`
	// Ref is the id when another account has the same name; empty otherwise.
	Ref         string `yaml:"id,omitempty"`
	Name        string `yaml:"name"`
	Description string `yaml:"description,omitempty"`
	ValidUntil  string `yaml:"validUntil"`
}

// Group is a set of people and service accounts.
type Group struct {
	ID          string `yaml:"-"`
	Name        string `yaml:"name"`
	Description string `yaml:"description,omitempty"`
	// Members are "user:ann@example.com" and "service-account:robot".
	Members []string `yaml:"members,omitempty"`
	// Roles are those on the organization, such as "org-runners-admin".
	Roles []string `yaml:"roles,omitempty"`
	// On are its roles on other groups, such as "group-admin".
	On []GroupRole `yaml:"on,omitempty"`
	// MemberIDs and RoleIDs name the membership or the assignment of each.
	MemberIDs map[string]string `yaml:"-"`
	RoleIDs   map[string]string `yaml:"-"`
}

// GroupRole is a role of a group on another group.
type GroupRole struct {
	ID    string `yaml:"-"`
	Group string `yaml:"group"`
	Role  string `yaml:"role"`
}

// Runner is a runner with what belongs to it.
type Runner struct {
	ID string `yaml:"-"`
	// Ref is the id when another runner has the same name; empty otherwise.
	Ref      string `yaml:"id,omitempty"`
	Name     string `yaml:"name"`
	Provider string `yaml:"provider"`          // such as "linux-host"; cannot be changed later
	Variant  string `yaml:"variant,omitempty"` // such as "enterprise"; cannot be changed later
	// Configuration is spec.configuration in the JSON form of the API, without
	// secrets.
	Configuration   map[string]any `yaml:"configuration,omitempty"`
	MetricsPassword *Secret        `yaml:"metricsPassword,omitempty"`
	HoneycombAPIKey *Secret        `yaml:"honeycombApiKey,omitempty"`
	Classes         []Class        `yaml:"classes,omitempty"`
	// AllClasses are those that others have replaced, too.
	AllClasses []Class `yaml:"-"`
	SCM        []SCM   `yaml:"scm,omitempty"`
	LLM        []LLM   `yaml:"llm,omitempty"`
	// Policies are the roles of groups on the runner, Shares those of single
	// people and service accounts.
	Policies []Policy `yaml:"policies,omitempty"`
	Shares   []Share  `yaml:"shares,omitempty"`
	// Roles are the other roles of groups on the runner, such as
	// "configuration-reader".
	Roles []RunnerRole `yaml:"roles,omitempty"`
}

// RunnerRole is a role of a group on a runner that is no policy.
type RunnerRole struct {
	ID    string `yaml:"-"`
	Group string `yaml:"group"`
	Role  string `yaml:"role"`
}

// Class is an environment class. Its configuration cannot be changed: a class
// with another one takes the place of the old, which is disabled.
type Class struct {
	ID            string            `yaml:"-"`
	Ref           string            `yaml:"id,omitempty"` // when another enabled class of the runner has the same name
	Name          string            `yaml:"name"`
	Description   string            `yaml:"description"`
	Disabled      bool              `yaml:"disabled,omitempty"`
	Configuration map[string]string `yaml:"configuration,omitempty"`
}

// SCM is an integration with a source-code host. A runner has one for a host.
type SCM struct {
	ID               string `yaml:"-"`
	Host             string `yaml:"host"`
	Kind             string `yaml:"kind"` // such as "github"
	PAT              bool   `yaml:"pat,omitempty"`
	OAuth            *OAuth `yaml:"oauth,omitempty"`
	VirtualDirectory string `yaml:"virtualDirectory,omitempty"`
}

// OAuth is how people sign in with OAuth 2.
type OAuth struct {
	ClientID     string  `yaml:"clientId"`
	ClientSecret *Secret `yaml:"clientSecret,omitempty"`
	IssuerURL    string  `yaml:"issuerUrl,omitempty"`
}

// LLM is an integration with a provider of language models. It is known by its
// endpoint and its models.
type LLM struct {
	ID        string   `yaml:"-"`
	Models    []string `yaml:"models"` // such as "sonnet-4"
	Endpoint  string   `yaml:"endpoint,omitempty"`
	MaxTokens uint64   `yaml:"maxTokens,omitempty"`
	Disabled  bool     `yaml:"disabled,omitempty"`
	APIKey    *Secret  `yaml:"apiKey,omitempty"`
	// Headers go with every request to the provider.
	Headers []Header `yaml:"headers,omitempty"`
	Ref     string   `yaml:"id,omitempty"` // when another integration has the same endpoint and models
}

// Header is an HTTP header: an expression, or a secret value. One with neither
// keeps the value that it has.
type Header struct {
	Name       string  `yaml:"name"`
	Expression string  `yaml:"expression,omitempty"`
	Value      *Secret `yaml:"value,omitempty"`
	// Sealed is the stored value, which only the runner can read.
	Sealed []byte `yaml:"-"`
}

// Policy is the role of a group on a runner: "admin" or "user".
type Policy struct {
	Group string `yaml:"group"`
	Role  string `yaml:"role"`
}

// Share is the role of one subject on a runner: "admin" or "user".
type Share struct {
	With string `yaml:"with"` // as in Group.Members
	Role string `yaml:"role"`
}

// Secret says where a secret is.
type Secret struct {
	// Env is the name of an environment variable of "muster apply".
	Env string `yaml:"env"`
}

// Key tells a runner from all others: its name, or its id where names are the
// same.
func (r Runner) Key() string { return key(r.Name, r.Ref) }

// Key tells an account from all others.
func (a ServiceAccount) Key() string { return key(a.Name, a.Ref) }

func (c Class) key() string { return key(c.Name, c.Ref) }

func key(name, ref string) string {
	if ref == "" {
		return name
	}
	return name + "#" + ref
}

// Distinguish writes the ids of those that share their names with others.
func (m *Manifest) Distinguish() {
	distinguish(m.ServiceAccounts, func(a *ServiceAccount) (string, string, *string) { return a.Name, a.ID, &a.Ref })
	distinguish(m.Runners, func(r *Runner) (string, string, *string) { return r.Name, r.ID, &r.Ref })
	for i := range m.Runners {
		r := &m.Runners[i]
		r.AllClasses, r.Classes = r.Classes, present(r.Classes)
		distinguish(r.Classes, func(c *Class) (string, string, *string) { return c.Name, c.ID, &c.Ref })
		distinguish(r.LLM, func(l *LLM) (string, string, *string) { return l.key(), l.ID, &l.Ref })
	}
}

func distinguish[T any](all []T, of func(*T) (name, id string, ref *string)) {
	count := map[string]int{}
	for i := range all {
		name, _, _ := of(&all[i])
		count[name]++
	}
	// Each name is read before the first id is written, since a name may have it.
	for i := range all {
		if name, id, ref := of(&all[i]); count[name] > 1 {
			*ref = id
		}
	}
}

// present leaves out the disabled classes that another one has replaced: of
// those of one name, all that are enabled stay, or else the newest.
func present(all []Class) []Class {
	var out []Class
	for i, c := range all {
		if c.Disabled && slices.ContainsFunc(all, func(o Class) bool { return o.Name == c.Name && !o.Disabled }) {
			continue
		}
		if c.Disabled && slices.ContainsFunc(all[i+1:], func(o Class) bool { return o.Name == c.Name }) {
			continue
		}
		out = append(out, c)
	}
	return out
}

// unknownField is how the decoder says that there is no such field.
var unknownField = regexp.MustCompile(`field (\S+) not found in type manifest\.(\S+)`)

// Read reads a file. A field that there is not is an error, since it would be
// ignored otherwise.
func Read(r io.Reader) (*Manifest, error) {
	d := yaml.NewDecoder(r)
	d.KnownFields(true)
	m := &Manifest{}
	if err := d.Decode(m); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errors.New("the file is empty; \"muster export\" writes one")
		}
		return nil, fmt.Errorf("the file cannot be read: %s", unknownField.ReplaceAllString(err.Error(), "field $1 is not a field of a $2"))
	}
	if err := d.Decode(new(any)); !errors.Is(err, io.EOF) {
		return nil, errors.New("the file holds more than one document")
	}
	if m.Version != Version {
		return nil, fmt.Errorf("the file has version %d; this program reads version %d", m.Version, Version)
	}
	return m, nil
}

// Write writes a file.
func Write(w io.Writer, m *Manifest) error {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(m); err != nil {
		return fmt.Errorf("writing the file: %w", err)
	}
	if err := e.Close(); err != nil {
		return fmt.Errorf("writing the file: %w", err)
	}
	_, err := w.Write(b.Bytes())
	return err
}
