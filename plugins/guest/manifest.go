package weir

import (
	"errors"
	"slices"

	"weir/abi"
)

// manifest describes the registry, or says all that is wrong with it.
func (r *registry) manifest() (*abi.Manifest, error) {
	functions := r.ordered()
	m := &abi.Manifest{ABI: abi.Version, Name: r.name, Version: r.version}
	problems := slices.Clone(r.problems)
	for _, s := range r.statements {
		m.Statements = append(m.Statements, s.describe())
		if s.problem != nil {
			problems = append(problems, errors.New(s.title()+" "+s.problem.Error()))
		}
	}
	for _, f := range functions {
		described, err := f.describe(r)
		if err != nil {
			problems = append(problems, errors.New(f.name+": "+err.Error()))
		}
		m.Functions = append(m.Functions, described)
	}
	return m, errors.Join(problems...)
}

// encoded returns the manifest as weir_describe gives it.
func (r *registry) encoded() ([]byte, error) {
	m, err := r.manifest()
	if err != nil {
		return nil, err
	}
	return abi.AppendManifest(nil, m), nil
}

func (s *statement) describe() abi.Statement {
	out := abi.Statement{SQL: s.sql, Key: s.key}
	for _, n := range s.nests {
		out.Nest = append(out.Nest, abi.Nest{Name: n.name, On: n.on, Statement: int(n.child.index), Column: n.column})
	}
	return out
}

func (f *function) describe(r *registry) (abi.Function, error) {
	out := abi.Function{Name: f.name, Kind: f.kind, Doc: f.doc, Result: f.body.result}
	for _, in := range f.body.args {
		switch in.source {
		case fromCaller:
			out.Fields = append(out.Fields, abi.Field{Name: in.name, Schema: in.codec.schema})
		case fromClaim:
			out.Claims = append(out.Claims, abi.Claim{Name: in.name, Claim: in.claim, Schema: in.codec.schema})
		case fromScope:
			out.Scope = append(out.Scope, abi.Field{Name: in.name, Schema: in.codec.schema})
		case fromAction:
			out.Action = true
		case fromFunction:
			out.Call = true
		}
	}
	for _, p := range f.policies {
		if p == nil {
			return out, errors.New("weir.Require was given nil: declare the policy at package level")
		}
		out.Access.Policies = append(out.Access.Policies, p.name)
	}
	out.Access.SignedIn, out.Access.Public = f.signedIn, f.public
	if s := f.body.statement; s != nil {
		index := int(s.index)
		out.Statement = &index
		return out, nil // the statement tells its own problem
	}
	out.Uses = f.usesOf(r)
	return out, f.body.problem
}

// usesOf lists the statements that a guest function may run. It does not know
// what the handler calls, so it lists all that the kind allows, unless Uses
// says less. What a listed statement nests is listed too.
func (f *function) usesOf(r *registry) []int {
	var out []int
	var add func(s *statement)
	add = func(s *statement) {
		if slices.Contains(out, int(s.index)) {
			return
		}
		out = append(out, int(s.index))
		for _, n := range s.nests {
			add(n.child)
		}
	}
	if f.usesSet {
		for _, s := range f.uses {
			add(s)
		}
	} else {
		for _, s := range r.statements {
			if !s.policy && (f.kind == abi.Mutation || !s.writes) {
				add(s)
			}
		}
	}
	slices.Sort(out)
	return out
}
