package rpc

import (
	"compress/gzip"
	"errors"
	"io"

	"connectrpc.com/connect"

	"github.com/musterhq/muster/internal/fault"
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
	broken      error // what Reset found; connect would quote it
}

func (b *boundedGzip) Read(p []byte) (int, error) {
	if b.broken != nil {
		return 0, b.broken
	}
	n, err := b.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		return n, damaged(err)
	}
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
	b.read, b.broken = 0, nil
	if err := b.Reader.Reset(r); err != nil {
		b.broken = damaged(err)
	}
	return nil
}

// Close must not reach a reader that never had anything to read.
func (b *boundedGzip) Close() error {
	if b.broken != nil {
		return nil
	}
	return b.Reader.Close()
}

func damaged(cause error) error {
	return rpcerr.New(fault.New(fault.InvalidArgument, fault.InvalidField,
		"The request says that it is compressed with gzip, and what came is not, or is cut off.").WithCause(cause), "")
}
