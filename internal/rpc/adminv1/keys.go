package adminv1

import (
	"context"
	"math"

	"connectrpc.com/connect"

	"github.com/musterhq/muster/gen/muster/admin/v1"
	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
)

// RotateKeys replaces signing keys, the secret key, or both.
func (s *Installation) RotateKeys(ctx context.Context, req *connect.Request[adminv1.RotateKeysRequest]) (*connect.Response[adminv1.RotateKeysResponse], error) {
	if !req.Msg.GetSigningKeys() && !req.Msg.GetSecretKey() {
		return nil, fault.Invalid("signing_keys", "or secret_key must be set; nothing would be rotated")
	}
	out := &adminv1.RotateKeysResponse{}
	// The secret key first, so that the new signing keys never are under the old
	// one.
	if req.Msg.GetSecretKey() {
		n, err := s.Keys.RotateSecretKey(ctx, access.CallerOf(ctx))
		if err != nil {
			return nil, err
		}
		out.Rewrapped = int32(min(n, math.MaxInt32)) //nolint:gosec // bounded
	}
	if req.Msg.GetSigningKeys() {
		var err error
		if out.SigningKeyIds, err = s.Keys.Rotate(ctx, access.CallerOf(ctx)); err != nil {
			return nil, err
		}
	}
	return connect.NewResponse(out), nil
}
