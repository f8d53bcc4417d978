package abitest

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"strings"

	"weir/abi"
)

func returnRules() []*HostRule {
	return []*HostRule{rulePacked(), ruleBounds(), ruleCBOR(), ruleSize(), ruleErrors(), ruleReturnedHandles(), ruleCopies()}
}

func rulePacked() *HostRule {
	r := &HostRule{Name: "host.packed", Says: "Bits that a tag does not use are 0", Traps: "security 34"}
	b := r.book(guest{data: map[uint32][]byte{dataAt: {0x07}}}, Setup{})
	b.add("nothing", none, Call{}, nothing(nil))
	b.add("a value", value(dataAt, 1), Call{}, gives([]byte{7}))
	for tag := abi.Tag(4); tag < 16; tag++ {
		b.fails(fmt.Sprintf("tag %d", tag), packed(tag, dataAt, 1), Call{}, abi.GuestContract)
		b.fails(fmt.Sprintf("tag %d with nothing", tag), packed(tag, 0, 0), Call{}, abi.GuestContract)
	}
	b.fails("all bits", i64c(-1), Call{}, abi.GuestContract)
	b.fails("nothing with a length", packed(abi.TagNone, 0, 1), Call{}, abi.GuestContract)
	b.fails("nothing with an address", packed(abi.TagNone, 1, 0), Call{}, abi.GuestContract)
	b.fails("a handle with a length", handleWith(1), Call{}, abi.GuestContract)
	return r
}

// askUsual asks for statement 0 with its arguments.
var askUsual = host(abi.ImportQuery, ints(0, argsAt, argsLen))

// argsLen is the length of the arguments at argsAt: [1, "a"].
const argsLen = 4

// handleWith is a held handle, returned with a length.
func handleWith(n int64) code { return cat(handleOf(askUsual), i64c(n), orBits) }

func ruleBounds() *HostRule {
	r := &HostRule{Name: "host.bounds", Says: "A result may\nlie anywhere, also in the input buffer or in static data", Traps: "security 26, 28"}
	good := []byte{0x07}
	e := abi.AppendError(nil, &abi.Error{Code: "x", Message: "y"})
	b := r.book(guest{data: map[uint32][]byte{memorySize - 1: good, dataAt: e, 0: good}}, Setup{})
	b.add("end == size", value(memorySize-1, 1), Call{}, gives(good))
	b.add("address 0", value(0, 1), Call{}, gives(good))
	b.add("in the input buffer", value(inputAt, 1), Call{}, gives([]byte{0x80}))
	b.fails("end == size+1", value(memorySize-1, 2), Call{}, abi.GuestContract)
	b.fails("at the end", value(memorySize, 1), Call{}, abi.GuestContract)
	b.fails("at the end, no bytes", value(memorySize, 0), Call{}, abi.GuestContract)
	b.fails("no bytes", value(dataAt, 0), Call{}, abi.GuestContract)
	b.fails("far away", value(1<<30-1, 1), Call{}, abi.GuestContract)
	b.fails("an error at the end", packed(abi.TagError, memorySize, 1), Call{}, abi.GuestContract)
	b.fails("an error over the end", packed(abi.TagError, memorySize-1, 2), Call{}, abi.GuestContract)
	b.fails("an error far away", packed(abi.TagError, 1<<30-1, abi.MaxError), Call{}, abi.GuestContract)
	return r
}

