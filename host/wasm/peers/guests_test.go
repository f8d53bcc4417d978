package peers

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"weir/abi"
	. "weir/host/wasm/wasmtest"
)

// inBytes and outBytes are the size of what a call takes and returns.
const (
	inBytes  = 200
	outBytes = 1003 // a CBOR byte string of 1000
)

// goGuest builds a Go guest below testdata, once.
func goGuest(t testing.TB, name string) []byte {
	t.Helper()
	guestsMu.Lock()
	defer guestsMu.Unlock()
	if code := guests[name]; code != nil {
		return code
	}
	file := filepath.Join(t.TempDir(), "guest.wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-trimpath", "-ldflags=-s -w", "-o", file, "./testdata/"+name)
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", name, err, out)
	}
	code, err := os.ReadFile(file)
	must(t, err)
	guests[name] = code
	return code
}

var (
	guestsMu sync.Mutex // protects the map below
	guests   = map[string][]byte{}
)

// tinyGuest returns its input in a byte string of a kilobyte.
func tinyGuest() []byte {
	head := []byte{0x59, 1000 >> 8, 1000 & 0xff}
	return Guest{
		Data: map[uint32][]byte{DataAt: head},
		Call: Join(I32(DataAt+3), I32(InputAt), Get(1), memoryCopy, Pack(abi.TagValue, DataAt, outBytes)),
	}.Bytes()
}

// Instructions that wasmtest does not have.
var (
	memoryCopy = []byte{0xfc, 0x0a, 0, 0}
	load64     = []byte{0x29, 3, 0}
	wrap       = []byte{0xa7}
	add64      = []byte{0x7c}
	less64     = []byte{0x54}
)

// extismTiny does the same against Extism's imports: input and output lie in a
// memory of Extism's own, which a guest reaches by eight bytes a call.
func extismTiny() []byte {
	const (
		inputLength = iota // imports in order
		inputLoad
		alloc
		store
		outputSet
		call
	)
	const n, i, out = 0, 1, 2 // locals
	each8 := func(below []byte, body ...[]byte) []byte {
		return Join(I64(0), Put(i), []byte{0x03, 0x40}, Join(body...),
			Get(i), I64(8), add64, Put(i), Get(i), below, less64, []byte{0x0d, 0, 0x0b})
	}
	size := I64((outBytes + 7) &^ 7)
	body := Join([]byte{1, 3, 0x7e},
		Invoke(inputLength), Put(n),
		each8(Get(n), Get(i), wrap, Get(i), Invoke(inputLoad), Store64()),
		size, Invoke(alloc), Put(out),
		each8(size, Get(out), Get(i), add64, Get(i), wrap, load64, Invoke(store)),
		Get(out), I64(outBytes), Invoke(outputSet), I32(0), []byte{0x0b})
	counted := func(b []byte) []byte { return Join(leb(len(b)), b) }
	name := func(s string) []byte { return counted([]byte(s)) }
	list := func(items ...[]byte) []byte { return Join(leb(len(items)), Join(items...)) }
	imported := func(fn string, typ byte) []byte { return Join(name("extism:host/env"), name(fn), []byte{0, typ}) }
	return Join([]byte("\x00asm\x01\x00\x00\x00"),
		Section(1, list([]byte{0x60, 0, 1, 0x7e}, []byte{0x60, 1, 0x7e, 1, 0x7e}, []byte{0x60, 2, 0x7e, 0x7e, 0}, []byte{0x60, 0, 1, 0x7f})),
		Section(2, list(imported("input_length", 0), imported("input_load_u64", 1), imported("alloc", 1), imported("store_u64", 2), imported("output_set", 2))),
		Section(3, list([]byte{3})),
		Section(5, list([]byte{0, 1})),
		Section(7, list(Join(name("memory"), []byte{2, 0}), Join(name("call"), []byte{0, call}))),
		Section(10, list(counted(body))))
}

func leb(v int) []byte {
	if v < 0x80 {
		return []byte{byte(v)}
	}
	return append([]byte{byte(v) | 0x80}, leb(v>>7)...)
}

// checkEcho checks what a call returned for an input, which begins at head.
func checkEcho(t testing.TB, name string, input, got []byte, head int) {
	t.Helper()
	if len(got) != outBytes || !bytes.HasPrefix(got[head:], input) {
		t.Fatalf("%s returned %d bytes, %x…, want %d with its input", name, len(got), got[:min(16, len(got))], outBytes)
	}
}
