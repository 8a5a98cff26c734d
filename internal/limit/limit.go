// Package limit says how many of a thing there may be, so that nobody makes more
// than can be listed, counted and removed again. Whoever has more keeps it, and
// makes no new ones.
package limit

import "github.com/musterhq/muster/internal/fault"

// Limits are how many there may be at most. What has expired does not count.
type Limits struct {
	// PersonalTokens is for one person, ServiceAccountTokens for one service
	// account, and ExchangeTokens for one runner.
	PersonalTokens, ServiceAccountTokens, ExchangeTokens int64
	// The others are for one organization.
	Groups, ServiceAccounts, Runners int64
}

// Default are the limits unless an operator sets others.
func Default() Limits {
	return Limits{
		PersonalTokens: 100, ServiceAccountTokens: 100, ExchangeTokens: 100,
		Groups: 10_000, ServiceAccounts: 10_000, Runners: 100_000,
	}
}

// Reached is the fault of one more than there may be. The format says what there
// is too much of, and what to do.
func Reached(format string, args ...any) error {
	return fault.New(fault.FailedPrecondition, fault.LimitReached, format, args...)
}