func ruleCBOR() *HostRule {
	r := &HostRule{Name: "host.cbor", Says: "From a guest it takes any well-formed item that has a definite length, no tags, no simple values but\n`false`, `true` and `null`, no NaN and no infinity", Traps: "security 29"}
	g := guest{data: map[uint32][]byte{}}
	var cases []func(b *book)
	at := uint32(dataAt)
	for _, v := range vectorLines() {
		if len(v) < 2 {
			continue
		}
		data, err := hex.DecodeString(v[1])
		if err != nil || v[1] == "" {
			continue // host.bounds has the one without bytes
		}
		here, name := at, "the bytes "+v[1]
		if len(name) > 60 {
			name = name[:60] + "…"
		}
		g.data[here] = data
		at += uint32(len(data))
		cases = append(cases, func(b *book) {
			if v[0] == "bad" {
				b.fails(name, value(here, uint32(len(data))), Call{}, abi.GuestContract)
				return
			}
			b.add(name, value(here, uint32(len(data))), Call{}, func(o *Outcome, err error) string {
				if err != nil || o.Tag != abi.TagValue {
					return fmt.Sprintf("got %+v, %v, want it taken", o, err)
				}
				got, err := abi.DecodeCBOR(o.Value)
				if want, _ := abi.DecodeCBOR(data); err != nil || !got.Equal(want) {
					return fmt.Sprintf("got %v, %v, want %v", got, err, want)
				}
				return ""
			})
		})
	}
	b := r.book(g, Setup{})
	for _, add := range cases {
		add(b)
	}
	return r
}

// vectorLines are the lines of codec.txt: kind, hexadecimal, and the rest.
func vectorLines() [][]string {
	var all [][]string
	for line := range strings.Lines(codecText) {
		if line = strings.TrimSuffix(line, "\n"); line != "" && line[0] != '#' {
			all = append(all, strings.SplitN(line, " ", 3))
		}
	}
	return all
}

func ruleSize() *HostRule {
	r := &HostRule{Name: "host.size", Says: "rows; bytes of a result", Traps: "security 28"}
	head := abi.Bytes(make([]byte, 1000)).AppendCBOR(nil)
	b := r.book(guest{data: map[uint32][]byte{dataAt: head}}, Setup{ResultBytes: int64(len(head))})
	n := uint32(len(head))
	b.add("at the limit", value(dataAt, n), Call{}, gives(head))
	b.fails("one over it", value(dataAt, n+1), Call{}, abi.ResultTooLarge)
	b.fails("1 GiB", value(0, 1<<30-1), Call{}, abi.ResultTooLarge)
	return r
}

func ruleErrors() *HostRule {
	r := &HostRule{Name: "host.errors", Says: "an error at address, at most 8 KiB", Traps: "security 30"}
	g := guest{data: map[uint32][]byte{}}
	at := uint32(dataAt)
	var adds []func(b *book)
	put := func(name string, data []byte, want *abi.Error) {
		here := at
		g.data[here] = data
		at += uint32(len(data))
		adds = append(adds, func(b *book) {
			body := packed(abi.TagError, here, uint32(len(data)))
			if want == nil {
				b.fails(name, body, Call{}, abi.GuestContract)
				return
			}
			b.add(name, body, Call{}, func(o *Outcome, err error) string {
				if err != nil || o.Tag != abi.TagError || o.Err == nil || *o.Err != *want {
					return fmt.Sprintf("got %+v, %v, want %+v", o, err, want)
				}
				return ""
			})
		})
	}
	for _, e := range []abi.Error{
		{Code: "empty", Message: "write something first", Public: true},
		{Code: "x", Message: "", Retryable: true},
		{Code: abi.Conflict, Message: "é\n\x1b"},
		{Code: abi.Code(strings.Repeat("x", 128)), Message: "m"},
	} {
		put("an error "+string(e.Code)[:1], abi.AppendError(nil, &e), &e)
	}
	text := abi.Text
	of := func(keys []string, values ...abi.Value) []byte { return abi.Map(keys, values).AppendCBOR(nil) }
	long := make([]byte, abi.MaxError)
	whole := func(size int) (*abi.Error, []byte) {
		e := &abi.Error{Code: "x", Message: strings.Repeat("m", size)}
		data := of([]string{"code", "message"}, text("x"), text(e.Message))
		return e, data
	}
	e, data := whole(1)
	for len(data) != abi.MaxError {
		e, data = whole(len(e.Message) + abi.MaxError - len(data))
	}
	put("exactly 8 KiB", data, e)
	put("8 KiB and one", of([]string{"code", "message"}, text("x"), text(e.Message+"m")), nil)
	put("no code", of([]string{"message"}, text("m")), nil)
	put("no message", of([]string{"code"}, text("c")), nil)
	put("an empty code", of([]string{"code", "message"}, text(""), text("m")), nil)
	put("a code of 129 bytes", of([]string{"code", "message"}, text(string(long[:129])), text("m")), nil)
	put("a code that is a number", of([]string{"code", "message"}, abi.Int(1), text("m")), nil)
	put("a message that is bytes", of([]string{"code", "message"}, text("c"), abi.Bytes([]byte("m"))), nil)
	put("public that is text", of([]string{"code", "message", "public"}, text("c"), text("m"), text("yes")), nil)
	put("an unknown key", of([]string{"code", "message", "stack"}, text("c"), text("m"), text("s")), nil)
	put("no map", text("broken").AppendCBOR(nil), nil)
	put("an array", abi.Array(text("c"), text("m")).AppendCBOR(nil), nil)
	put("zeros", make([]byte, 8), nil)
	put("bytes behind it", append(abi.AppendError(nil, &abi.Error{Code: "c"}), 0), nil)
	b := r.book(g, Setup{})
	for _, add := range adds {
		add(b)
	}
	b.fails("no bytes", packed(abi.TagError, dataAt, 0), Call{}, abi.GuestContract)
	return r
}

