package agent_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	gitpodv1 "github.com/musterhq/muster/gen/gitpod/v1"
	linkv1 "github.com/musterhq/muster/gen/muster/link/v1"
)

func logs(tail uint32, follow bool) *linkv1.StreamOpen {
	return &linkv1.StreamOpen{Source: &linkv1.StreamOpen_Logs{Logs: &linkv1.LogsSource{TailLines: tail, Follow: follow}}}
}

func supportBundle() *linkv1.StreamOpen {
	return &linkv1.StreamOpen{Source: &linkv1.StreamOpen_SupportBundle{SupportBundle: &linkv1.SupportBundleSource{}}}
}

func (l *planeLink) open(t *testing.T, id uint64, token string, open *linkv1.StreamOpen, credit uint32) {
	t.Helper()
	open.StreamId, open.Token, open.InitialCredit = id, token, credit
	l.send(t, &linkv1.PlaneFrame{Frame: &linkv1.PlaneFrame_StreamOpen{StreamOpen: open}})
}

func (l *planeLink) credit(t *testing.T, id uint64, n uint32) {
	t.Helper()
	l.send(t, &linkv1.PlaneFrame{Frame: &linkv1.PlaneFrame_StreamCredit{StreamCredit: &linkv1.StreamCredit{StreamId: id, Bytes: n}}})
}

// text reads a stream until enough has come.
func (l *planeLink) text(t *testing.T, id uint64, enough func(string) bool) string {
	t.Helper()
	var out strings.Builder
	for !enough(out.String()) {
		d := expect(t, l, (*linkv1.RunnerFrame).GetStreamData)
		if d.GetStreamId() != id {
			t.Fatalf("got bytes of stream %d", d.GetStreamId())
		}
		if n := len(d.GetData()); n == 0 || n > 64<<10 {
			t.Errorf("a chunk has %d bytes", n)
		}
		out.Write(d.GetData())
	}
	return out.String()
}

// rest drops what is left of a stream.
func (l *planeLink) rest(t *testing.T, id uint64) *linkv1.StreamClose {
	t.Helper()
	_, c := l.all(t, id)
	return c
}

// all reads a stream to its end.
func (l *planeLink) all(t *testing.T, id uint64) (string, *linkv1.StreamClose) {
	t.Helper()
	var out strings.Builder
	for {
		f := l.next(t)
		switch {
		case f.GetStreamData().GetStreamId() == id:
			out.Write(f.GetStreamData().GetData())
		case f.GetStreamClose().GetStreamId() == id:
			return out.String(), f.GetStreamClose()
		default:
			t.Fatalf("got %v, want stream %d", f, id)
		}
	}
}

// silent fails when anything came, once nothing can come any more.
func (l *planeLink) silent(t *testing.T) {
	t.Helper()
	synctest.Wait()
	select {
	case f := <-l.in:
		t.Errorf("got %v, want nothing", f)
	default:
	}
}

func TestLogsTailAndFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inMemory(t)
		pr := p.join(t, nil)
		l := p.welcomed(t)
		for i := range int64(5) {
			l.configure(t, &linkv1.Configuration{Revision: 101 + i})
		}

		l.open(t, 1, p.token(t, nil), logs(0, false), 1<<30)
		all, c := l.all(t, 1)
		if c.GetError() != "" || !strings.Contains(all, `"msg":"connected"`) || !strings.Contains(all, `"revision":101`) || !strings.Contains(all, `"revision":105`) {
			t.Errorf("all logs: %v\n%s", c, all)
		}
		if !strings.HasPrefix(pr.logs.String(), all) {
			t.Errorf("what is served is not what was logged:\n%s", all)
		}

		// The last line says that ada reads.
		l.open(t, 2, p.token(t, nil), logs(3, false), 1<<30)
		tail, _ := l.all(t, 2)
		if strings.Count(tail, "\n") != 3 || !strings.Contains(tail, `"by":"ada"`) || !strings.Contains(tail, `"revision":105`) || strings.Contains(tail, `"revision":104`) {
			t.Errorf("tail:\n%s", tail)
		}

		l.open(t, 3, p.token(t, nil), logs(1, true), 1<<30)
		l.text(t, 3, func(s string) bool { return strings.HasSuffix(s, "\n") })
		l.silent(t)
		l.send(t, &linkv1.PlaneFrame{Frame: &linkv1.PlaneFrame_Configuration{Configuration: &linkv1.Configuration{Revision: 200}}})
		var followed string
		acked := false
		for !acked || !strings.Contains(followed, "\n") {
			f := l.next(t)
			acked = acked || f.GetConfigurationAck() != nil
			followed += string(f.GetStreamData().GetData())
		}
		if !strings.Contains(followed, `"revision":200`) || strings.Count(followed, "\n") != 1 {
			t.Errorf("followed: %q", followed)
		}

		// A stream that the control plane closed is not heard of again.
		l.send(t, &linkv1.PlaneFrame{Frame: &linkv1.PlaneFrame_StreamClose{StreamClose: &linkv1.StreamClose{StreamId: 3}}})
		l.configure(t, &linkv1.Configuration{Revision: 201})
		l.silent(t)
	})
}

