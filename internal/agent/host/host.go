// Package host tells what machine a runner runs on.
//
// It only reads files, below a root that the caller gives, and never fails:
// what cannot be found out is left out.
package host

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
	"runtime"
	"strconv"
	"strings"
	"unicode"
)

const maxDetails = 512

// Details is one line about the operating system, kernel, CPU, memory and
// container runtimes of the machine whose file system root is.
func Details(root fs.FS) string {
	var parts []string
	for _, part := range []string{system(root), kernel(root), cpu(root), memory(root), containers(root)} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	line := clean(strings.Join(parts, "; "))
	if len(line) > maxDetails {
		line = strings.ToValidUTF8(line[:maxDetails], "")
	}
	return line
}

func system(root fs.FS) string {
	raw, err := fs.ReadFile(root, "etc/os-release")
	if err != nil {
		if raw, err = fs.ReadFile(root, "usr/lib/os-release"); err != nil {
			return ""
		}
	}
	fields := pairs(raw, "=")
	if name := unquote(fields["PRETTY_NAME"]); name != "" {
		return name
	}
	return strings.TrimSpace(unquote(fields["NAME"]) + " " + unquote(fields["VERSION_ID"]))
}

func unquote(s string) string {
	if len(s) >= 2 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0] {
		return s[1 : len(s)-1]
	}
	return s
}

func kernel(root fs.FS) string {
	release, err := fs.ReadFile(root, "proc/sys/kernel/osrelease")
	if err != nil {
		return ""
	}
	return "Linux " + strings.TrimSpace(string(release)) + " " + runtime.GOARCH
}

func cpu(root fs.FS) string {
	raw, err := fs.ReadFile(root, "proc/cpuinfo")
	if err != nil {
		return ""
	}
	count, model := 0, ""
	for line := range bytes.Lines(raw) {
		key, value, _ := strings.Cut(string(line), ":")
		switch strings.TrimSpace(key) {
		case "processor":
			count++
		case "model name":
			model = strings.TrimSpace(value)
		}
	}
	if count == 0 {
		return ""
	}
	out := fmt.Sprintf("%d CPU", count)
	if count > 1 {
		out += "s"
	}
	if model != "" { // not all architectures name it
		out += " (" + model + ")"
	}
	return out
}

func memory(root fs.FS) string {
	raw, err := fs.ReadFile(root, "proc/meminfo")
	if err != nil {
		return ""
	}
	kib, err := strconv.ParseUint(strings.TrimSuffix(pairs(raw, ":")["MemTotal"], " kB"), 10, 64)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%.1f GiB memory", float64(kib)/(1<<20))
}

// containers names the container runtimes that there are, and tells those that
// run from those that are only installed.
func containers(root fs.FS) string {
	var found []string
	for _, r := range []struct{ name, socket, binary string }{
		{"docker", "run/docker.sock", "dockerd"},
		{"containerd", "run/containerd/containerd.sock", "containerd"},
		{"podman", "run/podman/podman.sock", "podman"},
		{"cri-o", "run/crio/crio.sock", "crio"},
	} {
		if exists(root, r.socket) {
			found = append(found, r.name)
			continue
		}
		for _, dir := range []string{"usr/bin/", "usr/local/bin/", "usr/sbin/", "bin/"} {
			if exists(root, dir+r.binary) {
				found = append(found, r.name+" (no socket)")
				break
			}
		}
	}
	if len(found) == 0 {
		return "no container runtime"
	}
	return strings.Join(found, ", ")
}

func exists(root fs.FS, path string) bool {
	_, err := fs.Stat(root, path)
	return err == nil
}

func pairs(raw []byte, separator string) map[string]string {
	out := make(map[string]string)
	lines := bufio.NewScanner(bytes.NewReader(raw))
	for lines.Scan() {
		if key, value, ok := strings.Cut(lines.Text(), separator); ok {
			out[strings.TrimSpace(key)] = strings.TrimSpace(value)
		}
	}
	return out
}

// clean keeps control characters of some strange file out of a line that
// people see in a terminal.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
}
