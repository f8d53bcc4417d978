package host

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"slices"

	"weir/abi"
	"weir/host/plugin"
	"weir/host/serve"
)

// schema describes a tenant's functions for GET /v1/schema.
func (h *Host) schema(tenantName string) serve.Schema {
	s := h.spaces()[tenantName]
	if s == nil {
		return serve.Schema{}
	}
	var functions []*plugin.Function
	for _, p := range s.plugins.All() {
		functions = append(functions, p.Functions()...)
	}
	public := len(functions) > 0
	for _, f := range functions {
		public = public && (f.Access.Public || f.Kind == abi.Policy)
	}
	// What is built in is no secret and says nothing of the plugins.
	if p := s.plugins.Builtin(); p != nil {
		functions = append(functions, p.Functions()...)
	}
	slices.SortFunc(functions, func(a, b *plugin.Function) int { return cmp.Compare(a.Name, b.Name) })
	doc := serve.Schema{Public: public}
	out := []byte(`{"functions":[`)
	first := true
	for _, f := range functions {
		if f.Kind == abi.Policy {
			continue
		}
		if !first {
			out = append(out, ',')
		}
		first = false
		out = appendFunction(out, f)
	}
	doc.JSON = append(out, "]}"...)
	sum := sha256.Sum256(doc.JSON)
	doc.Digest = base64.RawURLEncoding.EncodeToString(sum[:16])
	return doc
}

func appendFunction(dst []byte, f *plugin.Function) []byte {
	dst = append(dst, `{"name":`...)
	dst = abi.Text(f.Name).AppendJSON(dst)
	dst = append(dst, `,"kind":"`...)
	dst = append(append(dst, f.Kind...), '"')
	dst = abi.Text(f.Plugin.Name()).AppendJSON(append(dst, `,"plugin":`...))
	if f.Doc != "" {
		dst = abi.Text(f.Doc).AppendJSON(append(dst, `,"doc":`...))
	}
	dst = abi.AppendJSONSchema(append(dst, `,"args":`...), f.Arguments())
	dst = append(dst, `,"access":`...)
	switch {
	case f.Access.Public:
		dst = append(dst, `"public"`...)
	case f.Access.SignedIn:
		dst = append(dst, `"signed_in"`...)
	default:
		names := make([]abi.Value, len(f.Access.Policies))
		for i, name := range f.Access.Policies {
			names[i] = abi.Text(name)
		}
		dst = append(abi.Array(names...).AppendJSON(append(dst, `{"policies":`...)), '}')
	}
	if result := resultOf(f); result != nil {
		dst = abi.AppendJSONSchema(append(dst, `,"result":`...), result)
	}
	return append(dst, '}')
}

// resultOf describes a function's result. Of a function that is one statement the
// database knows the columns and their types, and the plugin, if it says
// anything, which of them are never null and what they mean.
func resultOf(f *plugin.Function) *abi.Schema {
	p, ok := f.Plugin.Prepared.(*prepared)
	if f.Statement == nil || !ok {
		return f.Result
	}
	list := p.reads
	if f.Kind == abi.Mutation {
		list = p.writes
	}
	if *f.Statement >= len(list) || list[*f.Statement] == nil {
		return f.Result
	}
	rows := list[*f.Statement].Schema()
	if rows != nil {
		refine(rows, f.Result)
	}
	return rows
}

// refine adds to what the database says of rows what the plugin does.
func refine(rows, declared *abi.Schema) {
	if rows.Items == nil || declared == nil || declared.Items == nil {
		return
	}
	for i := range rows.Items.Fields {
		f := &rows.Items.Fields[i]
		at := slices.IndexFunc(declared.Items.Fields, func(d abi.Field) bool { return d.Name == f.Name })
		if at < 0 {
			continue
		}
		d := &declared.Items.Fields[at].Schema
		f.Schema.Doc, f.Schema.Optional = d.Doc, d.Optional
		if f.Schema.Type == d.Type {
			f.Schema.Enum = d.Enum
		}
		refine(&f.Schema, d)
	}
}
