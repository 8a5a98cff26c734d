// Package fleet is the domain of runners: registration, what they are asked to
// be, what they report, and the sessions from which their phase follows.
//
// It knows nothing of the wire and nothing of SQL. The link (package link)
// tells it of connections; it tells the link of changes through Links.
package fleet

import (
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/seal"
)

// The numbers of the enumerations below are those of the wire; a test of the transport holds
// them to it.
type (
	// Kind is where a runner runs.
	Kind int32
	// Provider is the platform that a runner runs on.
	Provider int32
	// Phase is the state of a runner as people see it.
	Phase int32
	// LogLevel is how much a runner logs.
	LogLevel int32
	// ReleaseChannel is where a runner's updates come from.
	ReleaseChannel int32
	// Variant is the edition of a runner.
	Variant int32
	// Capability is something that a runner can do.
	Capability int32
)

// Kinds.
const (
	KindLocal              Kind = 1
	KindRemote             Kind = 2
	KindLocalConfiguration Kind = 3
)

// Providers.
const (
	ProviderAWSEC2     Provider = 1
	ProviderLinuxHost  Provider = 2
	ProviderDesktopMac Provider = 3
	ProviderManaged    Provider = 4
	ProviderGCP        Provider = 5
	ProviderDevAgent   Provider = 6
)

// Phases.
const (
	PhaseUnspecified Phase = 0
	// PhaseCreated is a runner that never connected.
	PhaseCreated Phase = 1
	// PhaseInactive is a runner that was connected and is not.
	PhaseInactive Phase = 2
	// PhaseActive is a runner that keeps its lease.
	PhaseActive Phase = 3
	// PhaseDeleting is a runner that is finishing before it is removed.
	PhaseDeleting Phase = 4
	// PhaseDegraded is a runner that keeps its lease and is not well; the
	// message says why.
	PhaseDegraded Phase = 6
)

// Runner is a registered runner with all that is known of it.
type Runner struct {
	ID           id.Runner
	Organization id.Organization
	Name         string
	Kind         Kind
	Provider     Provider
	// ManagerID is set for managed runners only.
	ManagerID     string
	Creator       access.Subject
	Variant       Variant
	DesiredPhase  Phase
	Configuration Configuration
	// ConfigurationRevision starts at 1 and grows with every change of
	// Configuration or DesiredPhase.
	ConfigurationRevision int64
	// PublicKey is the X25519 key that secrets are sealed to; empty before the
	// first connection.
	PublicKey []byte
	// PendingKey is a key that the runner came with later and that nobody has
	// approved.
	PendingKey []byte
	// Epoch is that of the newest session; 0 before the first.
	Epoch int64
	// Report is what the runner last said of itself.
	Report Report
	// Schema is the configuration schema that the runner last published, in the
	// wire's binary form; empty before the first connection.
	Schema []byte
	// StatusAt is when the reported status last changed.
	StatusAt  time.Time
	CreatedAt time.Time
	UpdatedAt time.Time
	// DeletingAt is when deletion was asked for; zero when it was not.
	DeletingAt time.Time
	// Revision guards against lost updates of what people set: name,
	// configuration, keys, deletion. Reports and sessions do not touch it; the
	// epoch guards them.
	Revision int64
	// Session is the newest session; nil before the first.
	Session *Session
	// Grants are the roles that groups have on the runner.
	Grants []access.Grant
}

// Object is the runner as permissions see it.
func (r *Runner) Object() access.Object {
	return access.Object{
		Type: resource.Runner, ID: string(r.ID), Organization: r.Organization, Name: r.Name, Creator: r.Creator, Runner: r.ID, Grants: r.Grants,
	}
}

