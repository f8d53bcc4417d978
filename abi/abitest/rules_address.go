package abitest

import (
	"fmt"
	"strings"

	"weir/abi"
)

func addressRules() []*HostRule { return []*HostRule{ruleAddresses(), ruleOffered()} }

// region is a function with a pointer and a length, given by code that pushes
// both.
type region struct {
	name string
	call func(at, n int32) code // leaves an i32
	unit int32                  // bytes of each n
	most int32                  // n over it is refused before the memory is looked at
	fits int64                  // what it returns for one unit at the end of the memory
	any  bool                   // fits is any number that is not −2
}

// regions are all pairs of a pointer and a length that host functions take.
func regions() []region {
	query := func(name string) func(at, n int32) code {
		return func(at, n int32) code { return host(name, ints(0, at, n)) }
	}
	return []region{
		{"query", query(abi.ImportQuery), 1, 1 << 20, -int64(abi.ErrnoInvalid), false},
		{"rows_read", func(at, n int32) code { return host(abi.ImportRowsRead, askUsual, ints(0, at, n)) }, 1, 0, -64, false},
		{"rows_columns", func(at, n int32) code { return host(abi.ImportRowsColumns, askUsual, ints(at, n)) }, 1, 0, 9, false},
		{"rows_pick", func(at, n int32) code { return host(abi.ImportRowsPick, askUsual, ints(at, n)) }, 4, 10_000, 2, false},
		{"rows_project", func(at, n int32) code { return host(abi.ImportRowsProject, askUsual, ints(at, n)) }, 4, 1664, 2, false},
		{"rows_nest", func(at, n int32) code { return host(abi.ImportRowsNest, askUsual, ints(at, n), i32c(1), ints(0, 0)) }, 1, 255, 2, false},
		{"random", func(at, n int32) code { return host(abi.ImportRandom, ints(at, n)) }, 1, 1 << 20, 0, false},
		{"log", func(at, n int32) code { return host(abi.ImportLog, ints(1, at, n)) }, 1, 0, 0, false},
		{"config, its key", func(at, n int32) code { return host(abi.ImportConfig, ints(at, n, dataAt, 0)) }, 1, 255, -int64(abi.ErrnoMissing), false},
		{"config, its buffer", func(at, n int32) code { return host(abi.ImportConfig, ints(dataAt, 1, at, n)) }, 1, 0, 5, false},
		{"error", func(at, n int32) code { return host(abi.ImportError, ints(at, n)) }, 1, 0, 0, true},
	}
}

func ruleAddresses() *HostRule {
	r := &HostRule{Name: "host.addresses", Says: "address outside memory", Traps: "security 26"}
	b := r.book(guest{data: map[uint32][]byte{dataAt: []byte("k")}}, Setup{})
	call := Call{Config: map[string]string{"k": "hello"}}
	add := func(name string, body code, check func(*Outcome, error) string) {
		b.add(name, number(cat(body, extend)), call, check)
	}
	outside := is(-int64(abi.ErrnoBounds))
	for _, f := range regions() {
		fits := is(f.fits)
		if f.any {
			fits = func(o *Outcome, err error) string {
				if n, why := numberIn(o, err); why != "" || n < 0 {
					return fmt.Sprintf("got %d %s", n, why)
				}
				return ""
			}
		}
		add(f.name+": end == size", f.call(memorySize-f.unit, 1), fits)
		add(f.name+": end == size+1", f.call(memorySize-f.unit+1, 1), outside)
		add(f.name+": at the end", f.call(memorySize, 1), outside)
		add(f.name+": ptr 2^32-1", f.call(-1, 1), outside)
		add(f.name+": ptr+len overflows", f.call(-2, 4), outside)
		add(f.name+": ptr 2^31", f.call(-1<<31, 1), outside)
		over := -int64(abi.ErrnoBounds)
		if f.most > 0 {
			over = -int64(abi.ErrnoLimit)
			add(f.name+": one more than the most", f.call(0, f.most+1), is(over))
		}
		add(f.name+": len 2^31", f.call(0, -1<<31), is(over))
		add(f.name+": len 2^32-1", f.call(1, -1), is(over))
		add(f.name+": len 2^30", f.call(0, 1<<30), is(over))
	}
	// Nothing at the end of memory is inside it.
	add("no bytes at the end", host(abi.ImportLog, ints(1, memorySize, 0)), is(0))
	add("no bytes behind the end", host(abi.ImportLog, ints(1, memorySize+1, 0)), outside)
	return r
}

