package host

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"weir/abi"
	"weir/host/plugin"
	"weir/host/tenant"
)

// Explain says of a function what it reads, what makes its key, and who shares
// its result. The function is looked up in the tenant "default", or the first
// one by name.
func (h *Host) Explain(name string) (string, error) { return explainIn(h.explained(), name) }

func explainIn(s *space, name string) (string, error) {
	fn, err := s.plugins.Lookup(name)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s of plugin %s (%s)\n", fn.Name, fn.Kind, fn.Plugin.Name(), fn.Plugin.Version())
	explainKey(&b, fn)
	p := fn.Plugin.Prepared.(*prepared)
	list := p.reads
	if fn.Kind == abi.Mutation {
		list = p.writes
	}
	uses := fn.Uses
	if fn.Statement != nil {
		uses = []int{*fn.Statement}
		b.WriteString("runs     one statement, without entering the guest; shares a read transaction with others\n")
	} else {
		b.WriteString("runs     the guest; a run that looks at no row is repeated without it\n")
	}
	for _, index := range uses {
		fmt.Fprintf(&b, "reads    statement %d\n", index)
		for line := range strings.Lines(list[index].Explain()) {
			b.WriteString("         " + line)
		}
	}
	return b.String(), nil
}

// explained is the tenant that Explain looks at.
func (h *Host) explained() *space {
	if s := h.spaces()[tenant.DefaultName]; s != nil {
		return s
	}
	return h.spaces()[slices.Sorted(maps.Keys(h.spaces()))[0]]
}

// explainKey says who shares one execution.
func explainKey(b *strings.Builder, fn *plugin.Function) {
	var parts []string
	for _, f := range fn.Fields {
		parts = append(parts, f.Name)
	}
	for _, c := range fn.Claims {
		parts = append(parts, c.Name+" (claim "+c.Claim+")")
	}
	for _, f := range fn.Scope {
		parts = append(parts, f.Name+" (scope)")
	}
	key := "nothing: there is one result"
	if len(parts) > 0 {
		key = strings.Join(parts, ", ")
	}
	fmt.Fprintf(b, "key      %s\n", key)
	who := "all who may call it with the same arguments"
	switch {
	case slices.ContainsFunc(fn.Claims, func(c abi.Claim) bool { return c.Claim == "sub" }):
		who = "only connections of one user: it declares the claim sub"
	case len(fn.Claims)+len(fn.Scope) > 0:
		who = "all who may call it and have the same declared claims and scope"
	}
	fmt.Fprintf(b, "shared   by %s\n", who)
	switch {
	case fn.Access.Public:
		b.WriteString("access   public\n")
	case fn.Access.SignedIn:
		b.WriteString("access   everyone who is signed in\n")
	default:
		fmt.Fprintf(b, "access   policies %s\n", strings.Join(fn.Access.Policies, ", "))
	}
}
