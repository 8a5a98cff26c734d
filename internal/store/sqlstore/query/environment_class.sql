-- name: InsertEnvironmentClass :exec
INSERT INTO environment_classes (
    id, organization_id, runner_id, display_name, description, configuration, enabled, created_at, updated_at, revision
) VALUES (
    @id, @organization_id, @runner_id, @display_name, @description, @configuration, @enabled, @created_at, @updated_at, @revision
);

-- name: GetEnvironmentClass :one
SELECT * FROM environment_classes WHERE id = @id;

-- name: UpdateEnvironmentClass :execrows
UPDATE environment_classes SET
    display_name = @display_name, description = @description, enabled = @enabled, updated_at = @updated_at,
    revision = revision + 1
WHERE id = @id AND revision = @revision;

-- The two lists below differ in the index that they walk: all classes of the
-- organization, or those of one runner. Of what they pass they keep the classes
-- of runners that the caller sees: all (sees is 1), those that @creator_id made,
-- and those on which one of @group_ids has a role; and uses: all (uses is 1),
-- those that @user_id made, and those on which one of @using_group_ids has a
-- role of the mask @use_roles. Groups are one text, and nobody is the empty one.
-- The masks @enabled and @usable have bit 0 for no and bit 1 for yes.
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
    SELECT CASE WHEN
      ((CAST(@kinds AS BIGINT) >> r.kind) & 1) <> 0
      AND ((CAST(@providers AS BIGINT) >> r.provider) & 1) <> 0
      AND (
        CAST(@sees AS BIGINT) = 1 OR r.creator_id = NULLIF(CAST(@creator_id AS TEXT), '') OR (
          SELECT COUNT(*) FROM role_assignments a
          WHERE a.runner_id = r.id AND CAST(@group_ids AS TEXT) LIKE '%' || a.group_id || '%'
        ) > 0
      )
      AND (
        CAST(@usable AS BIGINT) = 3 OR (CAST(@usable AS BIGINT) & CASE WHEN c.enabled AND r.deleting_at = 0 AND (
          CAST(@uses AS BIGINT) = 1 OR r.creator_id = NULLIF(CAST(@user_id AS TEXT), '') OR (
            SELECT COUNT(*) FROM role_assignments b
            WHERE b.runner_id = r.id AND CAST(@using_group_ids AS TEXT) LIKE '%' || b.group_id || '%'
              AND b.resource_role < 63 AND ((CAST(@use_roles AS BIGINT) >> b.resource_role) & 1) <> 0
          ) > 0
        ) THEN 2 ELSE 1 END) <> 0
      )
    THEN 1 ELSE 0 END
    FROM runners r WHERE r.id = c.runner_id
  ) <> 0
ORDER BY c.created_at, c.id
LIMIT @max_rows;

-- name: ListEnvironmentClassesOfRunner :many
SELECT * FROM environment_classes c
WHERE c.organization_id = @organization_id AND c.runner_id = @runner_id
  AND (c.created_at, c.id) > (@after_at, CAST(@after_id AS TEXT))
  AND (CAST(@enabled AS BIGINT) & CASE WHEN c.enabled THEN 2 ELSE 1 END) <> 0
  AND (
    SELECT CASE WHEN
      ((CAST(@kinds AS BIGINT) >> r.kind) & 1) <> 0
      AND ((CAST(@providers AS BIGINT) >> r.provider) & 1) <> 0
      AND (
        CAST(@sees AS BIGINT) = 1 OR r.creator_id = NULLIF(CAST(@creator_id AS TEXT), '') OR (
          SELECT COUNT(*) FROM role_assignments a
          WHERE a.runner_id = r.id AND CAST(@group_ids AS TEXT) LIKE '%' || a.group_id || '%'
        ) > 0
      )
      AND (
        CAST(@usable AS BIGINT) = 3 OR (CAST(@usable AS BIGINT) & CASE WHEN c.enabled AND r.deleting_at = 0 AND (
          CAST(@uses AS BIGINT) = 1 OR r.creator_id = NULLIF(CAST(@user_id AS TEXT), '') OR (
            SELECT COUNT(*) FROM role_assignments b
            WHERE b.runner_id = r.id AND CAST(@using_group_ids AS TEXT) LIKE '%' || b.group_id || '%'
              AND b.resource_role < 63 AND ((CAST(@use_roles AS BIGINT) >> b.resource_role) & 1) <> 0
          ) > 0
        ) THEN 2 ELSE 1 END) <> 0
      )
    THEN 1 ELSE 0 END
    FROM runners r WHERE r.id = c.runner_id
  ) <> 0
ORDER BY c.created_at, c.id
LIMIT @max_rows;
