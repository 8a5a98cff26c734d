package bundle_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/musterhq/muster/internal/agent/bundle"
)

func TestWrite(t *testing.T) {
	var out bytes.Buffer
	if err := bundle.Write(&out, bundle.Contents{Configuration: []byte(`{"a":1}`), System: "a machine", Logs: []byte("line\n")}); err != nil {
		t.Fatal(err)
	}
	unzipped, err := gzip.NewReader(&out)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	for archive := tar.NewReader(unzipped); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		got[header.Name] = string(content)
	}
	for name, part := range map[string]string{
		"configuration.json": `{"a":1}`,
		"system.txt":         "a machine\n",
		"build.txt":          "go\t",
		"goroutines.txt":     "bundle_test.TestWrite",
		"heap.pprof":         "\x1f\x8b",
		"logs.jsonl":         "line\n",
	} {
		if content, ok := got["support-bundle/"+name]; !ok || !strings.Contains(content, part) {
			t.Errorf("%s: %.100q does not hold %q", name, content, part)
		}
	}
	if len(got) != 6 {
		t.Errorf("there are %d files", len(got))
	}
}

func TestReaderGoesAway(t *testing.T) {
	r, w := io.Pipe()
	gone := errors.New("gone")
	_ = r.CloseWithError(gone)
	if err := bundle.Write(w, bundle.Contents{}); !errors.Is(err, gone) {
		t.Errorf("got %v", err)
	}
}
