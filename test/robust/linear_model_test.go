package robust_test

import (
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/anishathalye/porcupine"
)

// model says what the calls of linear_test.go do when they come one after the
// other. Each thing is by itself.
var model = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		things := map[string][]porcupine.Operation{}
		for _, op := range history {
			thing := op.Input.(step).thing
			things[thing] = append(things[thing], op)
		}
		var parts [][]porcupine.Operation
		for _, ops := range things {
			parts = append(parts, ops)
		}
		return parts
	},
	Init: func() any { return thing{name: "at first", text: "at first"} },
	Step: func(state, input, output any) (bool, any) {
		return state.(thing).step(input.(step), output.(outcome))
	},
}

// thing is the state of one group with its policy, one share, or one class.
type thing struct {
	id   string // of the group; empty when there is none
	name string // of the class
	text string // description
	role string // of the policy or the share; empty for none
}

func (s thing) step(c step, a outcome) (bool, any) {
	if strings.HasPrefix(c.thing, "group") {
		return s.groupStep(c, a)
	}
	switch c.verb {
	case "share":
		s.role = c.text
		return a.code == success, s
	case "unshare":
		if s.role == "" {
			return a.code == connect.CodeNotFound, s
		}
		s.role = ""
		return a.code == success, s
	case "shared":
		return a.text == s.role, s
	case "name":
		s.name = c.text
		return a.code == success, s
	case "describe":
		s.text = c.text
		return a.code == success, s
	default:
		return a.text == s.name && a.more == s.text, s
	}
}

func (s thing) groupStep(c step, a outcome) (bool, any) {
	there := s.id != "" && s.id == c.id
	switch c.verb {
	case "create":
		if s.id != "" {
			return a.code == connect.CodeAlreadyExists, s
		}
		return a.code == success, thing{id: a.id, text: c.text}
	case "get":
		if s.id == "" {
			return a.code == connect.CodeNotFound, s
		}
		return a.code == success && a.id == s.id && a.text == s.text, s
	case "policy":
		if !there {
			return a.text == "", s
		}
		return a.text == s.role, s
	}
	if !there {
		return a.code == connect.CodeNotFound, s
	}
	switch c.verb {
	case "update":
		s.text = c.text
	case "delete":
		s = thing{}
	case "grant":
		if s.role != "" {
			return a.code == connect.CodeAlreadyExists, s
		}
		s.role = c.text
	case "regrant", "revoke":
		if s.role == "" {
			return a.code == connect.CodeNotFound, s
		}
		s.role = ""
		if c.verb == "regrant" {
			s.role = c.text
		}
	}
	return a.code == success, s
}

// The model finds what must not happen.
func TestTheModelCanSayNo(t *testing.T) {
	op := func(client int, begin, end int64, c step, a outcome) porcupine.Operation {
		return porcupine.Operation{ClientId: client, Input: c, Output: a, Call: begin, Return: end}
	}
	for name, history := range map[string][]porcupine.Operation{
		"a lost update": {
			op(0, 1, 2, step{thing: "class 1", verb: "name", text: "x"}, outcome{}),
			op(1, 3, 4, step{thing: "class 1", verb: "describe", text: "y"}, outcome{}),
			op(0, 5, 6, step{thing: "class 1", verb: "read"}, outcome{text: "at first", more: "y"}),
		},
		"two groups of one name": {
			op(0, 1, 2, step{thing: "group 1", verb: "create"}, outcome{id: "a"}),
			op(1, 1, 2, step{thing: "group 1", verb: "create"}, outcome{id: "b"}),
		},
		"a policy that outlives its group": {
			op(0, 1, 2, step{thing: "group 1", verb: "create"}, outcome{id: "a"}),
			op(0, 3, 4, step{thing: "group 1", verb: "grant", id: "a", text: "USER"}, outcome{}),
			op(0, 5, 6, step{thing: "group 1", verb: "delete", id: "a"}, outcome{}),
			op(0, 7, 8, step{thing: "group 1", verb: "policy", id: "a"}, outcome{text: "USER"}),
		},
	} {
		if porcupine.CheckOperations(model, history) {
			t.Errorf("%s is accepted", name)
		}
	}
}
