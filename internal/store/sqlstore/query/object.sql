-- What decides about single things, for those who check permissions on any type.

-- GetPrincipal returns a user or a service account: its name, whether it is gone
-- for good, and what could make its tokens refused. Status 2 is "suspended" and
-- 3 is "left".
-- name: GetPrincipal :one
SELECT CAST(2 AS INTEGER) AS principal, u.id, u.name, CAST(CASE WHEN u.status = 3 THEN 1 ELSE 0 END AS INTEGER) AS gone,
    CAST(CASE WHEN u.status = 2 THEN 1 ELSE 0 END AS INTEGER) AS suspended, CAST(0 AS BIGINT) AS valid_until
FROM users u WHERE u.organization_id = @organization_id AND u.id = @id
UNION ALL
SELECT 5, s.id, s.name, CASE WHEN s.suspended_at > 0 THEN 1 ELSE 0 END, 0, s.valid_until
FROM service_accounts s WHERE s.organization_id = @organization_id AND s.id = @id;

-- GetTokenObject returns whose a personal access token or a service account's
-- token is; kind is the one wanted.
-- name: GetTokenObject :one
SELECT t.user_id, t.service_account_id FROM tokens t
WHERE t.organization_id = @organization_id AND t.id = @id AND t.kind = @kind
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = COALESCE(t.user_id, t.runner_id, t.service_account_id)) <> 1;

-- GetBelonging returns the runner and the owner of what belongs to a runner.
-- name: GetBelonging :one
SELECT CAST(9 AS INTEGER) AS resource_type, c.runner_id, CAST(0 AS INTEGER) AS owner_principal, CAST('' AS TEXT) AS owner_id
FROM environment_classes c WHERE c.id = @id AND (SELECT COUNT(*) FROM removals d WHERE d.id = c.runner_id) <> 1
UNION ALL
SELECT 10, i.runner_id, 0, '' FROM scm_integrations i WHERE i.id = @id AND (SELECT COUNT(*) FROM removals d WHERE d.id = i.runner_id) <> 1
UNION ALL
SELECT 20, l.runner_id, 0, '' FROM llm_integrations l WHERE l.id = @id AND (SELECT COUNT(*) FROM removals d WHERE d.id = l.runner_id) <> 1
UNION ALL
SELECT 11, h.runner_id, h.subject_principal, h.subject_id FROM host_tokens h WHERE h.id = @id AND (SELECT COUNT(*) FROM removals d WHERE d.id = h.runner_id) <> 1 AND (SELECT COUNT(*) FROM removals d WHERE d.id = h.subject_id) <> 1
  AND CASE WHEN (
    SELECT COUNT(*) FROM removals d WHERE d.host_runner = h.runner_id AND d.host_lower = h.host_lower AND h.generation < d.generation
      AND (d.sources & CASE WHEN h.source = 1 THEN 1 ELSE 2 END) <> 0
  ) = 0 THEN 1 ELSE 0 END <> 0;
