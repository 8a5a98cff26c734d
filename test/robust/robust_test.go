// Package robust_test does to running processes what happens to them: kills
// them, freezes them, starts them twice, and sends them nonsense. It looks at
// what comes of it through the public API.
package robust_test

import (
	"flag"
	"testing"

	"github.com/musterhq/muster/test/muster"
)

// atOnce is how many tests run at the same time. They do little but wait for
// leases to end.
const atOnce = "32"

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", atOnce); err != nil {
		panic(err)
	}
	muster.Main(m)
}
