// Package robust_test does to running processes what happens to them: kills
// them, freezes them, starts them twice, and sends them nonsense. It looks at
// what comes of it through the public API only.
package robust_test

import (
	"testing"

	"github.com/musterhq/muster/test/muster"
)

func TestMain(m *testing.M) { muster.Main(m) }
