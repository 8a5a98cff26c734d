package cli

import (
	"google.golang.org/protobuf/proto"

	"github.com/musterhq/muster/internal/cli/out"
)

// Output is the flag of commands that print objects.
type Output struct {
	Output out.Format `short:"o" enum:"table,json,yaml" default:"table" placeholder:"FORMAT" help:"How to print: table, json or yaml."`
}

// one prints one object: table prints it for people.
func (o Output) one(env *Env, m proto.Message, table func() error) error {
	if o.Output == out.FormatTable {
		return table()
	}
	return out.Message(env.Stdout, o.Output, m)
}

// many prints objects of one kind: table prints them for people.
func many[M proto.Message](o Output, env *Env, ms []M, table func() error) error {
	if o.Output == out.FormatTable {
		return table()
	}
	return out.Messages(env.Stdout, o.Output, ms)
}
