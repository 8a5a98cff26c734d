package rpc

import (
	"errors"
	"fmt"
	"strings"

	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/rpc/rpcerr"
)

// validation holds requests, and only requests, to the rules in the proto
// files. The rules of a message are compiled when it first comes.
type validation struct {
	validator protovalidate.Validator
}

// mostDetails is how many violations an error has as details.
const mostDetails = 25

// unvalidated is the request whose answer lists what is wrong with it.
const unvalidated protoreflect.FullName = "gitpod.v1.ValidateRunnerConfigurationRequest"

func newValidation() (*validation, error) {
	v, err := protovalidate.New()
	if err != nil {
		return nil, fmt.Errorf("rpc: preparing validation: %w", err)
	}
	return &validation{validator: v}, nil
}

// check returns a fault that names every field that breaks a rule.
func (v *validation) check(m proto.Message) error {
	if m.ProtoReflect().Descriptor().FullName() == unvalidated {
		return nil
	}
	err := v.validator.Validate(m)
	if err == nil {
		return nil
	}
	var invalid *protovalidate.ValidationError
	if !errors.As(err, &invalid) || len(invalid.Violations) == 0 {
		return fault.Wrap(err, "checking the request")
	}
	const most = 5
	sentences := make([]string, 0, most+1)
	for i, violation := range invalid.Violations {
		if i == most {
			sentences = append(sentences, fmt.Sprintf("and %d more", len(invalid.Violations)-most))
			break
		}
		sentences = append(sentences, sentence(violation))
	}
	f := fault.New(fault.InvalidArgument, fault.InvalidField, "%s", strings.Join(sentences, "; "))
	f.Field = protovalidate.FieldPathString(invalid.Violations[0].Proto.GetField())
	// A bad value that is sent a hundred thousand times must not make the answer a
	// hundred times as large as the request.
	told := &protovalidate.ValidationError{Violations: invalid.Violations[:min(len(invalid.Violations), mostDetails)]}
	return rpcerr.WithDetails(f, told.ToProto())
}

func sentence(v *protovalidate.Violation) string {
	text := v.Proto.GetMessage()
	if text == "" {
		text = "breaks the rule " + v.Proto.GetRuleId()
	}
	if path := protovalidate.FieldPathString(v.Proto.GetField()); path != "" {
		return path + ": " + text
	}
	return text
}
