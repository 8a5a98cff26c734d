package app_test

import (
	"connectrpc.com/connect"

	"github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/gen/gitpod/v1/gitpodv1connect"
	"github.com/musterhq/muster/gen/muster/admin/v1"
	"github.com/musterhq/muster/gen/muster/admin/v1/adminv1connect"
)

// auditKeys calls what rotates the control plane's keys, and what hands out ID
// tokens.
func auditKeys(a *audited) {
	ctx, c := a.Context(), client(bootstrapToken)
	ids := gitpodv1connect.NewIdentityServiceClient(c, a.url)
	installation := adminv1connect.NewInstallationServiceClient(c, a.url)

	_, err := ids.GetIDToken(ctx, connect.NewRequest(&gitpodv1.GetIDTokenRequest{Audience: []string{"a"}}))
	a.step("gitpod.v1.IdentityService/GetIDToken", "signing_key.create id_token.create", err)
	if _, err := ids.GetIDToken(ctx, connect.NewRequest(&gitpodv1.GetIDTokenRequest{Audience: make([]string, 11)})); connect.CodeOf(err) != connect.CodeInvalidArgument {
		a.Errorf("eleven audiences: %v", err)
	}

	_, err = installation.RotateKeys(ctx, connect.NewRequest(&adminv1.RotateKeysRequest{SigningKeys: true, SecretKey: true}))
	a.step("muster.admin.v1.InstallationService/RotateKeys", "secret_key.rotate signing_key.rotate", err)
	if _, err := installation.RotateKeys(ctx, connect.NewRequest(&adminv1.RotateKeysRequest{})); connect.CodeOf(err) != connect.CodeInvalidArgument {
		a.Errorf("rotating nothing: %v", err)
	}
}
