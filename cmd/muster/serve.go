package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/musterhq/muster/internal/app"
	"github.com/musterhq/muster/internal/cli"
	"github.com/musterhq/muster/internal/limit"
)

// serve runs the control plane.
type serve struct {
	DataDir       string     `required:"" env:"MUSTER_DATA_DIR" placeholder:"DIR" help:"Directory for the database and the secret-key file; made when missing."`
	Listen        string     `default:"127.0.0.1:7433" env:"MUSTER_LISTEN" placeholder:"ADDRESS" help:"Address to listen at; ${default} by default, :7433 for all interfaces."`
	PublicURL     string     `name:"public-url" env:"MUSTER_PUBLIC_URL" placeholder:"URL" help:"Where runners and people reach the control plane, when it is not the listen address."`
	DatabaseURL   string     `name:"database-url" env:"MUSTER_DATABASE_URL" placeholder:"URL" help:"PostgreSQL database to use in place of SQLite in the data directory. Prefer the environment variable when it holds a password."`
	SecretKeyFile string     `env:"MUSTER_SECRET_KEY_FILE" placeholder:"FILE" help:"Key that stored secrets are encrypted under; secret-key in the data directory by default. Back it up with the database."`
	TLSCert       string     `name:"tls-cert" env:"MUSTER_TLS_CERT" placeholder:"FILE" help:"PEM file with the certificate to serve HTTPS with."`
	TLSKey        string     `name:"tls-key" env:"MUSTER_TLS_KEY" placeholder:"FILE" help:"PEM file with the key of that certificate."`
	Gateway       []gateway  `sep:";" env:"MUSTER_GATEWAY" placeholder:"NAME=URL[,REGION]" help:"A gateway that runners measure their distance to. May be repeated; in the environment, separate with semicolons."`
	Accept        bool       `name:"accept-database" help:"Serve a database that does not belong to the data directory, such as one from an old backup. For one start only."`
	Maxima        limitFlags `embed:"" prefix:"max-"`
	Logs          logFlags   `embed:"" prefix:"log-" set:"level=info"`
	TrustedProxy  []string   `env:"MUSTER_TRUSTED_PROXY" placeholder:"CIDR" help:"Network or address of a reverse proxy in front, such as 10.0.0.0/8: its X-Forwarded-For says who calls. Repeatable, or with commas."`
	Limits        limits     `embed:"" prefix:"limit-"`
}

// limits are what one address, one caller or one runner may have at most.
type limits struct {
	AddressStreams  int `default:"20" env:"MUSTER_LIMIT_ADDRESS_STREAMS" placeholder:"N" help:"Streams without a token that one address may have open; ${default} by default."`
	AddressRequests int `default:"50" env:"MUSTER_LIMIT_ADDRESS_REQUESTS" placeholder:"N" help:"Requests a second without a token from one address; ${default} by default."`
	Streams         int `default:"500" env:"MUSTER_LIMIT_STREAMS" placeholder:"N" help:"Streams without a token in all, and ten times as many requests under way; ${default} by default."`
	CallerStreams   int `default:"100" env:"MUSTER_LIMIT_CALLER_STREAMS" placeholder:"N" help:"Streams that the owner of a token may have open; ${default} by default."`
	CallerOpens     int `default:"10" env:"MUSTER_LIMIT_CALLER_OPENS" placeholder:"N" help:"Streams that the owner of a token may open a second; ${default} by default."`
	Welcomes        int `default:"1" env:"MUSTER_LIMIT_WELCOMES" placeholder:"N" help:"Links that one runner may open a second; ${default} by default."`
	WelcomeBurst    int `default:"10" env:"MUSTER_LIMIT_WELCOME_BURST" placeholder:"N" help:"Links that one runner may open at once; ${default} by default."`
	Connections     int `default:"4096" env:"MUSTER_LIMIT_CONNECTIONS" placeholder:"N" help:"Connections on which no token was shown; ${default} by default, and no more than half of the file descriptors."`
}

