package adminv1

import (
	"context"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/musterhq/muster/gen/muster/admin/v1"
	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/token"
)

// RunnerTokens serves RunnerTokenService.
type RunnerTokens struct{ Fleet *fleet.Service }

// ListRunnerTokens returns the tokens of a runner, without their secrets.
func (s *RunnerTokens) ListRunnerTokens(ctx context.Context, req *connect.Request[adminv1.ListRunnerTokensRequest]) (*connect.Response[adminv1.ListRunnerTokensResponse], error) {
	all, err := s.Fleet.Tokens(ctx, access.CallerOf(ctx), runnerID(req.Msg))
	if err != nil {
		return nil, err
	}
	resp := &adminv1.ListRunnerTokensResponse{}
	for _, t := range all {
		resp.Tokens = append(resp.Tokens, runnerToken(t))
	}
	return connect.NewResponse(resp), nil
}

// ExpireRunnerToken sets when a token ends.
func (s *RunnerTokens) ExpireRunnerToken(ctx context.Context, req *connect.Request[adminv1.ExpireRunnerTokenRequest]) (*connect.Response[adminv1.ExpireRunnerTokenResponse], error) {
	err := s.Fleet.ExpireToken(ctx, access.CallerOf(ctx), runnerID(req.Msg), id.Token(id.Canonical(req.Msg.GetTokenId())), req.Msg.GetValidFor().AsDuration())
	return answer(&adminv1.ExpireRunnerTokenResponse{}, err)
}

// RotateRunnerToken makes the connected runner take a new access token.
func (s *RunnerTokens) RotateRunnerToken(ctx context.Context, req *connect.Request[adminv1.RotateRunnerTokenRequest]) (*connect.Response[adminv1.RotateRunnerTokenResponse], error) {
	err := s.Fleet.RotateToken(ctx, access.CallerOf(ctx), runnerID(req.Msg), req.Msg.GetValidFor().AsDuration())
	return answer(&adminv1.RotateRunnerTokenResponse{}, err)
}

func runnerToken(r token.Record) *adminv1.RunnerToken {
	t := &adminv1.RunnerToken{
		Id: string(r.ID), Kind: adminv1.RunnerTokenKind_RUNNER_TOKEN_KIND_ACCESS, Creator: actor(r.Creator),
		CreatedAt: timestamppb.New(r.CreatedAt), ExpiresAt: whenSet(r.ExpiresAt), LastUsedAt: whenSet(r.LastUsedAt),
	}
	if r.Kind == token.Exchange {
		t.Kind = adminv1.RunnerTokenKind_RUNNER_TOKEN_KIND_EXCHANGE
	}
	return t
}

func whenSet(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
