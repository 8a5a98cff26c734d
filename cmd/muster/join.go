package main

import (
	"context"
	"log/slog"

	"github.com/musterhq/muster/internal/agent"
	"github.com/musterhq/muster/internal/cli"
)

// join is a runner on this host.
type join struct {
	Server          string    `env:"MUSTER_SERVER" placeholder:"URL" help:"URL of the control plane; not needed once the runner has joined."`
	ExchangeToken   string    `env:"MUSTER_EXCHANGE_TOKEN" placeholder:"TOKEN" help:"Token from \"muster runner create\" or \"muster runner token\"; works once, and is not needed again."`
	DataDir         string    `required:"" env:"MUSTER_RUNNER_DATA_DIR" placeholder:"DIR" help:"Directory for the runner's identity; made when missing. Each runner needs its own."`
	CAFile          string    `name:"ca-file" env:"MUSTER_CA_FILE" placeholder:"FILE" help:"PEM file with certificate authorities to trust too, when the control plane or a source code host has a private one."`
	RotateKey       bool      `help:"Replace the runner's key pair, signed with the old one. What is sealed to the old one must be set again. For one start only."`
	Region          string    `env:"MUSTER_REGION" placeholder:"REGION" help:"Region to report; the one that the runner was created with by default."`
	Hosts           hostFlags `embed:""`
	LogListen       string    `env:"MUSTER_LOG_LISTEN" placeholder:"ADDRESS" help:"Serve logs and support bundles here, for people who reach this host. Without it the control plane relays them."`
	LogAdvertiseURL string    `name:"log-advertise-url" env:"MUSTER_LOG_ADVERTISE_URL" placeholder:"URL" help:"URL under which people reach --log-listen."`
	Logs            logFlags  `embed:"" prefix:"log-" set:"level=info"`
}

// hostFlags are what an operator decides about source code hosts.
type hostFlags struct {
	Private []string `name:"private-host" env:"MUSTER_PRIVATE_HOSTS" placeholder:"HOST" help:"Source code host that may be reached at private and loopback addresses, such as \"git.corp\" or \"git.corp:8443\"; with plain http as \"http://git.corp:3000\". Repeatable, or with commas."`
	Issuers []string `name:"issuer-host" env:"MUSTER_ISSUER_HOSTS" placeholder:"HOST" help:"Host where people sign in to Azure DevOps, beside those of Microsoft Entra ID. Repeatable, or with commas."`
}

// Help adds to the help of the command.
func (*join) Help() string {
	return `The first start redeems the exchange token and keeps the runner's identity in
the data directory; later starts need nothing but the directory. Nothing has to
reach this host: the runner connects to the control plane. SIGTERM and SIGINT
stop it in an orderly way; a second one stops it at once.`
}

// Run runs the command.
func (cmd *join) Run(ctx context.Context, env *cli.Env) error {
	defer outlive(env)()
	handler, level, flushLog := cmd.Logs.lasting(env)
	defer flushLog()
	return explain(slog.New(handler), agent.Run(ctx, agent.Config{
		Server: cmd.Server, ExchangeToken: cmd.ExchangeToken, RotateKey: cmd.RotateKey, DataDir: cmd.DataDir, CAFile: cmd.CAFile, Region: cmd.Region,
		PrivateHosts: cmd.Hosts.Private, IssuerHosts: cmd.Hosts.Issuers,
		LogListen: cmd.LogListen, LogAdvertiseURL: cmd.LogAdvertiseURL, Version: env.Version,
		LogHandler: handler, LogLevel: level, Out: env.Stdout,
	}))
}
