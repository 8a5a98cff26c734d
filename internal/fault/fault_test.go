package fault_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/musterhq/muster/internal/fault"
)

var errDriver = errors.New("pq: password authentication failed for user muster")

func TestWrapHidesWhatItWraps(t *testing.T) {
	f := fault.From(fault.Wrap(errDriver, "reading the runner"))
	if f.Code != fault.Internal || strings.Contains(f.Message, "pq") || !strings.Contains(f.Message, "reading the runner") {
		t.Errorf("told: %s", f.Message)
	}
	if !errors.Is(f, errDriver) || !strings.Contains(f.Error(), "pq") {
		t.Errorf("logged: %v", f)
	}
}

func TestWrapKeepsFaults(t *testing.T) {
	missing := fault.Missing("runner", "x")
	if err := fault.Wrap(fmt.Errorf("around it: %w", missing), "reading"); fault.From(err) != missing {
		t.Errorf("Wrap = %v", err)
	}
	if fault.Wrap(nil, "reading") != nil {
		t.Error("Wrap(nil) is an error")
	}
	if err := fault.Wrap(context.Canceled, "reading"); !fault.Is(err, fault.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	if err := fault.Wrap(context.DeadlineExceeded, "reading"); !fault.Is(err, fault.DeadlineExceeded) {
		t.Errorf("too late: %v", err)
	}
	if f := fault.From(errDriver); f.Code != fault.Internal || !errors.Is(f, errDriver) {
		t.Errorf("From = %v", f)
	}
}

func TestWithMethodsReturnCopies(t *testing.T) {
	base := fault.New(fault.Unavailable, fault.RunnerOffline, "The runner is offline.")
	later := base.WithRetryAfter(5).WithCause(errDriver)
	if base.RetryAfter != 0 || errors.Is(base, errDriver) || later.RetryAfter != 5 || !errors.Is(later, errDriver) {
		t.Errorf("base %+v, later %+v", base, later)
	}
}
