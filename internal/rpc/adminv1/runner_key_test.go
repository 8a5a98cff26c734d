package adminv1_test

import (
	"testing"

	"github.com/musterhq/muster/gen/muster/admin/v1"
	"github.com/musterhq/muster/internal/fleet"
)

// The numbers of the fleet's enumeration are cast to those of the wire, and
// stand in queries.
func TestKeyOperationsHaveTheNumbersOfTheWire(t *testing.T) {
	for op, want := range map[fleet.KeyOperation]string{
		fleet.KeyFirst:     "RUNNER_KEY_OPERATION_FIRST",
		fleet.KeyEndorsed:  "RUNNER_KEY_OPERATION_ENDORSED",
		fleet.KeyPresented: "RUNNER_KEY_OPERATION_PRESENTED",
		fleet.KeyApproved:  "RUNNER_KEY_OPERATION_APPROVED",
		fleet.KeyWithdrawn: "RUNNER_KEY_OPERATION_WITHDRAWN",
	} {
		if got := adminv1.RunnerKeyOperation(op).String(); got != want {
			t.Errorf("%d is %s, want %s", op, got, want)
		}
	}
	if n := len(adminv1.RunnerKeyOperation_name); n != 6 {
		t.Errorf("the wire has %d operations; the fleet knows 5 and none", n)
	}
}
