package app_test

import (
	"connectrpc.com/connect"

	"github.com/musterhq/muster/gen/muster/admin/v1"
	"github.com/musterhq/muster/gen/muster/admin/v1/adminv1connect"
)

func auditRetention(a *audited) {
	policies := adminv1connect.NewRetentionServiceClient(client(bootstrapToken), a.url)
	_, err := policies.SetRetentionPolicy(a.Context(), connect.NewRequest(&adminv1.SetRetentionPolicyRequest{Policy: &adminv1.RetentionPolicy{OfflineDays: 3650}}))
	a.step("muster.admin.v1.RetentionService/SetRetentionPolicy", "retention_policy.update", err)
}