func TestCredit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inMemory(t)
		p.join(t, nil)
		l := p.welcomed(t)
		synctest.Wait()
		got := 0
		take := func(want int) {
			t.Helper()
			synctest.Wait()
			for got < want {
				got += len(expect(t, l, (*linkv1.RunnerFrame).GetStreamData).GetData())
			}
			if got != want {
				t.Fatalf("got %d bytes with a credit of %d", got, want)
			}
			l.silent(t)
		}
		l.open(t, 1, p.token(t, nil), logs(0, false), 0)
		take(0)
		l.credit(t, 1, 10)
		take(10)
		l.credit(t, 1, 1)
		l.credit(t, 1, 2)
		take(13)
		// A stream that waits for credit holds up nothing else.
		l.configure(t, &linkv1.Configuration{Revision: 1})
		l.open(t, 2, p.token(t, nil), logs(1, false), 1<<20)
		l.all(t, 2)
		l.credit(t, 1, 1<<31)
		if c := l.rest(t, 1); c.GetError() != "" {
			t.Errorf("got %v", c)
		}
		l.credit(t, 1, 1) // it is over, and that is no mistake
		l.silent(t)
	})
}

func TestManyStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inMemory(t)
		p.join(t, nil)
		l := p.welcomed(t)
		synctest.Wait()
		const most = 16
		for id := range uint64(most) {
			l.open(t, id+1, p.token(t, nil), logs(0, true), 0)
		}
		l.open(t, 99, p.token(t, nil), logs(0, false), 1<<20)
		if c := expect(t, l, (*linkv1.RunnerFrame).GetStreamClose); c.GetStreamId() != 99 || !strings.Contains(c.GetError(), "as many readers as it can") || c.GetTokenRefused() {
			t.Errorf("got %v", c)
		}
		l.send(t, &linkv1.PlaneFrame{Frame: &linkv1.PlaneFrame_StreamClose{StreamClose: &linkv1.StreamClose{StreamId: 7}}})
		synctest.Wait()
		l.open(t, 100, p.token(t, nil), logs(1, false), 1<<20)
		if text, c := l.all(t, 100); text == "" || c.GetError() != "" {
			t.Errorf("the place was not given free: %q, %v", text, c)
		}
		// A stream id that is in use makes an end of both.
		l.open(t, 8, p.token(t, nil), logs(0, false), 1<<20)
		if c := expect(t, l, (*linkv1.RunnerFrame).GetStreamClose); c.GetStreamId() != 8 || c.GetError() == "" {
			t.Errorf("got %v", c)
		}
		l.silent(t)
		l.open(t, 101, p.token(t, nil), &linkv1.StreamOpen{}, 1<<20)
		if c := expect(t, l, (*linkv1.RunnerFrame).GetStreamClose); c.GetStreamId() != 101 || !strings.Contains(c.GetError(), "update the runner") {
			t.Errorf("an unknown source: %v", c)
		}
		// All streams end with the link, and the next one starts with none.
		l.end(t, nil)
		l = p.welcomed(t)
		for id := range uint64(most) {
			l.open(t, id+1, p.token(t, nil), logs(1, false), 1<<20)
			if text, _ := l.all(t, id+1); text == "" {
				t.Errorf("stream %d is empty", id+1)
			}
		}
	})
}

