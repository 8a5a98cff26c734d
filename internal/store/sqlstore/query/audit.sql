-- name: InsertAuditEntry :exec
INSERT INTO audit_entries (
    id, organization_id, actor_principal, actor_id, subject_id, subject_type, action, kind, request_id, created_at
) VALUES (
    @id, @organization_id, @actor_principal, @actor_id, @subject_id, @subject_type, @action, @kind, @request_id, @created_at
);

-- name: GetAuditEntry :one
SELECT * FROM audit_entries WHERE id = @id AND organization_id = @organization_id;

-- The lists differ in the index that serves them and in the direction; the
-- negation keeps SQLite from taking the index of the organization.

-- name: ListAuditEntries :many
SELECT * FROM audit_entries
WHERE organization_id = @organization_id
  AND (created_at, id) < (@before_at, CAST(@before_id AS TEXT)) AND created_at >= @from_at
  AND ((CAST(@principals AS BIGINT) >> actor_principal) & 1) <> 0
  AND ((CAST(@subject_types AS BIGINT) >> subject_type) & 1) <> 0
ORDER BY created_at DESC, id DESC
LIMIT @max_rows;

-- name: ListAuditEntriesOldestFirst :many
SELECT * FROM audit_entries
WHERE organization_id = @organization_id
  AND (created_at, id) > (@after_at, CAST(@after_id AS TEXT)) AND created_at <= @to_at
  AND ((CAST(@principals AS BIGINT) >> actor_principal) & 1) <> 0
  AND ((CAST(@subject_types AS BIGINT) >> subject_type) & 1) <> 0
ORDER BY created_at, id
LIMIT @max_rows;

-- name: ListAuditEntriesOfSubject :many
SELECT * FROM audit_entries
WHERE subject_id = @subject_id AND NOT (organization_id <> @organization_id)
  AND (created_at, id) < (@before_at, CAST(@before_id AS TEXT)) AND created_at >= @from_at
  AND ((CAST(@principals AS BIGINT) >> actor_principal) & 1) <> 0
  AND ((CAST(@subject_types AS BIGINT) >> subject_type) & 1) <> 0
ORDER BY created_at DESC, id DESC
LIMIT @max_rows;

-- name: ListAuditEntriesOfSubjectOldestFirst :many
SELECT * FROM audit_entries
WHERE subject_id = @subject_id AND NOT (organization_id <> @organization_id)
  AND (created_at, id) > (@after_at, CAST(@after_id AS TEXT)) AND created_at <= @to_at
  AND ((CAST(@principals AS BIGINT) >> actor_principal) & 1) <> 0
  AND ((CAST(@subject_types AS BIGINT) >> subject_type) & 1) <> 0
ORDER BY created_at, id
LIMIT @max_rows;

-- name: ListAuditEntriesOfActor :many
SELECT * FROM audit_entries
WHERE actor_id = @actor_id AND NOT (organization_id <> @organization_id)
  AND (created_at, id) < (@before_at, CAST(@before_id AS TEXT)) AND created_at >= @from_at
  AND ((CAST(@principals AS BIGINT) >> actor_principal) & 1) <> 0
  AND ((CAST(@subject_types AS BIGINT) >> subject_type) & 1) <> 0
ORDER BY created_at DESC, id DESC
LIMIT @max_rows;

-- name: ListAuditEntriesOfActorOldestFirst :many
SELECT * FROM audit_entries
WHERE actor_id = @actor_id AND NOT (organization_id <> @organization_id)
  AND (created_at, id) > (@after_at, CAST(@after_id AS TEXT)) AND created_at <= @to_at
  AND ((CAST(@principals AS BIGINT) >> actor_principal) & 1) <> 0
  AND ((CAST(@subject_types AS BIGINT) >> subject_type) & 1) <> 0
ORDER BY created_at, id
LIMIT @max_rows;

-- GetUnchainedOrganization is asked for every second.
-- name: GetUnchainedOrganization :one
SELECT organization_id FROM audit_entries
WHERE sequence = 0 AND organization_id > @after_organization_id
ORDER BY organization_id
LIMIT 1;

-- name: ListUnchainedAuditEntries :many
SELECT * FROM audit_entries
WHERE organization_id = @organization_id AND sequence = 0
ORDER BY created_at, id
LIMIT @max_rows;

-- name: ListChainedAuditEntries :many
SELECT * FROM audit_entries
WHERE organization_id = @organization_id AND sequence > 0 AND sequence > @after_sequence
ORDER BY sequence
LIMIT @max_rows;

-- name: PlaceAuditEntry :execrows
UPDATE audit_entries SET sequence = @sequence, hash = @hash WHERE id = @id AND sequence = 0;

-- name: DeleteChainedAuditEntries :exec
DELETE FROM audit_entries
WHERE organization_id = @organization_id AND sequence > 0 AND sequence <= @through_sequence;

-- name: InsertAuditChain :exec
INSERT INTO audit_chains (organization_id, sequence, hash, floor_sequence, floor_hash)
VALUES (@organization_id, 0, @hash, 0, @hash)
ON CONFLICT (organization_id) DO NOTHING;

-- name: GetAuditChain :one
SELECT * FROM audit_chains WHERE organization_id = @organization_id;

-- ListUnsignedAuditChains returns the chains whose end has no checkpoint.
-- name: ListUnsignedAuditChains :many
SELECT c.* FROM audit_chains c
WHERE c.sequence > 0 AND NOT EXISTS (
    SELECT 1 FROM audit_checkpoints p WHERE p.organization_id = c.organization_id AND p.sequence = c.sequence
)
ORDER BY c.organization_id;

-- name: AdvanceAuditChain :execrows
UPDATE audit_chains SET sequence = @sequence, hash = @hash
WHERE organization_id = @organization_id AND sequence = @from_sequence;

-- name: RaiseAuditFloor :execrows
UPDATE audit_chains SET floor_sequence = @floor_sequence, floor_hash = @floor_hash
WHERE organization_id = @organization_id AND floor_sequence = @from_sequence;

-- InsertAuditCheckpoint does nothing when the entry has a checkpoint already.
-- name: InsertAuditCheckpoint :exec
INSERT INTO audit_checkpoints (organization_id, sequence, hash, floor, signed_at, key_id, signature)
VALUES (@organization_id, @sequence, @hash, @floor, @signed_at, @key_id, @signature)
ON CONFLICT (organization_id, sequence) DO NOTHING;

-- name: ListAuditCheckpoints :many
SELECT * FROM audit_checkpoints
WHERE organization_id = @organization_id AND sequence >= @from_sequence AND sequence <= @to_sequence
ORDER BY sequence;

-- name: DeleteAuditCheckpoints :exec
DELETE FROM audit_checkpoints WHERE organization_id = @organization_id AND sequence <= @through_sequence;

-- name: ListAuditRetention :many
SELECT id, audit_days FROM organizations WHERE audit_days > 0 ORDER BY id;
