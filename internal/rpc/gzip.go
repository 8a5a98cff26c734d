package rpc

import (
	"compress/gzip"
	"io"

	"connectrpc.com/connect"

	"github.com/musterhq/muster/internal/rpc/rpcerr"
)

// withGzip replaces connect's gzip by one whose decompressor stops at the
// limit. connect's own goes on to count how large the message would have been,
// and so does a thousand times the work that a small body asks for.
func withGzip(limit int) connect.HandlerOption {
	return connect.WithCompression("gzip",
		func() connect.Decompressor { return &boundedGzip{limit: int64(limit)} },
		func() connect.Compressor { return gzip.NewWriter(io.Discard) },
	)
}

type boundedGzip struct {
	gzip.Reader

	limit, read int64
}

func (b *boundedGzip) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	b.read += int64(n)
	if b.read > b.limit {
		e := rpcerr.New(tooLarge(b.limit), "")
		// The answer has this header already; see call.receive.
		e.Meta().Del(rpcerr.ShouldRetry)
		return n, e
	}
	return n, err
}

func (b *boundedGzip) Reset(r io.Reader) error {
	b.read = 0
	return b.Reader.Reset(r)
}
