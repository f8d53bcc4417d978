package abi

import (
	"slices"
	"strconv"
)

// Caller is where a function's input comes from beside its arguments. A nil
// function has nothing.
type Caller struct {
	Claim func(name string) (Value, bool) // claims of the caller's token, by their names for plugins
	Scope func(name string) (Value, bool) // values that policies put into the scope
	// Action and Function are what a policy is asked about, for Input.
	// GuardInput takes them from the guarded function.
	Action   string // "read" or "write"
	Function string
}

// Input is all that a function sees of its caller. It is immutable.
type Input struct {
	// Values are the fields, the claims, the scope, then action and function
	// of a policy that wants them.
	Values []Value
	// Bytes is the array of Values in deterministic CBOR: what the function
	// receives, and the content of the group key (W4).
	Bytes []byte
}

// SourceError says that a claim or a scope value, which the client does not
// set, is missing or does not fit.
type SourceError struct {
	Function string
	From     string // "claim" or "scope"
	Name     string // the claim's name for plugins, or the scope field
	What     string
}

// Error returns `rooms.list needs the claim "org": WHAT`.
func (e *SourceError) Error() string {
	if e.From == "scope" {
		return e.Function + " needs the scope value " + strconv.Quote(e.Name) + ": " + e.What
	}
	return e.Function + " needs the claim " + strconv.Quote(e.Name) + ": " + e.What
}

// Code returns Denied.
func (e *SourceError) Code() Code { return Denied }

// Arguments returns the schema of the function's arguments: an object that
// accepts nothing but Fields.
func (f *Function) Arguments() *Schema { return &Schema{Type: "object", Fields: f.Fields} }

// Input checks args, a map or null for none, and completes the input of f.
// Errors are *ArgumentError for arguments and *SourceError for the rest.
func (f *Function) Input(args Value, c Caller) (Input, error) {
	if args.IsNull() {
		args = Map(nil, nil)
	}
	values, err := checkFields("", f.Fields, args, make([]Value, 0, f.width()))
	if err != nil {
		return Input{}, err
	}
	return f.complete(values, c)
}

// GuardInput returns the input of policy p for a call of f whose input is in.
// The policy sees the arguments as f does, defaults filled in, and by itself
// neither f's claims nor its scope.
func (f *Function) GuardInput(p *Function, in Input, c Caller) (Input, error) {
	values := make([]Value, 0, p.width())
	for i := range p.Fields {
		name := p.Fields[i].Name
		at := slices.IndexFunc(f.Fields, func(f Field) bool { return f.Name == name })
		if at < 0 || at >= len(in.Values) {
			return Input{}, &ManifestError{What: guardMissing(p, f, name)}
		}
		values = append(values, in.Values[at])
	}
	c.Action, c.Function = "read", f.Name
	if f.Kind == Mutation {
		c.Action = "write"
	}
	return p.complete(values, c)
}

// width is the number of values in the function's input.
func (f *Function) width() int { return len(f.Fields) + len(f.Claims) + len(f.Scope) + 2 }

// complete appends what the client does not set and encodes the whole.
func (f *Function) complete(values []Value, c Caller) (Input, error) {
	for i := range f.Claims {
		cl := &f.Claims[i]
		v, err := f.source("claim", cl.Claim, &cl.Schema, c.Claim)
		if err != nil {
			return Input{}, err
		}
		values = append(values, v)
	}
	for i := range f.Scope {
		v, err := f.source("scope", f.Scope[i].Name, &f.Scope[i].Schema, c.Scope)
		if err != nil {
			return Input{}, err
		}
		values = append(values, v)
	}
	if f.Action {
		values = append(values, Text(c.Action))
	}
	if f.Call {
		values = append(values, Text(c.Function))
	}
	all := Array(values...)
	if all.depth() > MaxDepth {
		return Input{}, wrong("", "nested too deeply")
	}
	return Input{Values: values, Bytes: all.AppendCBOR(make([]byte, 0, 64))}, nil
}

// source takes one value from the caller and checks it.
func (f *Function) source(from, name string, s *Schema, get func(string) (Value, bool)) (Value, error) {
	var v Value
	ok := false
	if get != nil {
		v, ok = get(name)
	}
	if (!ok || v.IsNull()) && !s.Optional && s.Default == nil {
		what := "the caller's token does not have it"
		if from == "scope" {
			what = "no policy puts it there"
		}
		return v, &SourceError{Function: f.Name, From: from, Name: name, What: what}
	}
	checked, err := s.Check(v)
	if e, isArg := err.(*ArgumentError); isArg {
		what := e.What
		if e.Path != "" {
			what = e.Path + ": " + what
		}
		return v, &SourceError{Function: f.Name, From: from, Name: name, What: what}
	}
	return checked, err
}

// depth is how deep arrays and maps nest; a scalar has none.
func (v Value) depth() int {
	if v.typ != TypeArray && v.typ != TypeMap {
		return 0
	}
	deepest := 0
	for i := range v.list {
		deepest = max(deepest, v.list[i].depth())
	}
	return deepest + 1
}