// ruleOffered looks at the bytes around what a guest offers.
func ruleOffered() *HostRule {
	r := &HostRule{Name: "host.offered", Says: "return the length that they need, and write nothing when `cap` is smaller", Traps: "A2, G6, security 27"}
	canary := []byte(strings.Repeat("\xa5", 64))
	b := r.book(guest{data: map[uint32][]byte{dataAt: canary, dataAt + 2048: []byte("key")}}, Setup{})
	const buf = dataAt + 16
	key := cat(ints(dataAt+4000, dataAt+2048, 3), code{0xfc, 0x0a, 0, 0})
	call := Call{Config: map[string]string{"key": "hello"}}
	// Each case leaves the canary: as bytes behind a head.
	left := func(do code) code {
		fresh := cat(ints(dataAt, 0xa5, 64), code{0xfc, 0x0b, 0}) // an instance may keep what the last case wrote
		return cat(fresh, do, drop, i32c(dataAt-2), i32c(0x58), putByte, i32c(dataAt-1), i32c(64), putByte, value(dataAt-2, 66))
	}
	untouched := append([]byte{0x58, 64}, canary...)
	written := func(with string) []byte {
		b := append([]byte{0x58, 64}, canary...)
		copy(b[2+16:], with)
		return b
	}
	type reader struct {
		name string
		call func(size int32) code
		data string
	}
	columns := string(abi.Array(abi.Text("id"), abi.Text("name")).AppendCBOR(nil))
	row := string(abi.Array(abi.Int(0), abi.Text("p0")).AppendCBOR(nil))
	for _, f := range []reader{
		{"config", func(size int32) code { return host(abi.ImportConfig, ints(dataAt+2048, 3, buf, size)) }, "hello"},
		{"rows_columns", func(size int32) code { return host(abi.ImportRowsColumns, askUsual, ints(buf, size)) }, columns},
		{"rows_read", func(size int32) code { return host(abi.ImportRowsRead, askUsual, ints(0, buf, size)) }, row},
	} {
		n := int32(len(f.data))
		b.add(f.name+" into a buffer that is just large enough", left(f.call(n)), call, gives(written(f.data)))
		b.add(f.name+" into a larger one", left(f.call(n+1)), call, gives(written(f.data)))
		b.add(f.name+" into one that is too small", left(f.call(n-1)), call, gives(untouched))
		b.add(f.name+" into none", left(f.call(0)), call, gives(untouched))
		if f.name != "rows_read" {
			for _, size := range []int32{0, n - 1, n, n + 1} {
				b.add(fmt.Sprintf("%s needs as much for %d", f.name, size), number(cat(f.call(size), extend)), call, is(int64(n)))
			}
		}
	}
	b.add("config into its key", cat(key, host(abi.ImportConfig, ints(dataAt+4000, 3, dataAt+4000, 5)), drop,
		i32c(dataAt+3999), i32c(0x65), putByte, value(dataAt+3999, 6)), call, gives(abi.AppendText(nil, "hello")))
	wrong := cat(host(abi.ImportLog, ints(9, dataAt, 0)), drop)
	b.add("error", left(cat(wrong, host(abi.ImportError, ints(buf, 4)))), call, gives(untouched))
	b.add("random", left(host(abi.ImportRandom, ints(buf, 0))), call, gives(untouched))
	b.add("log", left(host(abi.ImportLog, ints(1, buf, 8))), call, gives(untouched))
	return r
}
