package link

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/musterhq/muster/gen/muster/link/v1"
	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/hosttoken"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/seal"
)

// calmFleet accepts everything.
type calmFleet struct{}

func (calmFleet) OpenSession(context.Context, access.Caller, fleet.Opening) (int64, error) {
	return 1, nil
}
func (calmFleet) EndSession(context.Context, id.Runner, int64, string) error      { return nil }
func (calmFleet) SetReport(context.Context, id.Runner, int64, fleet.Report) error { return nil }
func (calmFleet) SetNotice(context.Context, id.Runner, int64, string) error       { return nil }
func (calmFleet) Desired(context.Context, id.Runner) (fleet.Desired, error) {
	return fleet.Desired{}, nil
}
func (calmFleet) FinishDelete(context.Context, id.Runner) error { return nil }
func (calmFleet) Applied(context.Context, id.Runner, int64, int64, []string, string) error {
	return nil
}

func (calmFleet) Deliver(context.Context, access.Caller, string) (seal.Secret, error) {
	return seal.Secret("sealed"), nil
}

func (calmFleet) Refreshed(context.Context, access.Caller, string, seal.Digest, *hosttoken.Values) (int64, bool, error) {
	return 1, false, nil
}

type calmReplica struct{}

func (calmReplica) ID() string                  { return "replica" }
func (calmReplica) Held() bool                  { return true }
func (calmReplica) Prove(context.Context) error { return nil }

// script is a runner that sends prepared bytes as frames.
type script struct{ frames [][]byte }

func (s *script) Receive() (*linkv1.RunnerFrame, error) {
	if len(s.frames) == 0 {
		return nil, io.EOF
	}
	raw := s.frames[0]
	s.frames = s.frames[1:]
	f := &linkv1.RunnerFrame{}
	if err := proto.Unmarshal(raw, f); err != nil {
		return nil, fault.New(fault.InvalidArgument, fault.MalformedFrame, "not a frame").WithCause(err)
	}
	return f, nil
}

func (*script) Send(*planeFrame) error           { return nil }
func (*script) SetReadDeadline(time.Time) error  { return nil }
func (*script) SetWriteDeadline(time.Time) error { return nil }

// FuzzFrames sends two frames of any bytes after a good Hello: nothing may
// panic, no refusal may be an internal error, and the hub must stay in order.
func FuzzFrames(f *testing.F) {
	frame := func(m *linkv1.RunnerFrame) []byte {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		return b
	}
	hello := frame(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_Hello{Hello: &linkv1.Hello{
		ProtocolVersion: 1, BootId: "0192bbbb-0000-7000-8000-000000000001", PublicKey: make([]byte, 32), Report: &linkv1.Report{},
	}}})
	f.Add(hello, frame(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_Renewal{Renewal: &linkv1.Renewal{Sequence: 1}}}))
	f.Add(frame(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_Report{Report: &linkv1.Report{Phase: 6, Message: "m", Capabilities: nil}}}),
		frame(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_Goodbye{Goodbye: &linkv1.Goodbye{Reason: "r"}}}))
	f.Add(frame(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_StreamData{StreamData: &linkv1.StreamData{StreamId: 1, Data: []byte("x")}}}),
		frame(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_StreamClose{StreamClose: &linkv1.StreamClose{StreamId: 1, Error: "e", TokenRefused: true}}}))
	f.Add(frame(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_ConfigurationAck{ConfigurationAck: &linkv1.ConfigurationAck{Revision: -1, Unsupported: []string{"x"}}}}),
		frame(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_Deleted{}}))
	f.Add(frame(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_SecretRequest{SecretRequest: &linkv1.SecretRequest{RequestId: 1, Name: "runner/x/y"}}}),
		frame(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_Reply{Reply: &linkv1.Reply{RequestId: 2, Error: "e"}}}))
	f.Add(frame(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_Reply{}}),
		frame(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_Reply{Reply: &linkv1.Reply{RequestId: 2, Reply: &linkv1.Reply_TokenRotated{}}}}))
	f.Add(frame(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_Hello{Hello: &linkv1.Hello{
		ProtocolVersion: 1, BootId: "0192bbbb-0000-7000-8000-000000000001", PublicKey: make([]byte, 32), SigningKey: make([]byte, 32), Report: &linkv1.Report{},
	}}}), frame(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_KeyProof{KeyProof: &linkv1.KeyProof{Proof: make([]byte, 32)}}}))
	f.Add(hello, frame(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_Reply{Reply: &linkv1.Reply{
		RequestId: 2, Failure: &linkv1.Failure{Code: 9, Reason: "sign-in-required", Message: "m", Field: "host"},
	}}}))
	f.Add(frame(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_TokenRefreshed{TokenRefreshed: &linkv1.TokenRefreshed{
		RequestId: 1, TokenId: "0192ffff-0000-7000-8000-000000000001", Values: &linkv1.SignedIn{SealedToken: []byte("t")},
	}}}), frame(&linkv1.RunnerFrame{Frame: &linkv1.RunnerFrame_TokenRefreshed{TokenRefreshed: &linkv1.TokenRefreshed{Refused: true}}}))
	f.Add([]byte{}, []byte{0xff, 0xff})
	f.Fuzz(func(t *testing.T, first, second []byte) {
		h := New(Config{Fleet: calmFleet{}, Secrets: calmFleet{}, Tokens: calmFleet{}, Replica: calmReplica{}, Log: slog.New(slog.DiscardHandler)})
		run := func(frames ...[]byte) {
			s := &script{frames}
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			caller := access.Caller{Subject: access.Subject{Principal: access.PrincipalRunner, ID: "0192aaaa-0000-7000-8000-00000000000a"}}
			c := newConn(caller, s, s, cancel)
			sess, err := h.open(ctx, caller, c)
			if err == nil {
				if _, oerr := h.OpenStream(ctx, sess.runner, "token", Logs(1, true)); oerr != nil {
					t.Fatalf("a connected runner is not there: %v", oerr)
				}
				_, waiting, aerr := c.ask(question, "")
				if aerr != nil {
					t.Fatalf("a connected runner cannot be asked: %v", aerr)
				}
				err = h.receive(ctx, sess, c)
				c.close()
				<-waiting // with a reply, or closed
				h.detach(sess, c)
			}
			if err != nil && !errors.Is(err, io.EOF) && fault.Is(err, fault.Internal) {
				t.Fatalf("the frames %x end in %v", frames, err)
			}
		}
		run(first, second)
		run(hello, first, second)
		if _, links := h.Counts(); links != 0 {
			t.Fatalf("%d links are left", links)
		}
	})
}
