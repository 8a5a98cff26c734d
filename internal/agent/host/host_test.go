package host_test

import (
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"
	"unicode/utf8"

	"github.com/musterhq/muster/internal/agent/host"
)

func file(content string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(content)} }

func TestDetails(t *testing.T) {
	for _, c := range []struct {
		name string
		root fstest.MapFS
		want string
	}{
		{"a common machine", fstest.MapFS{
			"etc/os-release":                 file("NAME=\"Debian\"\nPRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\n"),
			"proc/sys/kernel/osrelease":      file("6.12.9-amd64\n"),
			"proc/cpuinfo":                   file("processor\t: 0\nmodel name\t: AMD EPYC 9R14\n\nprocessor\t: 1\nmodel name\t: AMD EPYC 9R14\n"),
			"proc/meminfo":                   file("MemTotal:        8142424 kB\nMemFree:          1 kB\n"),
			"run/containerd/containerd.sock": file(""),
			"usr/bin/podman":                 file(""),
		}, "Debian GNU/Linux 13 (trixie); Linux 6.12.9-amd64 " + runtime.GOARCH + "; 2 CPUs (AMD EPYC 9R14); 7.8 GiB memory; containerd, podman (no socket)"},
		{"no pretty name, no CPU model", fstest.MapFS{
			"usr/lib/os-release": file("NAME='Alpine Linux'\nVERSION_ID=3.22\n"),
			"proc/cpuinfo":       file("processor\t: 0\nBogoMIPS\t: 50.00\n"),
		}, "Alpine Linux 3.22; 1 CPU; no container runtime"},
		{"nothing", fstest.MapFS{}, "no container runtime"},
		{"nonsense", fstest.MapFS{
			"etc/os-release": file("PRETTY_NAME=\"a\x1b[31m\xffb\"\n\n=\n"),
			"proc/cpuinfo":   file("::::"),
			"proc/meminfo":   file("MemTotal: many kB"),
		}, "a[31mb; no container runtime"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := host.Details(c.root); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestDetailsAreBounded(t *testing.T) {
	got := host.Details(fstest.MapFS{"etc/os-release": file("PRETTY_NAME=" + strings.Repeat("ü", 1000))})
	if len(got) > 512 || !utf8.ValidString(got) {
		t.Errorf("got %d bytes", len(got))
	}
}

func TestThisMachine(t *testing.T) {
	got := host.Details(os.DirFS("/"))
	for _, want := range []string{"Linux ", "CPU", "GiB memory"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in %q", want, got)
		}
	}
}
