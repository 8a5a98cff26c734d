package gitpodv1

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/link"
)

func (s *Runners) wire(r *fleet.Runner) *gitpodv1.Runner {
	return &gitpodv1.Runner{
		RunnerId:        string(r.ID),
		CreatedAt:       timestamppb.New(r.CreatedAt),
		UpdatedAt:       timestamppb.New(r.UpdatedAt),
		Name:            r.Name,
		Creator:         subject(r.Creator),
		Kind:            gitpodv1.RunnerKind(r.Kind),
		Provider:        gitpodv1.RunnerProvider(r.Provider),
		RunnerManagerId: r.ManagerID,
		Spec: &gitpodv1.RunnerSpec{
			DesiredPhase:  gitpodv1.RunnerPhase(r.DesiredPhase),
			Variant:       gitpodv1.RunnerVariant(r.Variant),
			Configuration: link.Spec(r.Configuration),
		},
		Status: s.status(r),
	}
}

func (s *Runners) status(r *fleet.Runner) *gitpodv1.RunnerStatus {
	rep := &r.Report
	st := &gitpodv1.RunnerStatus{
		UpdatedAt:        timestamppb.New(r.StatusAt),
		Version:          rep.Version,
		SystemDetails:    rep.SystemDetails,
		Phase:            gitpodv1.RunnerPhase(r.Phase()),
		Message:          r.Message(),
		Region:           rep.Region,
		LogUrl:           s.Fleet.LogURL(r),
		SupportBundleUrl: s.Fleet.SupportBundleURL(r),
		PublicKey:        r.PublicKey,
	}
	for _, c := range rep.Capabilities {
		st.Capabilities = append(st.Capabilities, gitpodv1.RunnerCapability(c))
	}
	if g := rep.Gateway; g != nil {
		st.GatewayInfo = &gitpodv1.GatewayInfo{
			Gateway: &gitpodv1.Gateway{Name: g.Gateway.Name, Url: g.Gateway.URL, Region: g.Gateway.Region},
			Latency: durationpb.New(g.Latency),
		}
	}
	for _, f := range append(facts(r), rep.AdditionalInfo...) {
		st.AdditionalInfo = append(st.AdditionalInfo, &gitpodv1.FieldValue{Key: f.Key, Value: f.Value})
	}
	return st
}

// facts are what the control plane adds to what the runner reports: whether the
// desired configuration is in force, and where the runner is.
func facts(r *fleet.Runner) []fleet.FieldValue {
	s := r.Session
	if s == nil {
		return nil
	}
	applied := fmt.Sprintf("revision %d applied", s.AppliedRevision)
	if s.AppliedRevision != r.ConfigurationRevision {
		applied = fmt.Sprintf("revision %d wanted, %d applied", r.ConfigurationRevision, s.AppliedRevision)
	}
	out := []fleet.FieldValue{
		{Key: "host", Value: s.HostName},
		{Key: "connectedSince", Value: s.OpenedAt.UTC().Format(time.RFC3339)},
		{Key: "configuration", Value: applied},
	}
	if !s.Live() {
		out[1] = fleet.FieldValue{Key: "offlineSince", Value: s.EndedAt.UTC().Format(time.RFC3339)}
	}
	if !s.AccessUntil.IsZero() {
		out = append(out, fleet.FieldValue{Key: "accessUntil", Value: s.AccessUntil.UTC().Format(time.RFC3339)})
	}
	if len(s.Unsupported) > 0 {
		out = append(out, fleet.FieldValue{Key: "unsupportedSettings", Value: strings.Join(s.Unsupported, ", ")})
	}
	return out
}

func subject(s access.Subject) *gitpodv1.Subject {
	return &gitpodv1.Subject{Id: s.ID, Principal: gitpodv1.Principal(s.Principal)}
}
