package envclass

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/musterhq/muster/internal/access"
	"github.com/musterhq/muster/internal/fault"
	"github.com/musterhq/muster/internal/fleet"
	"github.com/musterhq/muster/internal/id"
	"github.com/musterhq/muster/internal/runnerschema"
)

// Lengths of the texts of a class, in characters.
const (
	minText        = 3
	maxDisplayName = 127
	maxDescription = 200
)

// Draft is what somebody wants a class to be.
type Draft struct {
	DisplayName   string
	Description   string
	Configuration []runnerschema.Value
}

// Errors says what is wrong with a draft; what is fine is empty.
type Errors struct {
	DisplayName string
	Description string
	// Configuration has each key once.
	Configuration []runnerschema.Error
}

// None tells that nothing is wrong.
func (e Errors) None() bool {
	return e.DisplayName == "" && e.Description == "" && len(e.Configuration) == 0
}

// mostErrors is how many settings an error names.
const mostErrors = 10

// err is all that is wrong with one field, as a fault; nil when nothing is.
func (e Errors) err() error {
	switch {
	case e.DisplayName != "":
		return fault.Invalid("display_name", "%s", e.DisplayName)
	case e.Description != "":
		return fault.Invalid("description", "%s", e.Description)
	case len(e.Configuration) > 0:
		var all []string
		for i, c := range e.Configuration {
			if i == mostErrors {
				all = append(all, fmt.Sprintf("and %d more", len(e.Configuration)-mostErrors))
				break
			}
			all = append(all, c.String())
		}
		return fault.Invalid("configuration", "%s", strings.Join(all, "; "))
	}
	return nil
}

// Check returns what is wrong with a draft for a runner with that schema. A
// schema that names no settings of classes has nothing to say about them, and
// then any will do.
func Check(schema runnerschema.Schema, d Draft) Errors {
	return Errors{
		DisplayName:   textProblem(d.DisplayName, maxDisplayName),
		Description:   textProblem(d.Description, maxDescription),
		Configuration: runnerschema.Check(schema.Classes, d.Configuration),
	}
}

func textProblem(text string, most int) string {
	if n := utf8.RuneCountInString(text); n < minText || n > most {
		return fmt.Sprintf("must have %d to %d characters, has %d", minText, most, n)
	}
	return ""
}

// Validate checks a draft for a runner without storing it.
func (s *Service) Validate(ctx context.Context, c access.Caller, runner id.Runner, d Draft) (Errors, error) {
	r, err := s.Runner(ctx, c, runner)
	if err != nil {
		return Errors{}, err
	}
	return s.check(&r, d)
}

func (s *Service) check(r *fleet.Runner, d Draft) (Errors, error) {
	schema, err := s.parse(r.Schema)
	if err != nil {
		return Errors{}, fault.Wrap(err, "reading the runner's schema")
	}
	return Check(schema, d), nil
}
