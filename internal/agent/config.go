package agent

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/url"
	"strings"

	"github.com/musterhq/muster/internal/fault"
)

// Config is what an operator decides.
type Config struct {
	// Server is the URL of the control plane. It may be empty once the runner
	// has joined. A path in it is kept.
	Server string
	// ExchangeToken admits the runner, once. It is not needed once the runner
	// has joined.
	ExchangeToken string
	// RotateKey makes a new key pair at the start. What is sealed to the old one
	// must be set again afterwards.
	RotateKey bool
	// DataDir is where the identity is kept.
	DataDir string
	// CAFile names certificates to trust in addition to the system's, also of source
	// code hosts.
	CAFile string
	// Region is reported as the runner's; empty takes it from the configuration.
	Region string
	// PrivateHosts are source code hosts that may be reached at loopback and private
	// addresses; see scmhost.Config.
	PrivateHosts []string
	// IssuerHosts are hosts where people may sign in, beside those of Entra ID.
	IssuerHosts []string
	// LogListen is an address to serve logs and support bundles at, for people
	// who reach this host under LogAdvertiseURL. Both are set or none; with none
	// the control plane relays.
	LogListen       string
	LogAdvertiseURL string
	// Version is that of this software.
	Version string
	// HostName tells this host from others in messages; empty asks the system.
	HostName string
	// LogHandler gets what is logged, besides the lines that the runner keeps to
	// serve them; nil for none.
	LogHandler slog.Handler
	// LogLevel follows the configuration; what it is at first holds as long as
	// the configuration names no level. A LogHandler with a level of its own
	// should use this one.
	LogLevel *slog.LevelVar
	// Out gets a few lines for people; nil for none.
	Out io.Writer
	// Dial opens connections in place of the host's network, but none to source code
	// hosts; nil for that network.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// hosts takes the place of the source code hosts in tests; nil for the real
	// ones.
	hosts sourceHosts
}

// addresses are the URLs in a Config.
type addresses struct {
	server *url.URL // nil when none was given
	// advertised is nil unless the runner serves its logs itself.
	advertised *url.URL
}

func (c Config) parse() (addresses, error) {
	var a addresses
	var err error
	if c.DataDir == "" {
		return a, fault.Invalid("--data-dir", "Name the directory to keep the runner's identity in.")
	}
	if c.Server != "" {
		if a.server, err = parseServer("--server", c.Server); err != nil {
			return a, err
		}
	}
	switch {
	case (c.LogListen == "") != (c.LogAdvertiseURL == ""):
		return a, fault.Invalid("--log-listen", "Give --log-listen together with --log-advertise-url, the URL under which people reach that address; or give none of them, and the control plane relays the logs.")
	case c.LogAdvertiseURL != "":
		a.advertised, err = parseServer("--log-advertise-url", c.LogAdvertiseURL)
	}
	return a, err
}

func parseServer(field, s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	// The URL is not quoted where it may hold a password.
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return nil, fault.Invalid(field, "This is no http:// or https:// URL, such as https://muster.example.com.")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, fault.Invalid(field, "The URL must have no user name, no query and no fragment.")
	}
	u.Path, u.RawPath = strings.TrimRight(u.Path, "/"), ""
	return u, nil
}

func noServer() error {
	return fault.Invalid("--server", "Name the control plane to join, such as https://muster.example.com.")
}
