-- name: InsertEnvironmentClass :exec
INSERT INTO environment_classes (
    id, organization_id, runner_id, display_name, description, configuration, enabled, created_at, updated_at, revision
) VALUES (
    @id, @organization_id, @runner_id, @display_name, @description, @configuration, @enabled, @created_at, @updated_at, @revision
);

-- name: GetEnvironmentClass :one
SELECT c.* FROM environment_classes c WHERE c.id = @id
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = c.runner_id) <> 1;

-- name: UpdateEnvironmentClass :execrows
UPDATE environment_classes SET
    display_name = @display_name, description = @description, enabled = @enabled, updated_at = @updated_at,
    revision = revision + 1
WHERE id = @id AND revision = @revision;

-- The three lists below differ in what they walk: all classes of the organization,
-- those of one runner, or those of the runners that a viewer sees. The masks
-- @enabled and @usable have bit 0 for no and bit 1 for yes. Usable is a class that
-- is enabled, of a runner that is not being deleted and that the caller uses: any
-- runner (uses is 1), one that @user_id made, and one on which a group of
-- @user_id has a role of the mask @use_roles.
--
-- What is asked of the runner is one number for each class, and not a join or an
-- EXISTS: those may be answered for all classes at once, before the first is
-- passed on.

-- name: ListEnvironmentClasses :many
SELECT * FROM environment_classes c
WHERE c.organization_id = @organization_id
  AND (c.created_at, c.id) > (@after_at, CAST(@after_id AS TEXT))
  AND (CAST(@enabled AS BIGINT) & CASE WHEN c.enabled THEN 2 ELSE 1 END) <> 0
  AND (
    SELECT CASE WHEN ((CAST(@kinds AS BIGINT) >> r.kind) & 1) <> 0
      AND ((CAST(@providers AS BIGINT) >> r.provider) & 1) <> 0
      AND (
        CAST(@usable AS BIGINT) = 3 OR (CAST(@usable AS BIGINT) & CASE WHEN c.enabled AND r.deleting_at = 0 AND (
          CAST(@uses AS BIGINT) = 1 OR r.creator_id = NULLIF(CAST(@user_id AS TEXT), '') OR (
            SELECT COUNT(*) FROM memberships m JOIN role_assignments a ON a.group_id = m.group_id
            WHERE m.subject_id = CAST(@user_id AS TEXT) AND a.resource_type = 2 AND a.resource_id = r.id
              AND a.resource_role < 63 AND ((CAST(@use_roles AS BIGINT) >> a.resource_role) & 1) <> 0
              AND (SELECT COUNT(*) FROM removals d WHERE d.id = a.group_id) <> 1
          ) > 0
        ) THEN 2 ELSE 1 END) <> 0
      )
    THEN 1 ELSE 0 END
    FROM runners r WHERE r.id = c.runner_id
  ) <> 0
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = c.runner_id) <> 1
ORDER BY c.created_at, c.id
LIMIT @max_rows;

-- name: ListEnvironmentClassesOfRunner :many
SELECT * FROM environment_classes c
WHERE c.organization_id = @organization_id AND c.runner_id = @runner_id
  AND (c.created_at, c.id) > (@after_at, CAST(@after_id AS TEXT))
  AND (CAST(@enabled AS BIGINT) & CASE WHEN c.enabled THEN 2 ELSE 1 END) <> 0
  AND (
    SELECT CASE WHEN ((CAST(@kinds AS BIGINT) >> r.kind) & 1) <> 0
      AND ((CAST(@providers AS BIGINT) >> r.provider) & 1) <> 0
      AND (
        CAST(@usable AS BIGINT) = 3 OR (CAST(@usable AS BIGINT) & CASE WHEN c.enabled AND r.deleting_at = 0 AND (
          CAST(@uses AS BIGINT) = 1 OR r.creator_id = NULLIF(CAST(@user_id AS TEXT), '') OR (
            SELECT COUNT(*) FROM memberships m JOIN role_assignments a ON a.group_id = m.group_id
            WHERE m.subject_id = CAST(@user_id AS TEXT) AND a.resource_type = 2 AND a.resource_id = r.id
              AND a.resource_role < 63 AND ((CAST(@use_roles AS BIGINT) >> a.resource_role) & 1) <> 0
              AND (SELECT COUNT(*) FROM removals d WHERE d.id = a.group_id) <> 1
          ) > 0
        ) THEN 2 ELSE 1 END) <> 0
      )
    THEN 1 ELSE 0 END
    FROM runners r WHERE r.id = c.runner_id
  ) <> 0
  AND (SELECT COUNT(*) FROM removals d WHERE d.id = c.runner_id) <> 1
ORDER BY c.created_at, c.id
LIMIT @max_rows;

-- name: ListEnvironmentClassesSeenBy :many
SELECT c.* FROM runner_viewers v
JOIN environment_classes c ON c.runner_id = v.runner_id
WHERE v.organization_id = @organization_id AND v.viewer_id = @viewer_id
  AND (c.created_at, c.id) > (@after_at, CAST(@after_id AS TEXT))
  AND (CAST(@enabled AS BIGINT) & CASE WHEN c.enabled THEN 2 ELSE 1 END) <> 0
  AND (
    SELECT CASE WHEN ((CAST(@kinds AS BIGINT) >> r.kind) & 1) <> 0
      AND ((CAST(@providers AS BIGINT) >> r.provider) & 1) <> 0
      AND (
        CAST(@usable AS BIGINT) = 3 OR (CAST(@usable AS BIGINT) & CASE WHEN c.enabled AND r.deleting_at = 0 AND (
          CAST(@uses AS BIGINT) = 1 OR r.creator_id = NULLIF(CAST(@user_id AS TEXT), '') OR (
            SELECT COUNT(*) FROM memberships m JOIN role_assignments a ON a.group_id = m.group_id
            WHERE m.subject_id = CAST(@user_id AS TEXT) AND a.resource_type = 2 AND a.resource_id = r.id
              AND a.resource_role < 63 AND ((CAST(@use_roles AS BIGINT) >> a.resource_role) & 1) <> 0
              AND (SELECT COUNT(*) FROM removals d WHERE d.id = a.group_id) <> 1
          ) > 0
        ) THEN 2 ELSE 1 END) <> 0
      )
    THEN 1 ELSE 0 END
    FROM runners r WHERE r.id = c.runner_id
  ) <> 0
ORDER BY c.created_at, c.id
LIMIT @max_rows;
