-- name: GetInstallation :one
SELECT installation_id FROM installation WHERE one = 1;

-- name: InsertInstallation :exec
INSERT INTO installation (one, installation_id) VALUES (1, @installation_id)
ON CONFLICT (one) DO NOTHING;