// chosen are the limits for the control plane.
func (l limits) chosen() (app.Limits, error) {
	for _, n := range []int{l.AddressStreams, l.AddressRequests, l.Streams, l.CallerStreams, l.CallerOpens, l.Welcomes, l.WelcomeBurst, l.Connections} {
		if n < 1 {
			return app.Limits{}, cli.Usagef("the --limit flags take numbers from 1 on")
		}
	}
	return app.Limits{
		AddressStreams: l.AddressStreams, AddressRequests: l.AddressRequests, Streams: l.Streams,
		CallerStreams: l.CallerStreams, CallerOpens: l.CallerOpens, Welcomes: l.Welcomes, WelcomeBurst: l.WelcomeBurst,
		Strangers: l.Connections,
	}, nil
}

// Help adds to the help of the command.
func (*serve) Help() string {
	return `The first start makes an organization, an admin and the admin's personal access
token: the one in MUSTER_BOOTSTRAP_TOKEN, of at least 32 characters, or a new
one. That is printed this once, on a terminal; elsewhere it goes to the file
admin-token in the data directory. It is ready when GET /healthz answers 200.
SIGTERM and SIGINT stop it in an orderly way; a second one stops it at once.`
}

// gateway is NAME=URL or NAME=URL,REGION.
type gateway app.Gateway

// UnmarshalText reads a gateway; the control plane judges its parts.
func (g *gateway) UnmarshalText(text []byte) error {
	name, rest, ok := strings.Cut(string(text), "=")
	if !ok {
		return fmt.Errorf("%q is not NAME=URL or NAME=URL,REGION", text)
	}
	g.Name = name
	g.URL, g.Region, _ = strings.Cut(rest, ",")
	return nil
}

// limitFlags are how many there may be of what people make.
type limitFlags struct {
	PersonalTokens       int64 `default:"100" env:"MUSTER_MAX_PERSONAL_TOKENS" placeholder:"N" help:"Personal access tokens of one person; ${default} by default. What has expired does not count, here and below."`
	ServiceAccountTokens int64 `default:"100" env:"MUSTER_MAX_SERVICE_ACCOUNT_TOKENS" placeholder:"N" help:"Tokens of one service account; ${default} by default."`
	ExchangeTokens       int64 `default:"100" env:"MUSTER_MAX_EXCHANGE_TOKENS" placeholder:"N" help:"Exchange tokens of one runner that nobody has redeemed; ${default} by default."`
	Groups               int64 `default:"10000" env:"MUSTER_MAX_GROUPS" placeholder:"N" help:"Groups of one organization; ${default} by default."`
	ServiceAccounts      int64 `default:"10000" env:"MUSTER_MAX_SERVICE_ACCOUNTS" placeholder:"N" help:"Service accounts of one organization; ${default} by default."`
	Runners              int64 `default:"100000" env:"MUSTER_MAX_RUNNERS" placeholder:"N" help:"Runners of one organization; ${default} by default."`
}

// Run runs the command.
func (cmd *serve) Run(ctx context.Context, env *cli.Env) error {
	handler, _, flush := cmd.Logs.lasting(env)
	defer flush()
	log := slog.New(handler)
	news := newAnnouncement(env.Stdout, log)
	defer news.end()
	gateways := make([]app.Gateway, len(cmd.Gateway))
	for i, g := range cmd.Gateway {
		gateways[i] = app.Gateway(g)
	}
	limits, err := cmd.Limits.chosen()
	if err != nil {
		return err
	}
	return explain(log, app.Run(ctx, app.Config{
		TokenFile: cmd.tokenFile(), TrustedProxies: cmd.TrustedProxy, Limits: limits,
		DataDir: cmd.DataDir, Listen: cmd.Listen, PublicURL: cmd.PublicURL, DatabaseURL: cmd.DatabaseURL,
		SecretKeyFile: cmd.SecretKeyFile, TLSCert: cmd.TLSCert, TLSKey: cmd.TLSKey, Gateways: gateways, Maxima: limit.Limits(cmd.Maxima),
		BootstrapToken: os.Getenv("MUSTER_BOOTSTRAP_TOKEN"), AcceptDatabase: cmd.Accept, Version: env.Version, Logger: log,
		Started: news.tell,
	}))
}

// tokenFile is where the first admin's token is until somebody has seen it. Whoever
// reads of it in a log is in another directory.
func (cmd *serve) tokenFile() string {
	file := filepath.Join(cmd.DataDir, "admin-token")
	if absolute, err := filepath.Abs(file); err == nil {
		return absolute
	}
	return file
}
