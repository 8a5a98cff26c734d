package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Server serves a Handler on a listener: HTTP/1.1, HTTP/2 over TLS, and HTTP/2
// without TLS for clients that ask for it.
type Server struct {
	handler *Handler
	http    *http.Server
	tls     bool
}

// ServerConfig is what a Server is made of. Handler is required.
type ServerConfig struct {
	Handler *Handler
	// CertFile and KeyFile, when set, turn TLS on. The files are read again when
	// they change.
	CertFile, KeyFile string
	// Logger gets what net/http has to say about single connections. Nil logs
	// nothing.
	Logger *slog.Logger
}

const (
	readHeaderTimeout = 10 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 64 << 10
	// pingAfter is the silence after which a connection is asked whether it
	// still lives; that also keeps it alive in between.
	pingAfter   = 20 * time.Second
	pingTimeout = 15 * time.Second
	// maxStreams is how many links may share a connection.
	maxStreams = 2048
	// A stream may fill a small part of what its connection buffers, so that one
	// that is not read does not stop the others.
	streamBuffer     = 64 << 10
	connectionBuffer = 4<<20 - 1
	// frameSize is the smallest there is. A Go client keeps a buffer of this
	// size, up to 512 KiB, for every stream of requests that it has open.
	frameSize = 16 << 10
)

// NewServer makes a Server.
func NewServer(cfg ServerConfig) (*Server, error) {
	if cfg.Handler == nil {
		return nil, errors.New("rpc: ServerConfig.Handler is required")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{handler: cfg.Handler, http: &http.Server{
		Handler:           cfg.Handler,
		ConnContext:       cfg.Handler.cfg.Door.Connected,
		ConnState:         cfg.Handler.cfg.Door.State,
		Protocols:         new(http.Protocols),
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelDebug),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          maxStreams,
			MaxReadFrameSize:              frameSize,
			MaxReceiveBufferPerConnection: connectionBuffer,
			MaxReceiveBufferPerStream:     streamBuffer,
			SendPingTimeout:               pingAfter,
			PingTimeout:                   pingTimeout,
			WriteByteTimeout:              defaultTimeout,
		},
	}}
	s.http.Protocols.SetHTTP1(true)
	s.http.Protocols.SetHTTP2(true)
	s.http.Protocols.SetUnencryptedHTTP2(true)
	if cfg.CertFile != "" || cfg.KeyFile != "" {
		conf, err := newCertificate(cfg.CertFile, cfg.KeyFile, cfg.Logger)
		if err != nil {
			return nil, err
		}
		s.http.TLSConfig, s.tls = conf.tlsConfig(), true
	}
	return s, nil
}

// Serve answers on l until Shutdown; then it returns nil.
func (s *Server) Serve(l net.Listener) error {
	serve := s.http.Serve
	if s.tls {
		serve = func(l net.Listener) error { return s.http.ServeTLS(l, "", "") }
	}
	if err := serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("rpc: serving %s: %w", l.Addr(), err)
	}
	return nil
}

// Shutdown stops listening, ends the streams, and waits for the other calls.
// Those that are still running when ctx ends are cut off.
func (s *Server) Shutdown(ctx context.Context) error {
	s.handler.Drain()
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("rpc: shutting down: %w", err), s.http.Close())
	}
	return err
}
