// Package out writes the results of commands: as a table for people, and as
// JSON or YAML for programs.
//
// JSON and YAML are the messages of the wire in their standard JSON mapping, so
// that what a script reads from the command line is what the API documents. The
// package knows nothing of what the messages mean.
package out

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	yaml "go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// Format is how a result is written.
type Format string

// The formats.
const (
	FormatTable Format = "table"
	FormatJSON  Format = "json"
	FormatYAML  Format = "yaml"
)

// Message writes one message as JSON or YAML.
func Message(w io.Writer, f Format, m proto.Message) error {
	raw, err := protojson.Marshal(m)
	if err != nil {
		return fmt.Errorf("writing the result as %s: %w", f, err)
	}
	return document(w, f, raw)
}

// MessageWith is Message with one more field, which the message has no place for.
func MessageWith(w io.Writer, f Format, m proto.Message, field, value string) error {
	raw, err := protojson.Marshal(m)
	fields := map[string]json.RawMessage{}
	if err == nil {
		err = json.Unmarshal(raw, &fields)
	}
	if err == nil {
		fields[field], err = json.Marshal(value)
	}
	if err == nil {
		raw, err = json.Marshal(fields)
	}
	if err != nil {
		return fmt.Errorf("writing the result as %s: %w", f, err)
	}
	return document(w, f, raw)
}

// Messages writes messages as one JSON or YAML list.
func Messages[M proto.Message](w io.Writer, f Format, ms []M) error {
	list := make([]json.RawMessage, len(ms))
	for i, m := range ms {
		raw, err := protojson.Marshal(m)
		if err != nil {
			return fmt.Errorf("writing the result as %s: %w", f, err)
		}
		list[i] = raw
	}
	raw, err := json.Marshal(list)
	if err != nil {
		return fmt.Errorf("writing the result as %s: %w", f, err)
	}
	return document(w, f, raw)
}

// Stream writes one result of a series without end: JSON on one line, YAML as a
// document of its own. It has each part under its name.
func Stream(w io.Writer, f Format, parts ...Part) error {
	var buf bytes.Buffer
	for i, p := range parts {
		raw, err := protojson.Marshal(p.Message)
		if err != nil {
			return fmt.Errorf("writing the result as %s: %w", f, err)
		}
		separator := ','
		if i == 0 {
			separator = '{'
		}
		fmt.Fprintf(&buf, "%c%q:%s", separator, p.Name, raw)
	}
	buf.WriteByte('}')
	if f == FormatYAML {
		if _, err := io.WriteString(w, "---\n"); err != nil {
			return err
		}
		return document(w, f, buf.Bytes())
	}
	// The JSON mapping puts blanks where it likes; compact output has none.
	var line bytes.Buffer
	if err := json.Compact(&line, buf.Bytes()); err != nil {
		return fmt.Errorf("writing the result as %s: %w", f, err)
	}
	line.WriteByte('\n')
	_, err := w.Write(line.Bytes())
	return err
}

// Part is a message with the name that it has in the output.
type Part struct {
	Name    string
	Message proto.Message
}

// document writes JSON text indented, or as YAML with its keys in the same
// order.
func document(w io.Writer, f Format, raw []byte) error {
	var buf bytes.Buffer
	switch f {
	case FormatYAML:
		// JSON is YAML already; only the style changes.
		var node yaml.Node
		if err := yaml.Unmarshal(raw, &node); err != nil {
			return fmt.Errorf("writing the result as yaml: %w", err)
		}
		block(&node)
		e := yaml.NewEncoder(&buf)
		e.SetIndent(2)
		if err := e.Encode(&node); err != nil {
			return fmt.Errorf("writing the result as yaml: %w", err)
		}
	default:
		if err := json.Indent(&buf, raw, "", "  "); err != nil {
			return fmt.Errorf("writing the result as json: %w", err)
		}
		buf.WriteByte('\n')
	}
	_, err := w.Write(buf.Bytes())
	return err
}

// block takes the styles of JSON (braces, quotes) from a node and all below it.
// An empty list or object keeps its brackets.
func block(n *yaml.Node) {
	if n.Kind == yaml.ScalarNode || len(n.Content) > 0 {
		n.Style = 0
	}
	for _, c := range n.Content {
		block(c)
	}
}
