package host

import (
	"context"
	"fmt"
	"strings"

	"weir/host/auth"
	"weir/host/serve"
	"weir/reactor"
)

// ExplainSharing says whether two callers of a query share one result, and what
// they share it by, or what sets them apart. A caller is a token, or dev:NAME for
// a user with no claims but sub. The policies are asked.
func (h *Host) ExplainSharing(ctx context.Context, name string, args []byte, tokens [2]string) (string, error) {
	var seen [2]*view
	for i, token := range tokens {
		who, err := h.asker(ctx, token)
		if err != nil {
			return "", fmt.Errorf("caller %d: %w", i+1, err)
		}
		if seen[i], err = h.view(ctx, who, name, args); err != nil {
			return "", fmt.Errorf("%s: %w", seenAs(who), err)
		}
	}
	return compare(seen[0], seen[1]), nil
}

// view is what a function sees for one caller, or why it sees nothing.
type view struct {
	who    string
	call   *call
	denial *reactor.Decision
}

// asker returns the caller of a token, in the only tenant or "default".
func (h *Host) asker(ctx context.Context, token string) (*auth.Caller, error) {
	s := h.explained()
	if name, dev := strings.CutPrefix(token, auth.DevToken("")); dev {
		return s.verifier.DevUser(name)
	}
	return s.verifier.Verify(ctx, token)
}

func seenAs(who *auth.Caller) string {
	if who.Anonymous() {
		return "nobody"
	}
	return who.Principal.Subject
}

// view subscribes for a moment and notes which call came of it.
func (h *Host) view(ctx context.Context, who *auth.Caller, name string, args []byte) (*view, error) {
	b := &backend{h}
	v := &view{who: seenAs(who)}
	req, err := b.request(who, serve.Query{Tenant: who.Principal.Tenant, Name: name, Args: serve.Arguments{JSON: args}})
	if err != nil {
		return nil, err
	}
	v.call, _ = req.Call.(*call)
	if resolve := req.Resolve; resolve != nil {
		req.Resolve = func(scope reactor.Scope) (reactor.Target, error) {
			t, err := resolve(scope)
			if err == nil {
				v.call = t.Call.(*call)
			}
			return t, err
		}
	}
	ready := make(chan struct{})
	req.Ready = func(*reactor.Subscription) { close(ready) }
	sub := h.reactor.Subscribe(req)
	defer sub.Leave()
	select {
	case <-ready:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if err := sub.Err(); err != nil {
		return nil, err
	}
	v.denial = sub.Denial()
	return v, nil
}

// compare says in words what two views have in common.
func compare(a, b *view) string {
	var out strings.Builder
	for _, v := range []*view{a, b} {
		if v.denial != nil {
			fmt.Fprintf(&out, "%s is denied by %s, and shares nothing", v.who, v.denial.Policy)
			if v.denial.Reason != "" {
				fmt.Fprintf(&out, ": %s", v.denial.Reason)
			}
			out.WriteString("\n")
		}
	}
	if out.Len() > 0 {
		return out.String()
	}
	if a.call == nil || b.call == nil {
		return "the policies have not decided: look at the log for why\n"
	}
	if a.call.key == b.call.key {
		fmt.Fprintf(&out, "%s and %s share one result: %s sees the same of both\n", a.who, b.who, a.call.fn.Name)
		for i, part := range parts(a.call) {
			fmt.Fprintf(&out, "  %s = %s\n", part, a.call.input.Values[i])
		}
		return out.String()
	}
	fmt.Fprintf(&out, "%s and %s do not share: %s can tell them apart\n", a.who, b.who, a.call.fn.Name)
	for i, part := range parts(a.call) {
		one, two := a.call.input.Values[i], b.call.input.Values[i]
		if string(one.AppendCBOR(nil)) != string(two.AppendCBOR(nil)) {
			fmt.Fprintf(&out, "  %s = %s for %s, %s for %s\n", part, one, a.who, two, b.who)
		}
	}
	return out.String()
}

// parts names the values of a call's input.
func parts(c *call) []string {
	var names []string
	for _, f := range c.fn.Fields {
		names = append(names, f.Name)
	}
	for _, claim := range c.fn.Claims {
		names = append(names, claim.Name+" (claim "+claim.Claim+")")
	}
	for _, f := range c.fn.Scope {
		names = append(names, f.Name+" (scope)")
	}
	for len(names) < len(c.input.Values) {
		names = append(names, "further input")
	}
	return names[:len(c.input.Values)]
}
