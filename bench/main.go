// Command bench measures what the control plane costs, as ratios against the
// bare libraries that it is built on, within one run: absolute numbers differ
// from machine to machine, ratios hardly.
//
// Both sides of a ratio run in turn, several times, with the same client code,
// the same number of clients and connections, and messages of the same size.
// Servers are processes of their own. Run it with "make bench".
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"text/tabwriter"
	"time"
)

func main() {
	rounds := flag.Int("rounds", 5, "how often each side is measured")
	span := flag.Duration("span", 2*time.Second, "how long each measurement takes")
	check := flag.Bool("check", false, "exit with 1 when a target is missed")
	only := flag.String("only", "", "a regular expression; measure only the sets with such names: get, permission, create, renew, visibility")
	role := flag.String("role", "", "run as a server of a measurement (used by bench itself)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if *role != "" {
		fail(serve(ctx, *role))
		return
	}
	wanted, err := regexp.Compile(*only)
	fail(err)
	missed, err := measureAll(ctx, wanted, *rounds, *span)
	fail(err)
	if missed && *check {
		stop()
		os.Exit(1) //nolint:gocritic // stop has been called
	}
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// contest is one ratio: work of ours against work of the bare library.
type contest struct {
	name   string
	target float64
	// ours and bare do as much as they can until ctx ends, and return how many
	// operations that was.
	ours, bare func(ctx context.Context) (int64, error)
}

// result is the outcome of a contest, one value for each round.
type result struct {
	contest
	oursRate, bareRate, ratios []float64
}

// sets are the contests that share what they are measured on.
var sets = []struct {
	name string
	open func(ctx context.Context, dir string) ([]contest, func(), error)
}{
	{"get", getContests},
	{"permission", permissionContests},
	{"create", createContests},
	{"renew", renewContests},
	{"visibility", visibilityContests},
}

func measureAll(ctx context.Context, wanted *regexp.Regexp, rounds int, span time.Duration) (missed bool, err error) {
	dir, err := os.MkdirTemp("", "muster-bench-")
	if err != nil {
		return false, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	var results []result
	for _, set := range sets {
		if !wanted.MatchString(set.name) {
			continue
		}
		contests, closeSet, err := set.open(ctx, dir)
		if err != nil {
			return false, err
		}
		for _, c := range contests {
			r, err := run(ctx, c, rounds, span)
			if err != nil {
				closeSet()
				return false, fmt.Errorf("%s: %w", c.name, err)
			}
			results = append(results, r)
		}
		closeSet()
	}
	return report(results), nil
}

// run measures both sides in turn. Who goes first alternates.
func run(ctx context.Context, c contest, rounds int, span time.Duration) (result, error) {
	r := result{contest: c}
	for i := range rounds + 1 {
		rates := [2]float64{}
		for j := range 2 {
			side := (i + j) % 2
			work := c.ours
			if side == 1 {
				work = c.bare
			}
			rate, err := rate(ctx, work, span)
			if err != nil {
				return r, err
			}
			rates[side] = rate
		}
		if i == 0 {
			continue // to warm up
		}
		fmt.Fprintf(os.Stderr, "%s, round %d of %d: %.0f/s against %.0f/s, ratio %.2f\n", c.name, i, rounds, rates[0], rates[1], rates[0]/rates[1])
		r.oursRate = append(r.oursRate, rates[0])
		r.bareRate = append(r.bareRate, rates[1])
		r.ratios = append(r.ratios, rates[0]/rates[1])
	}
	return r, nil
}

func rate(ctx context.Context, work func(context.Context) (int64, error), span time.Duration) (float64, error) {
	limited, cancel := context.WithTimeout(ctx, span)
	defer cancel()
	begun := time.Now()
	n, err := work(limited)
	if err == nil {
		err = ctx.Err()
	}
	return float64(n) / time.Since(begun).Seconds(), err
}

func report(results []result) (missed bool) {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "MEASUREMENT\tMUSTER/S\tBARE/S\tRATIO MIN\tMEDIAN\tMAX\tTARGET\t")
	for _, r := range results {
		verdict := "met"
		if median(r.ratios) < r.target {
			verdict, missed = "MISSED", true
		}
		_, _ = fmt.Fprintf(w, "%s\t%.0f\t%.0f\t%.2f\t%.2f\t%.2f\t≥ %.2f\t%s\n", r.name, median(r.oursRate), median(r.bareRate),
			slices.Min(r.ratios), median(r.ratios), slices.Max(r.ratios), r.target, verdict)
	}
	_ = w.Flush()
	return missed
}

func median(values []float64) float64 {
	s := slices.Sorted(slices.Values(values))
	return s[len(s)/2]
}
