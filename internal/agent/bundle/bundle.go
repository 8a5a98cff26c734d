// Package bundle packs what somebody needs who helps with a runner from afar.
//
// It takes what the caller chose to show and what the Go runtime knows; it has
// no access to secrets, the command line or the environment.
package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"time"
)

// Contents is what the caller adds.
type Contents struct {
	// Configuration is a JSON document without secrets.
	Configuration []byte
	// System is text about the machine.
	System string
	// Logs are recent log lines.
	Logs []byte
}

// Write writes the archive, a gzip-compressed tar.
func Write(w io.Writer, c Contents) error {
	zipped := gzip.NewWriter(w)
	archive := tar.NewWriter(zipped)
	now := time.Now()
	for _, file := range []struct {
		name    string
		content func() ([]byte, error)
	}{
		{"configuration.json", given(c.Configuration)},
		{"system.txt", given(system(c.System))},
		{"build.txt", given(build())},
		{"goroutines.txt", profile("goroutine", 2)},
		{"heap.pprof", profile("heap", 0)},
		{"logs.jsonl", given(c.Logs)},
	} {
		content, err := file.content()
		if err != nil {
			return err
		}
		header := &tar.Header{Name: "support-bundle/" + file.name, Mode: 0o600, Size: int64(len(content)), ModTime: now}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		if _, err := archive.Write(content); err != nil {
			return err
		}
	}
	if err := archive.Close(); err != nil {
		return err
	}
	return zipped.Close()
}

func given(content []byte) func() ([]byte, error) {
	return func() ([]byte, error) { return content, nil }
}

func profile(name string, debug int) func() ([]byte, error) {
	return func() ([]byte, error) {
		var out bytes.Buffer
		err := pprof.Lookup(name).WriteTo(&out, debug)
		return out.Bytes(), err
	}
}

func system(details string) []byte {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return fmt.Appendf(nil, "%s\ntime: %s\nGOMAXPROCS: %d\ngoroutines: %d\nheap in use: %d bytes\nmemory from the system: %d bytes\ngarbage collections: %d\n",
		details, time.Now().UTC().Format(time.RFC3339), runtime.GOMAXPROCS(0), runtime.NumGoroutine(), m.HeapInuse, m.Sys, m.NumGC)
}

func build() []byte {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return []byte("built without module information\n")
	}
	return []byte(info.String())
}
