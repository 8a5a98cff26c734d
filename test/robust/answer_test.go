package robust_test

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/proto"
)

// apiError is an error as the API writes it.
type apiError struct {
	Code    string
	Message string
	Details []struct{ Type, Value string }

	info errdetails.ErrorInfo
}

// readError reads the body of an answer that is no success, or the end of a
// stream.
func readError(body []byte) (*apiError, error) {
	e := &apiError{}
	stream := struct{ Error *apiError }{e}
	if err := json.Unmarshal(body, e); err != nil {
		return nil, fmt.Errorf("the error is no JSON: %.200q", body)
	}
	if e.Code == "" {
		if err := json.Unmarshal(body, &stream); err != nil {
			return nil, err
		}
	}
	for _, d := range e.Details {
		if d.Type != "google.rpc.ErrorInfo" {
			continue
		}
		raw, err := base64.RawStdEncoding.DecodeString(d.Value)
		if err == nil {
			err = proto.Unmarshal(raw, &e.info)
		}
		if err != nil {
			return nil, err
		}
	}
	return e, nil
}

// insides are words that say more about the program than about the request.
var insides = regexp.MustCompile(`(?i)sqlite|sqlstate|pgx|proto:|protojson|unmarshal|goroutine|runtime error|nil pointer|\.go:[0-9]|strconv|reflect|EOF`)

// flaw says what is wrong with an error; nothing when it is as it should be.
func (e *apiError) flaw(status int, unreadable bool) string {
	switch {
	case e.Code == "" || e.Message == "":
		return fmt.Sprintf("status %d without code or message", status)
	case e.Code == "internal" || e.Code == "unknown" || e.Code == "data_loss":
		return fmt.Sprintf("%s: %s", e.Code, e.Message)
	case status == http.StatusServiceUnavailable && (e.info.GetReason() == "runner-offline" || e.info.GetReason() == "runner-refused"):
		return "" // the runner's fault, such as that it is busy with the same
	case status >= 500 && status != http.StatusNotImplemented:
		return fmt.Sprintf("status %d: %s", status, e.Message)
	case e.info.GetReason() == "":
		return fmt.Sprintf("no reason: %s: %s", e.Code, e.Message)
	case insides.MatchString(e.Message):
		return "it speaks of insides: " + e.Message
	case len(e.Message) > 2000:
		return fmt.Sprintf("a message of %d bytes: %.100s", len(e.Message), e.Message)
	case e.Code == "invalid_argument" && !unreadable && e.info.GetMetadata()["field"] == "":
		return "it names no field: " + e.Message
	}
	return ""
}

// envelope puts a message into the frame that streams use.
func envelope(flags byte, message []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{flags}, uint32(len(message))), message...)
}

// endOfStream returns the last message of a stream, which may hold an error; nil
// when the stream has not ended, or ended well.
func endOfStream(body []byte) []byte {
	for len(body) >= 5 {
		n := int(binary.BigEndian.Uint32(body[1:5]))
		if len(body) < 5+n {
			return nil
		}
		if message := body[5 : 5+n]; body[0]&2 != 0 {
			if string(message) == "{}" {
				return nil
			}
			return message
		}
		body = body[5+n:]
	}
	return nil
}
