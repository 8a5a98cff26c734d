-- name: InsertAuditEntry :exec
INSERT INTO audit_entries (
    id, organization_id, actor_principal, actor_id, subject_id, subject_type, action, kind, request_id, created_at
) VALUES (
    @id, @organization_id, @actor_principal, @actor_id, @subject_id, @subject_type, @action, @kind, @request_id, @created_at
);
