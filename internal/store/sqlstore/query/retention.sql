-- name: GetRetentionPolicy :one
SELECT never_connected_days, offline_days, audit_days FROM organizations WHERE id = @id;

-- name: ListRetentionPolicies :many
SELECT id, never_connected_days, offline_days, audit_days FROM organizations
WHERE never_connected_days > 0 OR offline_days > 0 OR audit_days > 0
ORDER BY id;

-- name: SetRetentionPolicy :execrows
UPDATE organizations SET
    never_connected_days = @never_connected_days, offline_days = @offline_days, audit_days = @audit_days
WHERE id = @id;

-- ListStaleRunners reads the runners of an organization that are old enough to
-- be stale in any way. 3 is the number of the kind that the system makes.
-- name: ListStaleRunners :many
SELECT
    r.id, r.name, r.created_at,
    COALESCE(s.epoch, 0) AS session_epoch, COALESCE(s.ended_at, 0) AS session_ended_at
FROM runners r
LEFT JOIN sessions s ON s.runner_id = r.id
WHERE r.organization_id = @organization_id
  AND r.created_at < CAST(@created_before AS BIGINT)
  AND (r.created_at, r.id) > (@after_at, CAST(@after_id AS TEXT))
  AND r.kind <> 3 AND r.deleting_at = 0
  AND CASE
      WHEN s.epoch IS NULL THEN r.created_at < CAST(@never_connected_before AS BIGINT)
      ELSE s.ended_at > 0 AND s.ended_at < CAST(@offline_before AS BIGINT)
  END
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = r.id) <> 1
ORDER BY r.created_at, r.id
LIMIT @max_rows;

-- name: CountAuditEntriesBefore :one
SELECT COUNT(*) FROM audit_entries WHERE organization_id = @organization_id AND created_at < @created_before;

-- DeleteExpiredTokens takes first what expired first. What was redeemed before a
-- time is a token that expires at most ExchangeLifetime after that.
-- name: DeleteExpiredTokens :many
DELETE FROM tokens WHERE id IN (
    SELECT t.id FROM tokens t
    WHERE t.expires_at > 0 AND t.expires_at < CAST(@expired_before AS BIGINT)
      AND CASE
          WHEN t.kind NOT IN ('exchange', 'saaccess') THEN t.expires_at < CAST(@long_before AS BIGINT)
          ELSE t.expires_at < CAST(@short_before AS BIGINT) OR t.used_at > 0 AND t.used_at < CAST(@short_before AS BIGINT)
      END
      AND (SELECT COUNT(*) FROM removals d WHERE d.id = COALESCE(t.user_id, t.runner_id, t.service_account_id)) <> 1
    ORDER BY t.expires_at, t.id
    LIMIT @max_rows
)
RETURNING *;
