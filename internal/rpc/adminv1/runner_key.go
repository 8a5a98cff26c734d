package adminv1

import (
	"context"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/gen/muster/admin/v1"
	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/seal"
	"github.com/musterhq/muster/internal/sealed"
)

// RunnerKeys serves RunnerKeyService.
type RunnerKeys struct {
	Fleet  *fleet.Service
	Sealed *sealed.Service
}

// GetRunnerKeys returns the public keys of a runner, their log, and what is
// sealed to an older one.
func (s *RunnerKeys) GetRunnerKeys(ctx context.Context, req *connect.Request[adminv1.GetRunnerKeysRequest]) (*connect.Response[adminv1.GetRunnerKeysResponse], error) {
	r, log, err := s.Fleet.Keys(ctx, access.CallerOf(ctx), runnerID(req.Msg))
	if err != nil {
		return nil, err
	}
	stale, err := s.Sealed.Stale(ctx, access.CallerOf(ctx), r.ID)
	if err != nil {
		return nil, err
	}
	resp := &adminv1.GetRunnerKeysResponse{Current: key(r.PublicKey), Pending: key(r.PendingKey), Stale: runnerSecrets(stale)}
	for _, e := range log {
		resp.Log = append(resp.Log, &adminv1.RunnerKeyEvent{
			Operation: adminv1.RunnerKeyOperation(e.Operation), Key: key(e.PublicKey), Actor: actor(e.Actor), CreatedAt: timestamppb.New(e.CreatedAt),
		})
	}
	return connect.NewResponse(resp), nil
}

// ApproveRunnerKey makes the waiting key the one that secrets are sealed to.
func (s *RunnerKeys) ApproveRunnerKey(ctx context.Context, req *connect.Request[adminv1.ApproveRunnerKeyRequest]) (*connect.Response[adminv1.ApproveRunnerKeyResponse], error) {
	if err := s.Fleet.ApproveKey(ctx, access.CallerOf(ctx), runnerID(req.Msg), req.Msg.GetFingerprint()); err != nil {
		return nil, err
	}
	stale, err := s.Sealed.Stale(ctx, access.CallerOf(ctx), runnerID(req.Msg))
	return answer(&adminv1.ApproveRunnerKeyResponse{Stale: runnerSecrets(stale)}, err)
}

// CheckRunnerSecrets asks the runner to open everything that is sealed to it.
func (s *RunnerKeys) CheckRunnerSecrets(ctx context.Context, req *connect.Request[adminv1.CheckRunnerSecretsRequest]) (*connect.Response[adminv1.CheckRunnerSecretsResponse], error) {
	checked, unreadable, err := s.Sealed.Check(ctx, access.CallerOf(ctx), runnerID(req.Msg))
	return answer(&adminv1.CheckRunnerSecretsResponse{
		Checked: int32(checked), Unreadable: runnerSecrets(unreadable), //nolint:gosec // far fewer
	}, err)
}

func key(public []byte) *adminv1.RunnerKey {
	if len(public) == 0 {
		return nil
	}
	return &adminv1.RunnerKey{PublicKey: public, Fingerprint: seal.Fingerprint(public)}
}

func runnerSecrets(items []sealed.Item) []*adminv1.RunnerSecret {
	out := make([]*adminv1.RunnerSecret, 0, len(items))
	for _, i := range items {
		out = append(out, &adminv1.RunnerSecret{
			Name: i.Name(), ResourceType: gitpodv1.ResourceType(i.Type), ResourceId: i.ID, Description: i.Description(),
		})
	}
	return out
}

func actor(s access.Subject) *gitpodv1.Subject {
	return &gitpodv1.Subject{Id: s.ID, Principal: gitpodv1.Principal(s.Principal)}
}
