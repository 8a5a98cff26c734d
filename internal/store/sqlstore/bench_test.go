package sqlstore_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/audit"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/identity"
	"github.com/musterhq/muster/internal/page"
	"github.com/musterhq/muster/internal/store/pgtest"
	"github.com/musterhq/muster/internal/store/sqlstore"
	"github.com/musterhq/muster/internal/token"
)

// benchmark runs fn on both engines, in an organization. PostgreSQL does not
// wait for its disk here; see pgtest.
func benchmark(b *testing.B, fn func(*testing.B, *sqlstore.Store, id.Organization)) {
	for name, options := range map[string]func(*testing.B) sqlstore.Options{
		"SQLite":     func(b *testing.B) sqlstore.Options { return sqlstore.Options{DataDir: b.TempDir()} },
		"PostgreSQL": func(b *testing.B) sqlstore.Options { return sqlstore.Options{URL: pgtest.URL(b)} },
	} {
		b.Run(name, func(b *testing.B) {
			s, err := sqlstore.Open(b.Context(), options(b))
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close() //nolint:errcheck // the benchmark is over
			o := identity.Organization{ID: id.Organization(id.New()), Name: "o", CreatedAt: time.Now()}
			if err := s.Identity().Write(b.Context(), func(tx identity.Tx) error { return tx.InsertOrganization(b.Context(), o) }); err != nil {
				b.Fatal(err)
			}
			fn(b, s, o.ID)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "op/s")
		})
	}
}

func benchRunner(o id.Organization) fleet.Runner {
	return fleet.Runner{
		ID: id.Runner(id.New()), Organization: o, Name: "a runner", Kind: fleet.KindRemote, Provider: fleet.ProviderLinuxHost,
		Creator: access.Subject{Principal: access.PrincipalUser, ID: id.New()}, CreatedAt: time.Now(), Revision: 1,
		Configuration: fleet.Configuration{Region: "eu-central-1", AutoUpdate: true},
	}
}

// create is what CreateRunner writes.
func create(b *testing.B, s *sqlstore.Store, o id.Organization) fleet.Runner {
	r := benchRunner(o)
	_, hash := token.New(token.Exchange)
	err := s.Fleet().Write(b.Context(), func(tx fleet.Tx) error {
		if err := tx.InsertRunner(b.Context(), r); err != nil {
			return err
		}
		if err := tx.InsertToken(b.Context(), token.Record{
			ID: id.Token(id.New()), Organization: o, Kind: token.Exchange, Hash: hash,
			Subject: access.Subject{Principal: access.PrincipalRunner, ID: string(r.ID)}, CreatedAt: r.CreatedAt,
		}); err != nil {
			return err
		}
		return tx.InsertAuditEntry(b.Context(), audit.Entry{ID: id.New(), Organization: o, Action: "runner.create", CreatedAt: r.CreatedAt})
	})
	if err != nil {
		b.Error(err)
	}
	return r
}

func BenchmarkReadRunner(b *testing.B) {
	benchmark(b, func(b *testing.B, s *sqlstore.Store, o id.Organization) {
		runners := make([]id.Runner, 1000)
		for i := range runners {
			runners[i] = create(b, s, o).ID
		}
		b.ReportAllocs()
		b.ResetTimer()
		for i := range b.N {
			if _, ok, err := s.Fleet().Runner(b.Context(), runners[i%len(runners)]); err != nil || !ok {
				b.Fatal(ok, err)
			}
		}
	})
}

func BenchmarkCredential(b *testing.B) {
	benchmark(b, func(b *testing.B, s *sqlstore.Store, o id.Organization) {
		r := create(b, s, o)
		_, hash := token.New(token.Runner)
		if err := s.Identity().Write(b.Context(), func(tx identity.Tx) error {
			return tx.InsertToken(b.Context(), token.Record{
				ID: id.Token(id.New()), Organization: o, Kind: token.Runner, Hash: hash,
				Subject: access.Subject{Principal: access.PrincipalRunner, ID: string(r.ID)},
			})
		}); err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		b.ResetTimer()
		for range b.N {
			if _, ok, err := s.Identity().Credential(b.Context(), hash); err != nil || !ok {
				b.Fatal(ok, err)
			}
		}
	})
}

func BenchmarkCreateRunner(b *testing.B) {
	for _, writers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			benchmark(b, func(b *testing.B, s *sqlstore.Store, o id.Organization) {
				b.ResetTimer()
				var done atomic.Int64
				work := make(chan struct{})
				for range writers {
					go func() {
						for done.Add(1) <= int64(b.N) {
							create(b, s, o)
						}
						work <- struct{}{}
					}()
				}
				for range writers {
					<-work
				}
			})
		})
	}
}

// A page of 25 in the middle of 20,000 runners.
func BenchmarkListRunners(b *testing.B) {
	benchmark(b, func(b *testing.B, s *sqlstore.Store, o id.Organization) {
		start := time.Now()
		err := s.Fleet().Write(b.Context(), func(tx fleet.Tx) error {
			for i := range 20_000 {
				r := benchRunner(o)
				r.CreatedAt = start.Add(time.Duration(i) * time.Microsecond)
				if err := tx.InsertRunner(b.Context(), r); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
		q, err := page.Parse(page.Request{}, "")
		if err != nil {
			b.Fatal(err)
		}
		q.After = &page.Cursor{Key: fmt.Sprintf("%016x", start.Add(10*time.Millisecond).UnixMicro())}
		b.ResetTimer()
		for range b.N {
			rows, err := s.Fleet().Runners(b.Context(), fleet.Query{Organization: o, Reach: access.Reach{All: true}, Page: q})
			if err != nil || len(rows) != q.Limit+1 {
				b.Fatal(len(rows), err)
			}
		}
	})
}
