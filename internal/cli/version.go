package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// Version shows the version.
type Version struct{}

// Run runs the command.
func (*Version) Run(env *Env) error {
	_, err := fmt.Fprintf(env.Stdout, "muster %s (%s, %s/%s)\n", env.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}

// BuildVersion is the version of this program: the one that the build was given,
// or else what the Go tool knows of the source that it was built from.
func BuildVersion(given string) string {
	if given != "" {
		return given
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	revision, dirty := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value[:min(len(s.Value), 12)]
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "-dirty"
		}
	}
	if revision == "" {
		return "devel"
	}
	return "devel-" + revision + dirty
}