func TestRefusedTokens(t *testing.T) {
	_, other, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		p := inMemory(t)
		pr := p.join(t, nil)
		l := p.welcomed(t)
		stranger := &plane{key: other}
		good := p.token(t, nil)
		id := uint64(0)
		for name, token := range map[string]string{
			"none":           "",
			"wrong audience": p.token(t, func(_, c object) { c["aud"] = "runner:" + orgID }),
			"expired":        p.token(t, func(_, c object) { c["exp"] = time.Now().Add(-2 * time.Minute).Unix() }),
			"another issuer": p.token(t, func(_, c object) { c["iss"] = "https://evil.example" }),
			"another scope":  p.token(t, func(_, c object) { c["scope"] = "admin" }),
			"another key":    stranger.token(t, nil),
			"unknown key id": p.token(t, func(h, _ object) { h["kid"] = "k9" }),
			"alg none":       p.token(t, func(h, _ object) { h["alg"] = "none" }),
			"tampered":       good[:len(good)-8] + "AAAAAAAA",
		} {
			for _, source := range []*linkv1.StreamOpen{logs(0, true), supportBundle()} {
				id++
				l.open(t, id, token, source, 1<<30)
				c := expect(t, l, (*linkv1.RunnerFrame).GetStreamClose)
				if c.GetStreamId() != id || !c.GetTokenRefused() || c.GetError() == "" || token != "" && strings.Contains(c.GetError(), token) {
					t.Errorf("%s: %v", name, c)
				}
			}
		}

		// Keys can change while the link stands.
		l.send(t, &linkv1.PlaneFrame{Frame: &linkv1.PlaneFrame_VerificationKeys{VerificationKeys: p.verificationKeys("k2")}})
		l.open(t, 1000, good, logs(1, false), 1<<20)
		if c := expect(t, l, (*linkv1.RunnerFrame).GetStreamClose); !c.GetTokenRefused() {
			t.Errorf("a token of the old key: %v", c)
		}
		l.open(t, 1001, p.token(t, func(h, _ object) { h["kid"] = "k2" }), logs(1, false), 1<<20)
		if text, c := l.all(t, 1001); text == "" || c.GetError() != "" {
			t.Errorf("a token of the new key: %v", c)
		}
		if strings.Contains(pr.logs.String(), good[len(good)-20:]) {
			t.Error("a token was logged")
		}
	})
}

// A reader that is slower than the log loses lines, and the runner is not held
// up.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inMemory(t)
		p.join(t, nil)
		l := p.welcomed(t)
		l.open(t, 1, p.token(t, nil), logs(1, true), 1)
		expect(t, l, (*linkv1.RunnerFrame).GetStreamData)
		for i := range int64(11_000) {
			l.configure(t, &linkv1.Configuration{Revision: i + 1})
		}
		l.credit(t, 1, 1<<31)
		text := l.text(t, 1, func(s string) bool { return strings.Contains(s, `"revision":11000`) })
		if !strings.Contains(text, "this reader was too slow and lost ") {
			t.Errorf("got %.500s", text)
		}
	})
}

func TestLogLevelGovernsWhatIsServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := inMemory(t)
		pr := p.join(t, nil)
		l := p.welcomed(t)
		level := func(revision int64, level gitpodv1.LogLevel) {
			t.Helper()
			before := time.Now()
			ack := l.configure(t, &linkv1.Configuration{Revision: revision, Spec: &gitpodv1.RunnerConfiguration{LogLevel: level}})
			if ack.GetRevision() != revision || ack.GetError() != "" || len(ack.GetUnsupported()) != 0 || time.Since(before) > time.Second {
				t.Errorf("after %s: %v", time.Since(before), ack)
			}
		}
		read := func(id uint64, want bool, part string) {
			t.Helper()
			l.open(t, id, p.token(t, nil), logs(1, false), 1<<20)
			if text, _ := l.all(t, id); strings.Contains(text, part) != want {
				t.Errorf("%q in %q: want %v", part, text, want)
			}
		}
		level(1, gitpodv1.LogLevel_LOG_LEVEL_ERROR)
		read(1, false, "the logs are read")
		level(2, gitpodv1.LogLevel_LOG_LEVEL_DEBUG)
		<-time.After(2 * renewEvery)
		synctest.Wait()
		pr.logs.has(t, `"level":"DEBUG","msg":"the lease was renewed"`)
		level(3, gitpodv1.LogLevel_LOG_LEVEL_UNSPECIFIED)
		read(2, true, "the logs are read")
		if got := pr.level.Level().String(); got != "INFO" {
			t.Errorf("the level is %s", got)
		}
	})
}

func breakIdentity(t *testing.T, dir string) {
	t.Helper()
	path := filepath.Join(dir, "identity.json")
	if err := os.Rename(path, path+".bak"); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(path, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
}

func repairIdentity(t *testing.T, dir string) {
	t.Helper()
	path := filepath.Join(dir, "identity.json")
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".bak", path); err != nil {
		t.Fatal(err)
	}
}