// Configuration is what a runner is asked to be. Nothing in it is ever
// defaulted: it is returned as it was sent. It is stored as JSON.
type Configuration struct {
	Region              string         `json:"region,omitempty"`
	ReleaseChannel      ReleaseChannel `json:"releaseChannel,omitempty"`
	AutoUpdate          bool           `json:"autoUpdate,omitempty"`
	Metrics             *Metrics       `json:"metrics,omitempty"`
	LogLevel            LogLevel       `json:"logLevel,omitempty"`
	ImageCache          bool           `json:"imageCache,omitempty"`
	UpdateWindow        *UpdateWindow  `json:"updateWindow,omitempty"`
	HoneycombAPIKey     seal.Secret    `json:"honeycombApiKey,omitempty"`
	ContinuousProfiling bool           `json:"continuousProfiling,omitempty"`
}

// Metrics is where a runner sends its metrics.
type Metrics struct {
	Enabled  bool        `json:"enabled,omitempty"`
	URL      string      `json:"url,omitempty"`
	Username string      `json:"username,omitempty"`
	Password seal.Secret `json:"password,omitempty"`
	Managed  bool        `json:"managed,omitempty"`
	Verbose  bool        `json:"verbose,omitempty"`
}

// Report is what a runner says of itself. It is stored as JSON.
type Report struct {
	// Degraded is set when the runner says that it is not well; Message says why.
	Degraded         bool         `json:"degraded,omitempty"`
	Message          string       `json:"message,omitempty"`
	Version          string       `json:"version,omitempty"`
	Region           string       `json:"region,omitempty"`
	SystemDetails    string       `json:"systemDetails,omitempty"`
	Capabilities     []Capability `json:"capabilities,omitempty"`
	LogURL           string       `json:"logUrl,omitempty"`
	SupportBundleURL string       `json:"supportBundleUrl,omitempty"`
	Gateway          *GatewayInfo `json:"gateway,omitempty"`
	AdditionalInfo   []FieldValue `json:"additionalInfo,omitempty"`
}

// GatewayInfo is the nearest gateway as a runner measured it.
type GatewayInfo struct {
	Gateway Gateway       `json:"gateway"`
	Latency time.Duration `json:"latency"`
}

// Gateway is a configured entry point to the runners' network.
type Gateway struct {
	Name   string `json:"name"`
	URL    string `json:"url"`
	Region string `json:"region,omitempty"`
}

// FieldValue is one further fact.
type FieldValue struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Session is one connection of a runner, from Hello to goodbye or lease end.
type Session struct {
	Runner id.Runner
	// Replica is the control plane process that holds it.
	Replica string
	// Epoch orders the sessions of a runner; every write of a session carries it.
	Epoch    int64
	BootID   string
	HostName string
	OpenedAt time.Time
	// EndedAt is zero while the session lives.
	EndedAt time.Time
	// EndReason is a sentence for people.
	EndReason string
	// Notice is what the control plane itself has to say of the runner, such as
	// two hosts with one identity; a runner with a notice is DEGRADED.
	Notice string
	// AppliedRevision is the newest configuration that the runner acknowledged.
	AppliedRevision int64
	// Unsupported lists the settings that the runner cannot honour.
	Unsupported []string
	// ApplyError is why the runner could not apply that configuration.
	ApplyError string
	// Token is the access token that it was opened with; empty when that is not
	// known, and once the end of the token has been told of.
	Token id.Token
	// AccessUntil is when that token ends; zero when it does not by itself.
	AccessUntil time.Time
}

// Live tells whether the session has not ended.
func (s *Session) Live() bool { return s != nil && s.EndedAt.IsZero() }

// Phase is the state of the runner, which follows from its row and its newest
// session alone.
func (r *Runner) Phase() Phase {
	switch {
	case !r.DeletingAt.IsZero():
		return PhaseDeleting
	case r.Session == nil:
		return PhaseCreated
	case !r.Session.Live():
		return PhaseInactive
	case r.Report.Degraded, r.Session.Notice != "", len(r.PendingKey) > 0, r.Session.ApplyError != "":
		return PhaseDegraded
	default:
		return PhaseActive
	}
}
