package gitpodv1

import (
	"context"
	"errors"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/hosttoken"
	"github.com/musterhq/muster/internal/id"
)

// CreateHostAuthenticationToken stores a credential of the caller.
func (s *RunnerConfiguration) CreateHostAuthenticationToken(ctx context.Context, req *connect.Request[gitpodv1.CreateHostAuthenticationTokenRequest]) (*connect.Response[gitpodv1.CreateHostAuthenticationTokenResponse], error) {
	n, err := newHostToken(req.Msg)
	if err != nil {
		return nil, err
	}
	t, err := s.HostTokens.Create(ctx, access.CallerOf(ctx), n)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&gitpodv1.CreateHostAuthenticationTokenResponse{Token: hostToken(&t)}), nil
}

// GetHostAuthenticationToken returns what is known of a credential.
func (s *RunnerConfiguration) GetHostAuthenticationToken(ctx context.Context, req *connect.Request[gitpodv1.GetHostAuthenticationTokenRequest]) (*connect.Response[gitpodv1.GetHostAuthenticationTokenResponse], error) {
	t, err := s.HostTokens.Get(ctx, access.CallerOf(ctx), id.Canonical(req.Msg.GetId()))
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&gitpodv1.GetHostAuthenticationTokenResponse{Token: hostToken(&t)}), nil
}

// ListHostAuthenticationTokens lists credentials, oldest first.
func (s *RunnerConfiguration) ListHostAuthenticationTokens(ctx context.Context, req *connect.Request[gitpodv1.ListHostAuthenticationTokensRequest]) (*connect.Response[gitpodv1.ListHostAuthenticationTokensResponse], error) {
	f := req.Msg.GetFilter()
	subject, err := oneOf("filter.user_id", id.Canonical(f.GetUserId()), "filter.subject_id", id.Canonical(f.GetSubjectId())) //nolint:staticcheck // older clients send it
	if err != nil {
		return nil, err
	}
	q := hosttoken.Query{Runner: runnerID(f), Subject: subject}
	rows, next, err := s.HostTokens.List(ctx, access.CallerOf(ctx), q, pageOf(req.Msg.GetPagination()))
	if err != nil {
		return nil, err
	}
	out := &gitpodv1.ListHostAuthenticationTokensResponse{Pagination: &gitpodv1.PaginationResponse{NextToken: next}}
	for i := range rows {
		out.Tokens = append(out.Tokens, hostToken(&rows[i]))
	}
	return connect.NewResponse(out), nil
}

// UpdateHostAuthenticationToken replaces the values of a credential, or the facts
// about it.
func (s *RunnerConfiguration) UpdateHostAuthenticationToken(ctx context.Context, req *connect.Request[gitpodv1.UpdateHostAuthenticationTokenRequest]) (*connect.Response[gitpodv1.UpdateHostAuthenticationTokenResponse], error) {
	m := req.Msg
	ch := hosttoken.Change{Value: m.Token, RefreshToken: m.RefreshToken, Scopes: m.GetScopes()}
	expires, err := expiryOf(m.GetExpiresAt())
	if m.GetExpiresAt() != nil {
		ch.ExpiresAt = &expires
	}
	if err := first(errors.Join(err, boundedHostToken(m))); err != nil {
		return nil, err
	}
	if err := s.HostTokens.Update(ctx, access.CallerOf(ctx), id.Canonical(m.GetId()), ch); err != nil {
		return nil, err
	}
	return connect.NewResponse(&gitpodv1.UpdateHostAuthenticationTokenResponse{}), nil
}

// DeleteHostAuthenticationToken removes a credential.
func (s *RunnerConfiguration) DeleteHostAuthenticationToken(ctx context.Context, req *connect.Request[gitpodv1.DeleteHostAuthenticationTokenRequest]) (*connect.Response[gitpodv1.DeleteHostAuthenticationTokenResponse], error) {
	if err := s.HostTokens.Delete(ctx, access.CallerOf(ctx), id.Canonical(req.Msg.GetId())); err != nil {
		return nil, err
	}
	return connect.NewResponse(&gitpodv1.DeleteHostAuthenticationTokenResponse{}), nil
}

func newHostToken(m *gitpodv1.CreateHostAuthenticationTokenRequest) (hosttoken.NewToken, error) {
	subject, err := oneOf("user_id", id.Canonical(m.GetUserId()), "subject", id.Canonical(m.GetSubject().GetId())) //nolint:staticcheck // older clients send it
	expires, eerr := expiryOf(m.GetExpiresAt())
	err = errors.Join(err, eerr, boundedHostToken(m), bounded("host", m.GetHost(), 512))
	return hosttoken.NewToken{
		Runner: runnerID(m), Host: m.GetHost(), Value: m.GetToken(), Source: hosttoken.Source(m.GetSource()),
		Subject:   access.Subject{Principal: access.Principal(m.GetSubject().GetPrincipal()), ID: subject},
		ExpiresAt: expires, RefreshToken: m.GetRefreshToken(), Integration: id.Canonical(m.GetIntegrationId()), Scopes: m.GetScopes(),
	}, first(err)
}

// oneOf is a value that an older and a newer field can hold; both must agree.
func oneOf(oldField, old, newField, value string) (string, error) {
	switch {
	case value == "":
		return old, nil
	case old != "" && old != value:
		return "", fault.Invalid(oldField, "is the older name of %s, and the two differ; leave it out", newField)
	default:
		return value, nil
	}
}

// Limits of a credential.
const (
	maxHostToken = 16 << 10
	maxScopes    = 101
	maxScope     = 255
)

func boundedHostToken(m interface {
	GetToken() string
	GetRefreshToken() string
	GetScopes() []string
},
) error {
	err := errors.Join(bounded("token", m.GetToken(), maxHostToken), bounded("refresh_token", m.GetRefreshToken(), maxHostToken))
	if len(m.GetScopes()) > maxScopes {
		err = errors.Join(err, fault.Invalid("scopes", "must have at most %d values, has %d", maxScopes, len(m.GetScopes())))
	}
	for _, scope := range m.GetScopes() {
		err = errors.Join(err, bounded("scopes", scope, maxScope))
	}
	return err
}

// expiryOf is when a credential expires, to the microsecond; zero for never. The
// epoch, which a client sends that has no time, is never too.
func expiryOf(t *timestamppb.Timestamp) (time.Time, error) {
	if t == nil || t.GetSeconds() == 0 && t.GetNanos() == 0 {
		return time.Time{}, nil
	}
	if err := t.CheckValid(); err != nil {
		return time.Time{}, fault.Invalid("expires_at", "must be a time between the years 1 and 9999")
	}
	return t.AsTime().Truncate(time.Microsecond), nil
}

func hostToken(t *hosttoken.Token) *gitpodv1.HostAuthenticationToken {
	out := &gitpodv1.HostAuthenticationToken{
		Id: t.ID, RunnerId: string(t.Runner), Host: t.Host, Source: gitpodv1.HostAuthenticationTokenSource(t.Source),
		IntegrationId: t.Integration, Scopes: t.Scopes, Subject: subject(t.Subject),
		UserId: t.Subject.ID, //nolint:staticcheck // older clients read it
	}
	if !t.ExpiresAt.IsZero() {
		out.ExpiresAt = timestamppb.New(t.ExpiresAt)
	}
	return out
}
