package app_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"connectrpc.com/connect"

	"github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/gen/gitpod/v1/gitpodv1connect"
	"github.com/musterhq/muster/internal/app"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/store/pgtest"
)

// On PostgreSQL the new token works while the control plane goes on.
func TestResetAdminBesideARunningControlPlane(t *testing.T) {
	database := pgtest.URL(t)
	url, _ := start(t, func(c *app.Config) { c.DatabaseURL = database })
	made, err := app.ResetAdmin(t.Context(), app.Config{DatabaseURL: database}, "")
	if err != nil {
		t.Fatal(err)
	}
	me, err := gitpodv1connect.NewUserServiceClient(client(made.Token), url).GetAuthenticatedUser(t.Context(), connect.NewRequest(&gitpodv1.GetAuthenticatedUserRequest{}))
	if err != nil || me.Msg.GetUser().GetEmail() != made.Email {
		t.Errorf("the token is that of %v, %v; want %+v", me, err, made)
	}
}

func TestResetAdminThatIsRefused(t *testing.T) {
	used, empty := t.TempDir(), t.TempDir()
	_, stop := start(t, func(c *app.Config) { c.DataDir = used })
	for name, tt := range map[string]struct {
		cfg  app.Config
		says string
	}{
		"a data directory in use":      {app.Config{DataDir: used}, "Stop the control plane first"},
		"a directory without database": {app.Config{DataDir: empty}, "no database"},
		"nothing named":                {app.Config{}, "--data-dir"},
		"no such server":               {app.Config{DatabaseURL: "postgres://u:hunter2@127.0.0.1:1/x"}, "cannot be reached"},
	} {
		_, err := app.ResetAdmin(t.Context(), tt.cfg, "")
		if f := fault.From(err); f.Code == fault.Internal || !strings.Contains(f.Message, tt.says) || strings.Contains(f.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := os.Stat(filepath.Join(empty, "muster.db")); err == nil {
		t.Error("a database was made")
	}
	stop()
	if _, err := app.ResetAdmin(t.Context(), app.Config{DataDir: used}, "nowhere"); !fault.Is(err, fault.NotFound) {
		t.Errorf("an unknown organization: %v", err)
	}
}
