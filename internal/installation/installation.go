// Package installation tells which database and which data directory belong
// together.
//
// Both carry the id of the installation. The database gets it at the first start,
// the directory once that start is complete, so that a start that is killed at any
// point can be repeated. What was made before there was such an id takes that of
// its counterpart, or a new one.
package installation

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/musterhq/muster/internal/durable"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/id"
)

// fileName is the file with the id in the data directory.
const fileName = "installation-id"

// Database is what is known of a database before it is used.
type Database struct {
	// Name is what people call it, such as the path of its file.
	Name string
	// ID is its installation; empty when it has none.
	ID string
	// Filled says that a first start is complete in it.
	Filled bool
}

// Read returns the id of a data directory; empty when it has none.
func Read(dir string) (string, error) {
	path := filepath.Join(dir, fileName)
	raw, err := os.ReadFile(path) //nolint:gosec // the operator names the directory
	switch text := strings.TrimSpace(string(raw)); {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "", fault.New(fault.FailedPrecondition, fault.StorageUnavailable,
			"The file %s, which says to which installation the data directory belongs, cannot be read. Make it readable for the user that muster runs as.", path).WithCause(err)
	case !id.Valid(text):
		return "", fault.New(fault.FailedPrecondition, fault.StorageUnavailable,
			"The file %s is damaged: it has to hold the id of the installation. Restore it, or remove it if the data directory and the database belong together.", path)
	default:
		return id.Canonical(text), nil
	}
}

// Write makes an installation that of a data directory. It returns once the file
// would survive a loss of power, and leaves the old one or the new one.
func Write(dir, installation string) error {
	if err := durable.Write(filepath.Join(dir, fileName), []byte(installation+"\n")); err != nil {
		return fmt.Errorf("installation: %w", err)
	}
	return nil
}

// RemoveLeftovers removes what a process left that died in Write.
func RemoveLeftovers(dir string) { durable.RemoveLeftovers(filepath.Join(dir, fileName)) }

// Check refuses a database that does not belong to a data directory with that
// installation; empty is one that has none yet.
func Check(dir, installation string, d Database) error {
	switch {
	case installation == "" || installation == d.ID:
		return nil
	case d.ID != "":
		return wrong("The data directory %s belongs to the installation %s, and the database %s to the installation %s. "+
			"Name the database that belongs to the directory. If you have restored this one, or moved to it, on purpose, start once with --accept-database.",
			dir, installation, d.Name, d.ID)
	case d.Filled:
		return wrong("The data directory %s belongs to the installation %s, and the database %s does not say to which it belongs: it was made by an older version, or by another installation. "+
			"Name the database that belongs to the directory. If you have restored this one from an old backup, start once with --accept-database.",
			dir, installation, d.Name)
	default:
		return wrong("The data directory %s belongs to the installation %s, and the database %s is empty. "+
			"Nothing is begun anew in its place: restore the whole database (of SQLite, muster.db and, unless the control plane was stopped in order, muster.db-wal), or name the right one. "+
			"To begin a new installation, use another data directory; or here, start once with --accept-database.",
			dir, installation, d.Name)
	}
}

func wrong(format string, args ...any) error {
	return fault.New(fault.FailedPrecondition, fault.StorageUnavailable, format, args...)
}

// Candidate is the id for a database that has none and that was accepted.
func Candidate(installation string, d Database) string {
	if d.Filled && installation != "" {
		return installation
	}
	return id.New()
}
