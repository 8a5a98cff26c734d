package runnerschema_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/musterhq/muster/internal/runnerschema"
)

func TestCheck(t *testing.T) {
	field := func(id string, ft runnerschema.Type) runnerschema.Field { return runnerschema.Field{ID: id, Type: ft} }
	required := func(id string, ft runnerschema.Type) runnerschema.Field {
		return runnerschema.Field{ID: id, Type: ft, Required: true}
	}
	long := strings.Repeat("x", 300)
	for name, c := range map[string]struct {
		fields []runnerschema.Field
		values []string // "key=value"
		want   []string // "key: part of the problem"
	}{
		"a schema without fields takes anything": {nil, []string{"a=b", "c="}, nil},
		"a key twice, without fields":            {nil, []string{"a=b", "c=d", "a=b"}, []string{"a: is set 2 times"}},
		"no key":                                 {nil, []string{"=b"}, []string{": needs one"}},
		"a long key":                             {nil, []string{long + "=b"}, []string{long + ": more than 255 bytes"}},
		"a long value":                           {nil, []string{"a=" + strings.Repeat("x", 5000)}, []string{"a: more than 4096 bytes"}},
		"an unknown key": {
			[]runnerschema.Field{field("cpu", runnerschema.Int{}), field("note", runnerschema.Display{})},
			[]string{"gpu=1"},
			[]string{"gpu: not a setting of this runner; it has cpu"},
		},
		"only display fields": {[]runnerschema.Field{field("note", runnerschema.Display{})}, []string{"gpu=1"}, []string{"gpu: none that can be set"}},
		"all at once, each once": {
			[]runnerschema.Field{required("cpu", runnerschema.Int{Min: 1, Max: 8}), required("disk", runnerschema.String{}), field("fast", runnerschema.Bool{}), required("disk", runnerschema.String{})},
			[]string{"fast=yes", "gpu=1", "cpu=9", "gpu=2"},
			[]string{"fast: \"true\" or \"false\"", "gpu: set 2 times", "cpu: from 1 to 8", "disk: is required"},
		},
		"required and empty":              {[]runnerschema.Field{required("disk", runnerschema.String{})}, []string{"disk="}, []string{"disk: must not be empty"}},
		"optional and empty":              {[]runnerschema.Field{field("disk", runnerschema.String{})}, []string{"disk="}, nil},
		"a required display field":        {[]runnerschema.Field{required("note", runnerschema.Display{})}, nil, nil},
		"a display field that is set":     {[]runnerschema.Field{field("note", runnerschema.Display{})}, []string{"note=x"}, []string{"note: cannot be set"}},
		"a secret":                        {[]runnerschema.Field{{ID: "key", Secret: true, Required: true}}, []string{"key=x"}, []string{"key: secret"}},
		"a required secret":               {[]runnerschema.Field{{ID: "key", Secret: true, Required: true}}, nil, nil},
		"a type of tomorrow":              {[]runnerschema.Field{field("new", nil)}, []string{"new=x"}, nil},
		"a required one of tomorrow":      {[]runnerschema.Field{required("new", nil)}, []string{"new="}, []string{"new: must not be empty"}},
		"bool":                            {[]runnerschema.Field{field("b", runnerschema.Bool{})}, []string{"b=true"}, nil},
		"bool in another case":            {[]runnerschema.Field{field("b", runnerschema.Bool{})}, []string{"b=True"}, []string{"b: must be"}},
		"int at its bounds":               {[]runnerschema.Field{field("a", runnerschema.Int{Min: -1, Max: 1}), field("b", runnerschema.Int{Min: -1, Max: 1})}, []string{"a=-1", "b=1"}, nil},
		"int below":                       {[]runnerschema.Field{field("n", runnerschema.Int{Min: 1, Max: 8})}, []string{"n=0"}, []string{"n: from 1 to 8"}},
		"int without range":               {[]runnerschema.Field{field("n", runnerschema.Int{})}, []string{"n=-2147483648"}, nil},
		"int without a largest":           {[]runnerschema.Field{field("n", runnerschema.Int{Min: 2}), field("m", runnerschema.Int{Min: 2})}, []string{"n=1", "m=9000"}, []string{"n: from 2"}},
		"int up to zero":                  {[]runnerschema.Field{field("n", runnerschema.Int{Min: -4})}, []string{"n=1"}, []string{"n: from -4 to 0"}},
		"int of more than 32 bits":        {[]runnerschema.Field{field("n", runnerschema.Int{})}, []string{"n=2147483648"}, []string{"n: whole number"}},
		"int in another form":             {[]runnerschema.Field{field("n", runnerschema.Int{})}, []string{"n=+4"}, []string{"n: whole number"}},
		"int with a zero in front":        {[]runnerschema.Field{field("n", runnerschema.Int{})}, []string{"n=04"}, []string{"n: whole number"}},
		"a fraction":                      {[]runnerschema.Field{field("n", runnerschema.Int{Min: 1, Max: 2})}, []string{"n=1.5"}, []string{"n: whole number from 1 to 2"}},
		"enum":                            {[]runnerschema.Field{field("e", runnerschema.Enum{Values: []string{"s", "m"}})}, []string{"e=m"}, nil},
		"enum, another":                   {[]runnerschema.Field{field("e", runnerschema.Enum{Values: []string{"s", "m"}})}, []string{"e=M"}, []string{"e: one of s, m"}},
		"enum without values":             {[]runnerschema.Field{field("e", runnerschema.Enum{})}, []string{"e=m"}, []string{"e: fault of the runner"}},
		"pattern":                         {[]runnerschema.Field{field("p", runnerschema.String{Pattern: "a+|b"})}, []string{"p=aaa"}, nil},
		"pattern that matches a part":     {[]runnerschema.Field{field("p", runnerschema.String{Pattern: "a|b"})}, []string{"p=ab"}, []string{"p: must match a|b as a whole"}},
		"pattern and a line at the end":   {[]runnerschema.Field{field("p", runnerschema.String{Pattern: "(?m)^a$"})}, []string{"p=a\n"}, []string{"p: must match"}},
		"pattern that is none":            {[]runnerschema.Field{field("p", runnerschema.String{Pattern: "(?=a)"})}, []string{"p=a"}, []string{"p: fault of the runner"}},
		"pattern that closes the anchors": {[]runnerschema.Field{field("p", runnerschema.String{Pattern: "a)|(?:.*"})}, []string{"p=zzz"}, []string{"p: fault of the runner"}},
	} {
		t.Run(name, func(t *testing.T) {
			var values []runnerschema.Value
			for _, v := range c.values {
				k, v, _ := strings.Cut(v, "=")
				values = append(values, runnerschema.Value{Key: k, Value: v})
			}
			got := runnerschema.Check(c.fields, values)
			if len(got) != len(c.want) {
				t.Fatalf("%v, want %q", got, c.want)
			}
			for i, e := range got {
				key, part, _ := strings.Cut(c.want[i], ": ")
				if e.Key != key || !strings.Contains(e.Problem, part) {
					t.Errorf("%s, want %q", e, c.want[i])
				}
			}
		})
	}
}

