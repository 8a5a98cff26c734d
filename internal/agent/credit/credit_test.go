package credit_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"github.com/musterhq/muster/internal/agent/credit"
)

// Whatever is written and however credit comes: never more bytes than credit,
// never a chunk that is too large or empty, nothing lost, nothing reordered,
// and no credit unused while bytes wait.
func TestCreditIsKeptExactly(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		writes := rapid.SliceOfN(rapid.IntRange(0, 3*credit.MaxChunk), 1, 4).Draw(rt, "writes")
		initial := rapid.Uint32Range(0, credit.MaxChunk).Draw(rt, "initial")
		total := 0
		for _, n := range writes {
			total += n
		}
		synctest.Test(t, func(t *testing.T) {
			sent := 0
			w := credit.NewWriter(t.Context(), initial, func(_ context.Context, chunk []byte) error {
				if len(chunk) == 0 || len(chunk) > credit.MaxChunk {
					t.Errorf("a chunk has %d bytes", len(chunk))
				}
				for i, b := range chunk {
					if b != pattern(sent+i) {
						t.Fatalf("byte %d is wrong", sent+i)
					}
				}
				sent += len(chunk)
				return nil
			})
			go func() {
				at := 0
				for _, n := range writes {
					p := make([]byte, n)
					for i := range p {
						p[i] = pattern(at + i)
					}
					at += n
					if got, err := w.Write(p); got != n || err != nil {
						t.Errorf("wrote %d of %d: %v", got, n, err)
					}
					clear(p) // the writer may not need it any more
				}
			}()
			given := int(initial)
			for {
				synctest.Wait()
				if sent != min(given, total) {
					t.Fatalf("sent %d of %d bytes with a credit of %d", sent, total, given)
				}
				if sent == total {
					return
				}
				more := rapid.Uint32Range(1, 2*credit.MaxChunk).Draw(rt, "more")
				w.Add(more)
				given += int(more)
			}
		})
	})
}

func pattern(i int) byte { return byte(i*7 + i>>8) }

func TestWaitingEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	w := credit.NewWriter(ctx, 3, func(context.Context, []byte) error { return nil })
	cancel()
	if n, err := w.Write([]byte("hello")); n != 3 || !errors.Is(err, context.Canceled) {
		t.Errorf("got %d, %v", n, err)
	}
}
