// Package envclass is the domain of environment classes: the kinds of
// environment that runners offer, with settings that the schema of the runner
// has rules for.
//
// It knows nothing of the wire and nothing of SQL. Classes belong to runners,
// and who may see and change them follows from the runner (package fleet).
package envclass

import (
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/resource"
	"github.com/musterhq/muster/internal/runnerschema"
)

// Class is a kind of environment that a runner can make.
type Class struct {
	ID           string
	Organization id.Organization
	Runner       id.Runner
	DisplayName  string
	Description  string
	// Configuration holds exactly what the class was created with, each key once,
	// and never changes.
	Configuration []runnerschema.Value
	// Enabled tells whether new environments may be made of it.
	Enabled   bool
	CreatedAt time.Time
	UpdatedAt time.Time
	// Revision guards against lost updates.
	Revision int64
}

// object is the class as permissions see it: like its runner.
func (c *Class) object(r *fleet.Runner) access.Object {
	o := r.Object().Of(resource.EnvironmentClass, c.ID)
	o.Name = c.DisplayName
	return o
}
