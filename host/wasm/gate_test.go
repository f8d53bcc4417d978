package wasm

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"weir/abi"
	. "weir/host/wasm/wasmtest"
)

// G1, X1: what the gate refuses reaches no compiler, as one error with the name of
// the limit, by which the operator counts it.
func TestRefusalsOfTheGateNameTheirLimit(t *testing.T) {
	t.Parallel()
	f := func(name string, g Guest, limit, says string) {
		t.Helper()
		_, err := shared.Compile(t.Context(), g.Bytes())
		var refused *RefusedError
		if !errors.As(err, &refused) || refused.Limit != limit || !strings.Contains(refused.What, says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	times := func(n int, code ...byte) []byte { return bytes.Repeat(code, n) }
	f("a nest of loops", Guest{Call: Join(times(100, 0x03, 0x40), times(100, 0x0b), I64(0))}, "loop_depth", "more than 64 loops in one another")
	f("branches in a row", Guest{Call: Join(times(20_000, 0x20, 0, 0x04, 0x40, 0x0b), I64(0))}, "function_work", "function 2 of the module")
	f("a body without an end", Guest{Call: times(200_000, 0x01)}, "function_bytes", "more than the 131072 allowed")
	f("an import that there is not", Guest{Imports: []Import{Host("no_such", ":")}}, "", "which weir_1 does not have")
	f("weir's own import", Guest{Imports: []Import{{Module: "weir meter", Name: "tick", Sig: "I:I"}}}, "", "imports weir meter.tick")
	f("a start function", Guest{Start: []byte{}}, "", "--exportStart")
	f("an export that is no function", Guest{Without: abi.ExportCall, Extra: nil}, "", "does not export weir_call(i32, i32) -> i64")
}
