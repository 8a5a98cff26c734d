package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/internal/cli/out"
)

// RunnerLogs prints the logs of a runner.
type RunnerLogs struct {
	RunnerArg
	Follow bool `short:"f" help:"Go on with new lines until interrupted, across reconnects of the runner."`
	Tail   uint `placeholder:"N" help:"Begin with the newest N lines; 0, the default, with all that the runner has kept."`
	Remote
}

// Help adds to the help of the command.
func (*RunnerLogs) Help() string {
	return `Prints one JSON object per line, as the runner wrote it. The logs are on the
runner's host and come from there: the runner must be connected.`
}

// Run runs the command.
func (cmd *RunnerLogs) Run(ctx context.Context, env *Env) error {
	c, err := cmd.connect(env)
	if err != nil {
		return err
	}
	r, err := c.FindRunner(ctx, cmd.Runner)
	if err != nil {
		return err
	}
	body, err := c.openLogs(ctx, r, cmd.Tail, cmd.Follow)
	if err != nil {
		return err
	}
	p := &logPrinter{w: bufio.NewWriter(env.Stdout), clean: IsTerminal(env.Stdout)}
	if !cmd.Follow {
		return p.copy(body)
	}
	err = cmd.follow(ctx, c, r.GetRunnerId(), body, p)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// resumeTail is how many lines are read again after a break, to find those that
// were missed.
const resumeTail = 1000

// follow prints what comes, and opens the logs again whenever they break off,
// until ctx ends or the runner is deleted.
func (cmd *RunnerLogs) follow(ctx context.Context, c *Client, id string, body io.ReadCloser, p *logPrinter) error {
	attempt, failed := 0, error(nil)
	for {
		if body != nil {
			if err := p.copy(body); errors.Is(err, errPrint) {
				return err
			}
			attempt = 0
		}
		wait := untilNext(attempt, failed)
		attempt++
		if failed != nil {
			retrying(c.env, failed, wait)
		}
		if err := c.env.Pause(ctx, wait); err != nil {
			return err
		}
		told := false
		r, err := c.WaitRunner(ctx, id, func(r *gitpodv1.Runner) bool {
			if Connected(r) {
				return true
			}
			if !told && r.GetStatus().GetPhase() != gitpodv1.RunnerPhase_RUNNER_PHASE_DELETED {
				fmt.Fprintf(c.env.Stderr, "muster: runner %q is %s; waiting for it\n", r.GetName(), State(r))
				told = true
			}
			return false
		})
		if err != nil {
			return err
		}
		if body, failed = c.openLogs(ctx, r, resumeTail, true); permanent(failed) || ctx.Err() != nil {
			return failed
		}
	}
}

// openLogs opens the logs of a connected runner.
func (c *Client) openLogs(ctx context.Context, r *gitpodv1.Runner, tail uint, follow bool) (io.ReadCloser, error) {
	query := url.Values{}
	if tail > 0 {
		query.Set("tail", strconv.FormatUint(uint64(tail), 10))
	}
	if follow {
		query.Set("follow", "true")
	}
	return c.openRunnerURL(ctx, r, "logs", r.GetStatus().GetLogUrl(), query)
}

// openRunnerURL reads from one of the addresses that a runner is read by, with a
// logs token made for it. what names it to people.
func (c *Client) openRunnerURL(ctx context.Context, r *gitpodv1.Runner, what, address string, query url.Values) (io.ReadCloser, error) {
	switch {
	case r.GetStatus().GetPhase() == gitpodv1.RunnerPhase_RUNNER_PHASE_CREATED:
		return nil, fmt.Errorf(`runner %q has never been connected, so it has no %s. "muster runner token %s" shows how to join it`,
			r.GetName(), what, r.GetRunnerId())
	case r.GetStatus().GetPhase() == gitpodv1.RunnerPhase_RUNNER_PHASE_INACTIVE:
		why := out.Clean(r.GetStatus().GetMessage())
		// Where that is not enough, the status says what to do.
		if !strings.Contains(why, "muster runner token") {
			why = strings.TrimSpace(why + " Start \"muster join\" there again.")
		}
		return nil, fmt.Errorf("runner %q is not connected, and its %s can only be read from its host. %s", r.GetName(), what, strings.TrimSuffix(why, "."))
	case address == "":
		return nil, fmt.Errorf("runner %q does not offer its %s", r.GetName(), what)
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("runner %q gives %q as the address of its %s, which is no HTTP URL", r.GetName(), address, what)
	}
	token, err := c.Runners.CreateRunnerLogsToken(ctx, connect.NewRequest(&gitpodv1.CreateRunnerLogsTokenRequest{RunnerId: r.GetRunnerId()}))
	if err != nil {
		return nil, err
	}
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("asking for the %s of runner %q: %w", what, r.GetName(), err)
	}
	req.Header.Set("Authorization", "Bearer "+token.Msg.GetAccessToken())
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, unreachable(u.Scheme+"://"+u.Host, err)
	}
	if resp.StatusCode != http.StatusOK {
		defer func() { _ = resp.Body.Close() }()
		return nil, refused(resp)
	}
	return resp.Body, nil
}

// logPrinter prints log lines. It knows the time of the newest one, so that the
// lines that come again after a break are not printed again.
type logPrinter struct {
	w      *bufio.Writer
	clean  bool
	newest time.Time
}

// errPrint is a failure to print, as opposed to one to read.
var errPrint = errors.New("printing the logs")

// copy prints a stream of lines to its end, and closes it.
func (p *logPrinter) copy(body io.ReadCloser) error {
	defer func() { _ = body.Close() }()
	lines := bufio.NewReader(body)
	after := p.newest
	for {
		line, err := lines.ReadBytes('\n')
		// Half a line comes again, whole, when the stream is resumed.
		if len(line) > 0 && (err == nil || errors.Is(err, io.EOF)) {
			if werr := p.line(line, after); werr != nil {
				return fmt.Errorf("%w: %w", errPrint, werr)
			}
		}
		if lines.Buffered() == 0 || err != nil {
			if werr := p.w.Flush(); werr != nil {
				return fmt.Errorf("%w: %w", errPrint, werr)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("the logs broke off: %w", err)
		}
	}
}

// line prints one line, unless it is no newer than after.
func (p *logPrinter) line(line []byte, after time.Time) error {
	var record struct {
		Time time.Time `json:"time"`
	}
	if json.Unmarshal(line, &record) == nil && !record.Time.IsZero() {
		if !record.Time.After(after) {
			return nil
		}
		p.newest = record.Time
	}
	if p.clean {
		line = append([]byte(out.Clean(string(bytes.TrimRight(line, "\r\n")))), '\n')
	}
	_, err := p.w.Write(line)
	return err
}
