package main

import (
	"testing"

	"github.com/musterhq/muster/internal/cli"
	"github.com/musterhq/muster/internal/door"
)

// The flags show what holds without them.
func TestLimitFlagsShowTheDefaults(t *testing.T) {
	helped := false
	c := &commands{}
	parser, err := cli.New(c, &cli.Env{}, &helped)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse([]string{"serve", "--data-dir", t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Serve.Limits.chosen(); err != nil || got != door.Defaults() {
		t.Errorf("%+v, %v; want %+v", got, err, door.Defaults())
	}
}
