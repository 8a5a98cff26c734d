// Package scm_test connects runners to source code hosts as people do: with the
// real binary, a real Gitea, a browser's requests, and fakes of the kinds of
// host that nobody can run here. It looks at what comes of it through the command
// line and the public API, and at the end for every secret in every place where
// it does not belong.
package scm_test

import (
	"flag"
	"testing"

	"github.com/musterhq/muster/test/muster"
)

// atOnce is how many tests run at the same time. They mostly wait.
const atOnce = "8"

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", atOnce); err != nil {
		panic(err)
	}
	muster.Main(m)
}
