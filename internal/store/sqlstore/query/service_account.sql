-- name: InsertServiceAccount :exec
INSERT INTO service_accounts (
    id, organization_id, name, description, creator_principal, creator_id, valid_until, suspended_at,
    created_at, updated_at, revision, name_lower
) VALUES (
    @id, @organization_id, @name, @description, @creator_principal, @creator_id, @valid_until, @suspended_at,
    @created_at, @updated_at, @revision, @name_lower
);

-- name: UpdateServiceAccount :execrows
UPDATE service_accounts SET
    name = @name, description = @description, suspended_at = @suspended_at, updated_at = @updated_at,
    name_lower = @name_lower, revision = revision + 1
WHERE id = @id AND organization_id = @organization_id AND revision = @revision;

-- LockServiceAccount changes nothing. The row that it writes stays locked until
-- the transaction ends.
-- name: LockServiceAccount :exec
UPDATE service_accounts SET name = name WHERE id = @id;

-- name: GetServiceAccount :one
SELECT * FROM service_accounts WHERE organization_id = @organization_id AND id = @id;

-- FindServiceAccount is GetServiceAccount with the filters of a list.
-- name: FindServiceAccount :many
SELECT * FROM service_accounts
WHERE organization_id = @organization_id AND id = @id
  AND (created_at, id) > (@after_at, CAST(@after_id AS TEXT))
  AND (suspended_at = 0 OR CAST(@include_suspended AS BOOLEAN))
  AND CASE WHEN name_lower LIKE CAST(@pattern AS TEXT) ESCAPE '\' THEN 1 ELSE 0 END <> 0;

-- name: ListServiceAccounts :many
SELECT * FROM service_accounts
WHERE organization_id = @organization_id
  AND (created_at, id) > (@after_at, CAST(@after_id AS TEXT))
  AND CASE WHEN name_lower LIKE CAST(@pattern AS TEXT) ESCAPE '\' THEN 1 ELSE 0 END <> 0
ORDER BY created_at, id
LIMIT @max_rows;

-- name: ListServiceAccountsInUse :many
SELECT * FROM service_accounts
WHERE organization_id = @organization_id AND suspended_at = 0
  AND (created_at, id) > (@after_at, CAST(@after_id AS TEXT))
  AND CASE WHEN name_lower LIKE CAST(@pattern AS TEXT) ESCAPE '\' THEN 1 ELSE 0 END <> 0
ORDER BY created_at, id
LIMIT @max_rows;

-- CountServiceAccounts counts those that work.
-- name: CountServiceAccounts :one
SELECT COUNT(*) FROM service_accounts s
WHERE s.organization_id = @organization_id AND s.suspended_at = 0 AND s.valid_until > @now;
