-- What is sealed to a runner, apart from its own configuration. The numbers are
-- those of the wire's resource types.

-- name: ListSealed :many
SELECT CAST(10 AS INTEGER) AS resource_type, i.id, CAST('client_secret' AS TEXT) AS part, i.host AS about,
    CAST(0 AS INTEGER) AS owner_principal, CAST('' AS TEXT) AS owner_id, i.oauth_client_secret AS sealed
FROM scm_integrations i WHERE i.runner_id = @runner_id
UNION ALL
SELECT 11, h.id, 'token', h.host, h.subject_principal, h.subject_id, h.token
FROM host_tokens h WHERE h.runner_id = @runner_id
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = h.runner_id) <> 1
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = h.subject_id) <> 1
  AND CASE WHEN (
    SELECT COUNT(*) FROM removals d WHERE d.host_runner = h.runner_id AND d.host_lower = h.host_lower AND h.generation < d.generation
      AND (d.sources & CASE WHEN h.source = 1 THEN 1 ELSE 2 END) <> 0
  ) = 0 THEN 1 ELSE 0 END <> 0
UNION ALL
SELECT 11, h.id, 'refresh_token', h.host, h.subject_principal, h.subject_id, h.refresh_token
FROM host_tokens h WHERE h.runner_id = @runner_id
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = h.runner_id) <> 1
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = h.subject_id) <> 1
  AND CASE WHEN (
    SELECT COUNT(*) FROM removals d WHERE d.host_runner = h.runner_id AND d.host_lower = h.host_lower AND h.generation < d.generation
      AND (d.sources & CASE WHEN h.source = 1 THEN 1 ELSE 2 END) <> 0
  ) = 0 THEN 1 ELSE 0 END <> 0
UNION ALL
SELECT 20, l.id, 'api_key', l.endpoint, 0, '', l.api_key
FROM llm_integrations l WHERE l.runner_id = @runner_id;

-- name: ListSealedHeaders :many
SELECT id, endpoint, headers FROM llm_integrations WHERE runner_id = @runner_id AND headers <> '[]';

-- ListSealedOf is ListSealed for one thing that belongs to the runner.
-- name: ListSealedOf :many
SELECT CAST(10 AS INTEGER) AS resource_type, i.id, CAST('client_secret' AS TEXT) AS part, i.host AS about,
    CAST(0 AS INTEGER) AS owner_principal, CAST('' AS TEXT) AS owner_id, i.oauth_client_secret AS sealed
FROM scm_integrations i WHERE i.id = @id AND i.runner_id = @runner_id
UNION ALL
SELECT 11, h.id, 'token', h.host, h.subject_principal, h.subject_id, h.token
FROM host_tokens h WHERE h.id = @id AND h.runner_id = @runner_id
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = h.runner_id) <> 1
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = h.subject_id) <> 1
  AND CASE WHEN (
    SELECT COUNT(*) FROM removals d WHERE d.host_runner = h.runner_id AND d.host_lower = h.host_lower AND h.generation < d.generation
      AND (d.sources & CASE WHEN h.source = 1 THEN 1 ELSE 2 END) <> 0
  ) = 0 THEN 1 ELSE 0 END <> 0
UNION ALL
SELECT 11, h.id, 'refresh_token', h.host, h.subject_principal, h.subject_id, h.refresh_token
FROM host_tokens h WHERE h.id = @id AND h.runner_id = @runner_id
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = h.runner_id) <> 1
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = h.subject_id) <> 1
  AND CASE WHEN (
    SELECT COUNT(*) FROM removals d WHERE d.host_runner = h.runner_id AND d.host_lower = h.host_lower AND h.generation < d.generation
      AND (d.sources & CASE WHEN h.source = 1 THEN 1 ELSE 2 END) <> 0
  ) = 0 THEN 1 ELSE 0 END <> 0
UNION ALL
SELECT 20, l.id, 'api_key', l.endpoint, 0, '', l.api_key
FROM llm_integrations l WHERE l.id = @id AND l.runner_id = @runner_id;

-- name: ListSealedHeadersOf :many
SELECT id, endpoint, headers FROM llm_integrations WHERE id = @id AND runner_id = @runner_id;
