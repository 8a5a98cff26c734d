package gitpodv1

import (
	"context"
	"fmt"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/musterhq/muster/gen/gitpod/v1"
	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/runnerschema"
)

// GetRunnerConfigurationSchema returns the schema that a runner last published;
// an empty one before it ever connected.
func (s *RunnerConfiguration) GetRunnerConfigurationSchema(ctx context.Context, req *connect.Request[gitpodv1.GetRunnerConfigurationSchemaRequest]) (*connect.Response[gitpodv1.GetRunnerConfigurationSchemaResponse], error) {
	r, err := s.Classes.Runner(ctx, access.CallerOf(ctx), runnerID(req.Msg))
	if err != nil {
		return nil, err
	}
	schema, err := published(r.Schema)
	if err != nil {
		return nil, fault.Wrap(err, "reading the runner's schema")
	}
	return connect.NewResponse(&gitpodv1.GetRunnerConfigurationSchemaResponse{Schema: schema}), nil
}

// ParseSchema reads what fleet.Runner.Schema holds; no bytes are the zero Schema.
func ParseSchema(stored []byte) (runnerschema.Schema, error) {
	m, err := published(stored)
	if err != nil {
		return runnerschema.Schema{}, err
	}
	var out runnerschema.Schema
	for _, f := range m.GetEnvironmentClasses() {
		out.Classes = append(out.Classes, runnerschema.Field{ID: f.GetId(), Required: f.GetRequired(), Secret: f.GetSecret(), Type: fieldType(f)})
	}
	for _, k := range m.GetScm() {
		out.SCM = append(out.SCM, runnerschema.SCM{ID: k.GetScmId(), OAuth: k.GetOauth() != nil, PAT: k.GetPat() != nil})
	}
	return out, nil
}

func fieldType(f *gitpodv1.RunnerConfigurationSchema_Field) runnerschema.Type {
	switch t := f.GetType().(type) {
	case *gitpodv1.RunnerConfigurationSchema_Field_String_:
		return runnerschema.String{Pattern: t.String_.GetPattern()}
	case *gitpodv1.RunnerConfigurationSchema_Field_Bool:
		return runnerschema.Bool{}
	case *gitpodv1.RunnerConfigurationSchema_Field_Int:
		return runnerschema.Int{Min: t.Int.GetMin(), Max: t.Int.GetMax()}
	case *gitpodv1.RunnerConfigurationSchema_Field_Enum:
		var values []string
		for _, v := range t.Enum.GetPossibleValues() {
			values = append(values, v.GetTitle())
		}
		return runnerschema.Enum{Values: values}
	case *gitpodv1.RunnerConfigurationSchema_Field_Display:
		return runnerschema.Display{}
	default:
		return nil
	}
}

// published reads a stored schema. Its choices have both the old and the new
// form, whichever of them the runner sent.
func published(stored []byte) (*gitpodv1.RunnerConfigurationSchema, error) {
	m := &gitpodv1.RunnerConfigurationSchema{}
	if err := proto.Unmarshal(stored, m); err != nil {
		return nil, fmt.Errorf("gitpodv1: the stored schema of a runner cannot be read: %w", err)
	}
	for _, fields := range [][]*gitpodv1.RunnerConfigurationSchema_Field{m.GetRunnerConfig(), m.GetEnvironmentClasses()} {
		for _, f := range fields {
			if e := f.GetEnum(); e != nil {
				bothForms(e)
			}
		}
	}
	return m, nil
}

//nolint:staticcheck // the deprecated form is for old clients
func bothForms(e *gitpodv1.RunnerConfigurationSchema_EnumField) {
	if len(e.PossibleValues) == 0 {
		for _, title := range e.Values {
			e.PossibleValues = append(e.PossibleValues, &gitpodv1.RunnerConfigurationSchema_EnumField_Value{Title: title})
		}
	}
	if e.DefaultValue == nil && e.Default != "" {
		e.DefaultValue = &gitpodv1.RunnerConfigurationSchema_EnumField_Value{Title: e.Default}
	}
	if len(e.Values) == 0 {
		for _, v := range e.PossibleValues {
			e.Values = append(e.Values, v.GetTitle())
		}
	}
	if e.Default == "" {
		e.Default = e.DefaultValue.GetTitle()
	}
}
