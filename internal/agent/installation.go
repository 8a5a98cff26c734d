package agent

import (
	"fmt"

	"github.com/musterhq/muster/internal/id"
)

// installationHeader is where every answer of a control plane says which
// installation it is.
const installationHeader = "Muster-Installation"

// isForeign tells whether a control plane that names an installation is not the
// one that this runner joined, as far as that is known.
func (r *runner) isForeign(installation string) bool {
	return r.identity.InstallationID != "" && r.identity.InstallationID != id.Canonical(installation)
}

// meet remembers the installation of a control plane that knows this runner. Older
// ones name none.
func (r *runner) meet(installation string) {
	if !id.Valid(installation) || !r.isForeign(installation) && r.identity.InstallationID != "" {
		return
	}
	if r.identity.InstallationID != "" {
		r.log.Warn("the control plane knows this runner and is another installation than before", "was", r.identity.InstallationID, "is", installation)
	}
	r.identity.InstallationID, r.unsaved = id.Canonical(installation), true
}

// wrongPlane says that a control plane is not the one that this runner joined.
func (r *runner) wrongPlane(installation, does string) string {
	which := "names no installation"
	if installation != "" {
		which = fmt.Sprintf("is the installation %s", printable(installation, 64))
	}
	return fmt.Sprintf("a wrong control plane: %s %s, %s, and this runner joined the installation %s. Check --server, and that the control plane has its own database",
		r.server, does, which, r.identity.InstallationID)
}
