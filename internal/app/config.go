// Package app is the composition root of the control plane: it builds the
// parts, starts them in order and stops them in reverse. Tests boot it.
package app

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/musterhq/muster/internal/datadir"
	"github.com/musterhq/muster/internal/door"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/identity"
	"github.com/musterhq/muster/internal/limit"
	"github.com/musterhq/muster/internal/store/sqlstore"
)

// Config is what an operator sets.
type Config struct {
	// DataDir holds the SQLite database and the secret-key file; it is made with
	// mode 0700.
	DataDir string
	// Listen is the address of the one port, such as "127.0.0.1:7433".
	Listen string
	// PublicURL is where runners and people reach the control plane; empty
	// derives it from Listen.
	PublicURL string
	// DatabaseURL selects PostgreSQL; empty means SQLite in DataDir.
	DatabaseURL string
	// SecretKeyFile is shared by all replicas; empty means "secret-key" in DataDir.
	SecretKeyFile string
	// TLSCert and TLSKey are PEM files; both or none.
	TLSCert, TLSKey string
	Gateways        []Gateway
	// Maxima are how much there may be of what callers make; the default ones when
	// they are zero.
	Maxima limit.Limits
	// TrustedProxies are the networks of reverse proxies; see door.ParseProxies.
	TrustedProxies []string
	// Limits bound what comes in; what is 0 has its default.
	Limits Limits
	// BootstrapToken is the first admin's token; see MUSTER_BOOTSTRAP_TOKEN.
	BootstrapToken string
	// TokenFile gets the first admin's token when a start makes one; empty for none.
	TokenFile string
	Version   string
	Logger    *slog.Logger
	// AcceptDatabase takes a database that does not belong to DataDir.
	AcceptDatabase bool
	// Started is called once the server answers requests.
	Started func(Started)
}

// Limits bound what comes in.
type Limits = door.Limits

// Gateway is a configured entry point to the runners' network.
type Gateway struct{ Name, URL, Region string }

// Started is what there is to know of a running control plane.
type Started struct {
	// URL is the public URL.
	URL string
	// Token is the first admin's token if this start made it; empty otherwise.
	Token string
	// TokenFile has that token; empty when there is none, or no Config.TokenFile.
	TokenFile string
	// Listen is the real address, when port 0 was asked for.
	Listen string
}

func (c *Config) check() error {
	invalid := func(format string, args ...any) error {
		return fault.New(fault.InvalidArgument, fault.InvalidField, format, args...)
	}
	if c.DataDir == "" {
		return invalid("--data-dir is required: it holds the database and the secret-key file.")
	}
	// Before anything is made: a first start that fails leaves nothing behind.
	if err := identity.CheckBootstrapToken(c.BootstrapToken); err != nil {
		return err
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return invalid("--tls-cert and --tls-key belong together: set both or none.")
	}
	if c.PublicURL != "" {
		u, err := url.Parse(c.PublicURL)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "" {
			return invalid("--public-url must be an http or https URL without query, such as https://muster.example.com; it is %q.", c.PublicURL)
		}
		c.PublicURL = strings.TrimRight(c.PublicURL, "/")
	}
	if c.Maxima == (limit.Limits{}) {
		c.Maxima = limit.Default()
	}
	for name, n := range map[string]int64{
		"--max-personal-tokens": c.Maxima.PersonalTokens, "--max-service-account-tokens": c.Maxima.ServiceAccountTokens,
		"--max-exchange-tokens": c.Maxima.ExchangeTokens, "--max-groups": c.Maxima.Groups,
		"--max-service-accounts": c.Maxima.ServiceAccounts, "--max-runners": c.Maxima.Runners,
	} {
		if n < 1 {
			return invalid("%s must be at least 1; it is %d.", name, n)
		}
	}
	if _, err := door.ParseProxies(c.TrustedProxies); err != nil {
		return invalid("--trusted-proxy must be a network such as 10.0.0.0/8, or an address: %s.", err)
	}
	if err := c.Limits.Check(); err != nil {
		return invalid("%s.", err)
	}
	if c.SecretKeyFile == "" {
		c.SecretKeyFile = filepath.Join(c.DataDir, "secret-key")
	}
	seen := map[string]bool{}
	for _, g := range c.Gateways {
		u, err := url.Parse(g.URL)
		switch {
		case g.Name == "" || err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
			return invalid("--gateway must be NAME=URL or NAME=URL,REGION with an http or https URL; it is %q=%q.", g.Name, g.URL)
		case seen[g.Name]:
			return invalid("--gateway %q is given twice; the names must differ.", g.Name)
		}
		seen[g.Name] = true
	}
	return c.makeDataDir()
}

// runnersFile is what a directory has that is the home of a runner.
const runnersFile = "identity.json"

// makeDataDir makes the data directory when there is none. One that is there
// keeps its mode; where nothing of a control plane is in it yet, it must be fit
// for a secret key, and not the home of a runner. Other files may be there:
// operators keep certificates and keys beside what is made here.
func (c *Config) makeDataDir() error {
	unusable := func(cause error, format string, args ...any) error {
		return fault.New(fault.FailedPrecondition, fault.StorageUnavailable, format, args...).WithCause(cause)
	}
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return unusable(err, "The data directory %s cannot be made. Choose another with --data-dir, or fix its permissions.", c.DataDir)
	}
	_, err := os.Stat(c.SecretKeyFile)
	hasKey, hasDatabase := err == nil, sqlstore.Initialized(c.DataDir)
	err = datadir.Private(c.DataDir)
	if flaw, ok := errors.AsType[*datadir.Flaw](err); ok {
		if !hasKey && !hasDatabase {
			return unusable(nil, "%s. %s, or name another directory with --data-dir.", flaw.Why, flaw.Remedy)
		}
		c.Logger.Warn("other users could replace what is in the data directory", "data_dir", c.DataDir, "why", flaw.Why, "hint", flaw.Remedy)
	} else if err != nil {
		return unusable(err, "The data directory %s cannot be looked at. Choose another with --data-dir, or fix its permissions.", c.DataDir)
	}
	if hasDatabase || c.DatabaseURL != "" && hasKey {
		return nil // it was used as one before
	}
	if _, err := os.Lstat(filepath.Join(c.DataDir, runnersFile)); err == nil {
		return unusable(nil, "The directory %s is the home of a runner (it holds %s). A control plane needs one of its own: name an empty or a new directory with --data-dir.", c.DataDir, runnersFile)
	}
	return nil
}

// publicURL is where people reach a server that listens at addr.
func (c *Config) publicURL(addr net.Addr) string {
	if c.PublicURL != "" {
		return c.PublicURL
	}
	scheme := "http"
	if c.TLSCert != "" {
		scheme = "https"
	}
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return fmt.Sprintf("%s://%s", scheme, addr)
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "localhost"
		c.Logger.Warn("runners on other hosts cannot use this public URL; set --public-url", "url", scheme+"://"+net.JoinHostPort(host, port))
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}

func (c *Config) gateways() []fleet.Gateway {
	out := make([]fleet.Gateway, 0, len(c.Gateways))
	for _, g := range c.Gateways {
		out = append(out, fleet.Gateway{Name: g.Name, URL: g.URL, Region: g.Region})
	}
	return out
}
