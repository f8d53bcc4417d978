package scenarios

import (
	"regexp"
	"slices"

	"weir/abi"
	"weir/host/wasm/wasmtest"
)

// function is one statement under a name. Of its parameters $me is the caller, $org
// the org of the token, $now the time, and all others are whole numbers.
type function struct {
	name, sql string
	kind      abi.Kind // empty is a query
	key       []string
	policies  []string // none: public
	// looks makes a guest of a policy: it looks at the statement's rows, in a read
	// transaction of its own, and allows if there is one.
	looks bool
}

var parameter = regexp.MustCompile(`\$([a-z]+)`)

// plugin assembles a module of functions.
func plugin(name, version string, functions ...function) []byte {
	m := abi.Manifest{ABI: abi.Version, Name: name, Version: version}
	for i, f := range functions {
		index := i
		m.Statements = append(m.Statements, abi.Statement{SQL: f.sql, Key: f.key})
		fn := abi.Function{Name: f.name, Kind: f.kind, Statement: &index, Access: abi.Access{Policies: f.policies}}
		if f.looks {
			fn.Statement, fn.Uses = nil, []int{i}
		}
		if f.kind == "" {
			fn.Kind = abi.Query
		}
		if fn.Kind != abi.Policy {
			fn.Access.Public = len(f.policies) == 0
		}
		var seen []string
		for _, match := range parameter.FindAllStringSubmatch(f.sql, -1) {
			p := match[1]
			if slices.Contains(seen, p) || p == "now" {
				continue
			}
			seen = append(seen, p)
			switch p {
			case "me":
				fn.Claims = append(fn.Claims, abi.Claim{Name: "me", Claim: "sub", Schema: abi.Schema{Type: "string"}})
			case "org":
				fn.Claims = append(fn.Claims, abi.Claim{Name: "org", Claim: "org", Schema: abi.Schema{Type: "string"}})
			default:
				fn.Fields = append(fn.Fields, abi.Field{Name: p, Schema: abi.Schema{Type: "integer"}})
			}
		}
		m.Functions = append(m.Functions, fn)
	}
	yes, no := abi.AppendDecision(nil, &abi.Decision{Allow: true}), abi.AppendDecision(nil, &abi.Decision{Reason: "no row"})
	return wasmtest.Guest{
		Manifest: abi.AppendManifest(nil, &m),
		Imports:  []wasmtest.Import{wasmtest.Host(abi.ImportQuery, "iii:i"), wasmtest.Host(abi.ImportRowsLen, "i:i")},
		Data:     map[uint32][]byte{wasmtest.DataAt: append(yes, no...)},
		// Statement i is that of function i, and has its arguments.
		Call: wasmtest.Join(wasmtest.Get(0), wasmtest.I32(wasmtest.InputAt), wasmtest.Get(1), wasmtest.Invoke(0), wasmtest.Invoke(1),
			wasmtest.If(wasmtest.Join(wasmtest.Pack(abi.TagValue, wasmtest.DataAt, uint32(len(yes))), wasmtest.Return())),
			wasmtest.Pack(abi.TagValue, wasmtest.DataAt+uint32(len(yes)), uint32(len(no)))),
	}.Bytes()
}
