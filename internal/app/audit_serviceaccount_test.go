package app_test

import (
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/gen/gitpod/v1/gitpodv1connect"
)

// auditServiceAccounts calls ServiceAccountService, as Terraform does: with an
// access token of the account for the account's own tokens.
func auditServiceAccounts(a *audited) {
	ctx := a.Context()
	admin := gitpodv1connect.NewServiceAccountServiceClient(client(bootstrapToken), a.url)
	made, err := admin.CreateServiceAccount(ctx, connect.NewRequest(&gitpodv1.CreateServiceAccountRequest{
		Name: "ci", ValidUntil: timestamppb.New(time.Now().Add(time.Hour)),
	}))
	a.step("gitpod.v1.ServiceAccountService/CreateServiceAccount", "service_account.create", err)
	id := made.Msg.GetServiceAccount().GetId()
	description := "builds"
	changed, err := admin.UpdateServiceAccount(ctx, connect.NewRequest(&gitpodv1.UpdateServiceAccountRequest{ServiceAccountId: id, Description: &description}))
	a.step("gitpod.v1.ServiceAccountService/UpdateServiceAccount", "service_account.update", err)
	if got := changed.Msg.GetServiceAccount(); got.GetName() != "ci" || got.GetDescription() != "builds" || !got.GetValidUntil().AsTime().Equal(made.Msg.GetServiceAccount().GetValidUntil().AsTime()) {
		a.Errorf("changed %v", got)
	}

	short, err := admin.CreateServiceAccountAccessToken(ctx, connect.NewRequest(&gitpodv1.CreateServiceAccountAccessTokenRequest{ServiceAccountId: id}))
	a.step("gitpod.v1.ServiceAccountService/CreateServiceAccountAccessToken", "service_account_access_token.create", err)
	itself := gitpodv1connect.NewServiceAccountServiceClient(client(short.Msg.GetToken()), a.url)
	long, err := itself.CreateServiceAccountToken(ctx, connect.NewRequest(&gitpodv1.CreateServiceAccountTokenRequest{Description: "deploys"}))
	a.step("gitpod.v1.ServiceAccountService/CreateServiceAccountToken", "service_account_token.create", err)
	token := long.Msg.GetServiceAccountToken()
	if token.GetExpiresAt() == nil || token.GetServiceAccountId() != id || token.GetCreator().GetId() != id {
		a.Errorf("the token is %v", token)
	}
	who, err := gitpodv1connect.NewIdentityServiceClient(client(long.Msg.GetToken()), a.url).GetAuthenticatedIdentity(ctx, connect.NewRequest(&gitpodv1.GetAuthenticatedIdentityRequest{}))
	if err != nil || who.Msg.GetSubject().GetId() != id || who.Msg.GetSubject().GetPrincipal() != gitpodv1.Principal_PRINCIPAL_SERVICE_ACCOUNT || who.Msg.GetOrganizationId() != a.organization {
		a.Errorf("the token is that of %v, %v", who, err)
	}
	got, err := itself.GetServiceAccountToken(ctx, connect.NewRequest(&gitpodv1.GetServiceAccountTokenRequest{ServiceAccountTokenId: token.GetId()}))
	if err != nil || got.Msg.GetToken().GetDescription() != "deploys" {
		a.Errorf("read %v, %v", got, err)
	}
	list, err := admin.ListServiceAccountTokens(ctx, connect.NewRequest(&gitpodv1.ListServiceAccountTokensRequest{}))
	if err != nil || len(list.Msg.GetTokens()) != 1 {
		a.Errorf("listed %v, %v", list, err)
	}
	// A person makes none.
	if _, err := admin.CreateServiceAccountToken(ctx, connect.NewRequest(&gitpodv1.CreateServiceAccountTokenRequest{})); connect.CodeOf(err) != connect.CodePermissionDenied {
		a.Errorf("a person makes one: %v", err)
	}
	_, err = admin.DeleteServiceAccountToken(ctx, connect.NewRequest(&gitpodv1.DeleteServiceAccountTokenRequest{ServiceAccountTokenId: token.GetId()}))
	a.step("gitpod.v1.ServiceAccountService/DeleteServiceAccountToken", "service_account_token.delete", err)
	_, err = admin.DeleteServiceAccount(ctx, connect.NewRequest(&gitpodv1.DeleteServiceAccountRequest{ServiceAccountId: id}))
	a.step("gitpod.v1.ServiceAccountService/DeleteServiceAccount", "service_account.delete", err)

	// Deleted, it is readable and in no list.
	after, err := admin.GetServiceAccount(ctx, connect.NewRequest(&gitpodv1.GetServiceAccountRequest{ServiceAccountId: id}))
	if err != nil || !after.Msg.GetServiceAccount().GetSuspended() {
		a.Errorf("after the deletion: %v, %v", after, err)
	}
	accounts, err := admin.ListServiceAccounts(ctx, connect.NewRequest(&gitpodv1.ListServiceAccountsRequest{}))
	if err != nil || len(accounts.Msg.GetServiceAccounts()) != 0 {
		a.Errorf("listed %v, %v", accounts, err)
	}
	if _, err := admin.DeleteServiceAccount(ctx, connect.NewRequest(&gitpodv1.DeleteServiceAccountRequest{ServiceAccountId: id})); connect.CodeOf(err) != connect.CodeNotFound {
		a.Errorf("deleted again: %v", err)
	}
}
