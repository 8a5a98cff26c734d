// Package runnerschema has what a runner's configuration schema says about
// values that others set: the settings of environment classes, and the kinds of
// source code host.
//
// It is pure: it knows neither the wire, on which runners publish schemas, nor
// where they are kept.
package runnerschema

// Schema is what a runner understands. The zero Schema is that of a runner that
// has not published one. A list that is empty says nothing: what it would be
// about is then not limited by the schema.
type Schema struct {
	// Classes are the settings of environment classes.
	Classes []Field
	// SCM are the kinds of source code host.
	SCM []SCM
}

// SCM is a kind of source code host that a runner can talk to.
type SCM struct {
	ID string
	// OAuth and PAT tell in which ways people can sign in to it.
	OAuth bool
	PAT   bool
}

// Field is one setting.
type Field struct {
	ID       string
	Required bool
	// Secret values must not be shown.
	Secret bool
	// Type is one of String, Bool, Int, Enum and Display; nil for a type that
	// this control plane does not know, which takes any text.
	Type Type
}

// Type is the kind of value that a field takes.
type Type interface {
	// check returns what is wrong with a value, as a phrase that follows its
	// key; empty when nothing is.
	check(value string) string
}

// String takes text.
type String struct {
	// Pattern is a regular expression (RE2) that the whole value must match; empty
	// for none.
	Pattern string
}

// Bool takes "true" and "false".
type Bool struct{}

// Int takes whole numbers of 32 bits from Min to Max, both included. A Max below
// Min is none, and when both are 0 there is no range.
type Int struct {
	Min, Max int32
}

// Enum takes one of a list of values. When the list is empty no value will do.
type Enum struct {
	Values []string
}

// Display is shown to people and takes no value.
type Display struct{}