func TestTooManySettings(t *testing.T) {
	var values []runnerschema.Value
	for i := range 102 {
		values = append(values, runnerschema.Value{Key: fmt.Sprint(i)})
	}
	got := runnerschema.Check(nil, values)
	if len(got) != 1 || got[0].Key != "100" || !strings.Contains(got[0].Problem, "100 settings") {
		t.Errorf("%v", got)
	}
}

// Whatever a runner publishes and whatever somebody sets: nothing panics, each
// key is told once, what is told is about a key that was set or is required, and
// without an error every value is one that its field takes.
func TestCheckAnything(t *testing.T) {
	keys := rapid.SampledFrom([]string{"", "a", "b", "c", "é"})
	value := rapid.OneOf(rapid.SampledFrom([]string{"", "true", "false", "0", "7", "-3", "99", "x", "xx"}), rapid.String())
	types := rapid.OneOf(
		rapid.Just[runnerschema.Type](nil),
		rapid.Just[runnerschema.Type](runnerschema.Bool{}),
		rapid.Just[runnerschema.Type](runnerschema.Display{}),
		rapid.Map(rapid.Int32(), func(n int32) runnerschema.Type { return runnerschema.Int{Min: n, Max: 8} }),
		rapid.Map(rapid.SliceOfN(value, 0, 3), func(v []string) runnerschema.Type { return runnerschema.Enum{Values: v} }),
		rapid.Map(rapid.OneOf(rapid.SampledFrom([]string{"", "x*", "(", "a|x"}), rapid.String()), func(p string) runnerschema.Type { return runnerschema.String{Pattern: p} }),
	)
	fields := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) runnerschema.Field {
		return runnerschema.Field{ID: keys.Draw(t, "id"), Required: rapid.Bool().Draw(t, "required"), Secret: rapid.Bool().Draw(t, "secret"), Type: types.Draw(t, "type")}
	}), 0, 4)
	values := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) runnerschema.Value {
		return runnerschema.Value{Key: keys.Draw(t, "key"), Value: value.Draw(t, "value")}
	}), 0, 5)
	rapid.Check(t, func(t *rapid.T) {
		fs, vs := fields.Draw(t, "fields"), values.Draw(t, "values")
		found := runnerschema.Check(fs, vs)
		told := map[string]bool{}
		for _, e := range found {
			set := slices.ContainsFunc(vs, func(v runnerschema.Value) bool { return v.Key == e.Key })
			wanted := slices.ContainsFunc(fs, func(f runnerschema.Field) bool { return f.ID == e.Key && f.Required })
			if e.Problem == "" || told[e.Key] || !set && !wanted {
				t.Fatalf("%v of %v", e, found)
			}
			told[e.Key] = true
		}
		if diff := cmp.Diff(found, runnerschema.Check(fs, vs)); diff != "" {
			t.Fatalf("another time it says something else: %s", diff)
		}
		for _, v := range vs {
			i := slices.IndexFunc(fs, func(f runnerschema.Field) bool { return f.ID == v.Key })
			if told[v.Key] || i < 0 {
				continue
			}
			if _, display := fs[i].Type.(runnerschema.Display); display || fs[i].Secret {
				t.Fatalf("%v was taken", v)
			}
		}
	})
}
