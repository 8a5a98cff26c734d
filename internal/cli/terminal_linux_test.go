package cli_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/musterhq/muster/internal/cli"
)

// terminal opens a pseudo-terminal: what is written to screen is typed, and what
// is read from it is shown.
func terminal(t *testing.T) (screen, keyboard *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = screen.Close() })
	fd := int(screen.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	keyboard, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = keyboard.Close() })
	return screen, keyboard
}

func TestLoginDoesNotShowTheToken(t *testing.T) {
	p := newPlane(t)
	isolate(t)
	screen, keyboard := terminal(t)
	notes := make(chan string, 100)
	env := command{}.env(t, keyboard, lineWriter(notes))
	env.Stdin = keyboard
	done := make(chan int, 1)
	go func() {
		done <- cli.Main(t.Context(), &struct{ cli.Commands }{}, env, []string{"login", "--server", p.URL})
	}()
	// Once it asks, nothing is shown any more.
	if got := next(t, notes); !strings.HasPrefix(got, "Personal access token") {
		t.Fatalf("it asks %q", got)
	}
	if _, err := screen.WriteString(adminToken + "\n"); err != nil {
		t.Fatal(err)
	}
	if code := next(t, done); code != 0 {
		t.Fatalf("exit code %d: %s", code, next(t, notes))
	}
	// Afterwards what is typed is shown again.
	if _, err := screen.WriteString("typed\n"); err != nil {
		t.Fatal(err)
	}
	shown := ""
	for !strings.Contains(shown, "typed") {
		buf := make([]byte, 1024)
		n, err := screen.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		shown += string(buf[:n])
	}
	if strings.Contains(shown, adminToken) {
		t.Errorf("the terminal shows %q", shown)
	}
}