func ruleReturnedHandles() *HostRule {
	r := &HostRule{Name: "host.returned", Says: "the rows of a handle; no length. They go from the host to the client", Traps: "G13"}
	b := r.book(guest{}, Setup{})
	b.add("its rows", handleOf(askUsual), Call{}, rowsAre(`[{"id":0,"name":"p0"},{"id":1,"name":"p1"},{"id":2,"name":"p2"}]`))
	b.add("no rows", handleOf(askUsual), Call{Answer: func(context.Context, Asked) Answer { return people(0) }}, rowsAre(`[]`))
	for _, h := range []uint32{0, 1, 2, 1<<30 - 1} {
		b.fails(fmt.Sprintf("handle %d of nobody", h), packed(abi.TagHandle, h, 0), Call{}, abi.GuestContract)
	}
	b.fails("a closed handle", cat(host(abi.ImportClose, askUsual), drop, packed(abi.TagHandle, 1, 0)), Call{}, abi.GuestContract)
	b.fails("a handle of another call", packed(abi.TagHandle, 1, 0), Call{}, abi.GuestContract)
	return r
}

func ruleCopies() *HostRule {
	r := &HostRule{Name: "host.copies", Says: "It\ncopies what it is given before the next guest instruction", Traps: "security 27"}
	b := r.book(guest{}, Setup{})
	var first *Outcome
	b.add("a result", cat(ints(dataAt, 0x03020143), store, value(dataAt, 4)), Call{}, func(o *Outcome, err error) string {
		first = o
		return gives([]byte{0x43, 1, 2, 3})(o, err)
	})
	b.add("is no view of memory", cat(i32c(dataAt), i32c(0x43), store, none), Call{}, func(o *Outcome, err error) string {
		if first == nil || !bytes.Equal(first.Value, []byte{0x43, 1, 2, 3}) {
			return fmt.Sprintf("what came before is now %+v", first)
		}
		return nothing(nil)(o, err)
	})
	var args abi.Value
	b.add("arguments", cat(ints(dataAt, 0x61610182), store, host(abi.ImportQuery, ints(0, dataAt, argsLen)), set(localA), ints(dataAt, 0), store, host(abi.ImportRowsLen, get(localA)), drop, none),
		Call{Answer: func(_ context.Context, a Asked) Answer {
			args = a.Args
			return people(1)
		}}, nothing(func(*Outcome) string {
			if want := abi.Array(abi.Int(1), abi.Text("a")); !args.Equal(want) {
				return fmt.Sprintf("the statement ran with %v, want %v", args, want)
			}
			return ""
		}))
	return r
}
