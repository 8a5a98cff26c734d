package main

import (
	"bytes"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"

	"github.com/musterhq/muster/internal/cli"
)

var update = flag.Bool("update", false, "write the help texts to testdata/help")

// helpTexts returns the help of the program and of every command, by file name.
func helpTexts(t *testing.T) map[string]string {
	t.Helper()
	t.Setenv("COLUMNS", "80")
	texts := map[string]string{}
	for _, node := range nodes(t) {
		path := strings.Fields(node.Path())
		var stdout, stderr bytes.Buffer
		env := &cli.Env{Stdout: &stdout, Stderr: &stderr, Version: "test"}
		if code := cli.Main(t.Context(), &commands{}, env, append(path, "--help")); code != 0 {
			t.Fatalf("%v --help: exit code %d: %s", path, code, &stderr)
		}
		texts[strings.Join(append([]string{"muster"}, path...), "-")+".txt"] = stdout.String()
	}
	return texts
}

// nodes returns the program and all its commands.
func nodes(t *testing.T) []*kong.Node {
	t.Helper()
	helped := false
	parser, err := cli.New(&commands{}, &cli.Env{Stdout: os.Stdout, Stderr: os.Stderr}, &helped)
	if err != nil {
		t.Fatal(err)
	}
	var all []*kong.Node
	err = kong.Visit(parser.Model, func(v kong.Visitable, next kong.Next) error {
		switch v := v.(type) {
		case *kong.Application:
			all = append(all, v.Node)
		case *kong.Node:
			all = append(all, v)
		}
		return next(nil)
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestHelp(t *testing.T) {
	dir := filepath.Join("testdata", "help")
	texts := helpTexts(t)
	if *update {
		for name, text := range texts {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		want, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Errorf("%v; write it with: go test ./cmd/muster -update", err)
			continue
		}
		if diff := cmp.Diff(string(want), texts[name]); diff != "" {
			t.Errorf("%s (after a change that is meant: go test ./cmd/muster -update)\n%s", name, diff)
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if _, ok := texts[f.Name()]; !ok {
			t.Errorf("%s is the help of no command", f.Name())
		}
	}
}

func TestEverythingHasHelp(t *testing.T) {
	for _, node := range nodes(t) {
		if node.Help == "" {
			t.Errorf("%q has no help", node.Path())
		}
		values := slices.Clone(node.Positional)
		for _, f := range node.Flags {
			values = append(values, f.Value)
		}
		for _, v := range values {
			if !strings.HasSuffix(v.Help, ".") {
				t.Errorf("%q: the help of %s is %q, which is no sentence", node.Path(), v.Summary(), v.Help)
			}
			for _, name := range v.Tag.Envs {
				if !strings.HasPrefix(name, "MUSTER_") {
					t.Errorf("%q: %s is read from %s", node.Path(), v.Summary(), name)
				}
			}
		}
	}
}
