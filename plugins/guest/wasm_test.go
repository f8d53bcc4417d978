package weir_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"weir/abi"
)

// tinyHost is a fake of the host functions that testdata/plugin imports.
type tinyHost struct {
	rows   [][]byte
	asked  []string // arguments of each query, as JSON
	logged []string
	reads  int
	config map[string]string
}

// call answers one host function. What it does not know returns ErrnoState.
func (h *tinyHost) call(name string, mem api.Memory, stack []uint64) {
	arg := func(i int) uint32 { return uint32(stack[i]) }
	view := func(at, n uint32) []byte {
		b, ok := mem.Read(at, n)
		if !ok {
			panic("address outside memory in " + name)
		}
		return b
	}
	result := -int32(abi.ErrnoState)
	switch name {
	case abi.ImportQuery:
		v, err := abi.DecodeCBOR(view(arg(1), arg(2)))
		if err != nil {
			panic(err)
		}
		h.asked = append(h.asked, v.String())
		result = int32(len(h.asked))
	case abi.ImportRowsLen:
		result = int32(len(h.rows))
	case abi.ImportRowsRead:
		h.reads++
		var page []byte
		for _, row := range h.rows[arg(1):] {
			if len(page) > 0 && len(page)+len(row) > int(arg(3)) {
				break
			}
			page = append(page, row...)
		}
		if result = int32(len(page)); result <= int32(arg(3)) {
			copy(view(arg(2), arg(3)), page)
		}
	case abi.ImportConfig:
		value, ok := h.config[string(view(arg(0), arg(1)))]
		if result = int32(len(value)); !ok {
			result = -int32(abi.ErrnoMissing)
		} else if result <= int32(arg(3)) {
			copy(view(arg(2), arg(3)), value)
		}
	case abi.ImportLog:
		h.logged = append(h.logged, string(view(arg(1), arg(2))))
		result = 0
	}
	stack[0] = api.EncodeI32(result)
}

// wasi is the least that the Go runtime needs: a clock that moves, since a
// frozen one hangs it (G10), and nothing else.
func wasi(clock *uint64, name string, mem api.Memory, stack []uint64) {
	errno := uint64(52) // not implemented
	switch name {
	case "clock_time_get":
		*clock += uint64(time.Microsecond)
		mem.WriteUint64Le(uint32(stack[2]), *clock)
		errno = 0
	case "args_sizes_get", "environ_sizes_get":
		mem.WriteUint32Le(uint32(stack[0]), 0)
		mem.WriteUint32Le(uint32(stack[1]), 0)
		errno = 0
	case "random_get", "args_get", "environ_get", "poll_oneoff":
		errno = 0
	case "fd_write": // a panic's text: accept it all
		total := uint32(0)
		for i := range uint32(stack[2]) {
			n, _ := mem.ReadUint32Le(uint32(stack[1]) + 8*i + 4)
			total += n
		}
		mem.WriteUint32Le(uint32(stack[3]), total)
		errno = 0
	case "fd_prestat_get":
		errno = 8 // no such descriptor: no directory is open
	case "proc_exit":
		panic("proc_exit")
	}
	if len(stack) > 0 {
		stack[0] = errno
	}
}

// guest is an instance of testdata/plugin.
type guest struct {
	t       *testing.T
	ctx     context.Context
	module  api.Module
	imports []string
	buf     uint32
}

// startGuest builds the plugin with the Go toolchain and instantiates it.
func startGuest(t *testing.T, h *tinyHost) *guest {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	// Looking at what only the inner build compiles makes it part of the test
	// cache's key.
	for _, pattern := range []string{"*_wasip1.go", "testdata/plugin/*.go"} {
		sources, err := filepath.Glob(pattern)
		if err != nil || len(sources) == 0 {
			t.Fatalf("no %s, %v", pattern, err)
		}
		for _, source := range sources {
			if _, err := os.Stat(source); err != nil {
				t.Fatal(err)
			}
		}
	}
	file := filepath.Join(t.TempDir(), "plugin.wasm")
	build := exec.CommandContext(ctx, "go", "build", "-buildmode=c-shared", "-trimpath", "-ldflags=-s -w", "-o", file, "./testdata/plugin")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	code, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	// Under the race detector compiling costs ten times what interpreting does.
	runtime := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter().WithCoreFeatures(api.CoreFeaturesV2))
	t.Cleanup(func() { _ = runtime.Close(context.Background()) })
	compiled, err := runtime.CompileModule(ctx, code)
	if err != nil {
		t.Fatal(err)
	}
	g := &guest{t: t, ctx: ctx}
	clock := uint64(time.Second)
	for _, module := range []string{abi.Module, abi.WASIModule} {
		builder := runtime.NewHostModuleBuilder(module)
		for _, f := range compiled.ImportedFunctions() {
			from, name, _ := f.Import()
			if from != module {
				continue
			}
			if module == abi.Module {
				g.imports = append(g.imports, name)
			}
			builder.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(_ context.Context, m api.Module, stack []uint64) {
				if module == abi.Module {
					h.call(name, m.Memory(), stack)
				} else {
					wasi(&clock, name, m.Memory(), stack)
				}
			}), f.ParamTypes(), f.ResultTypes()).Export(name)
		}
		if _, err := builder.Instantiate(ctx); err != nil {
			t.Fatal(err)
		}
	}
	config := wazero.NewModuleConfig().WithStartFunctions(abi.ExportInitialize)
	if g.module, err = runtime.InstantiateModule(ctx, compiled, config); err != nil {
		t.Fatal(err)
	}
	return g
}

// run calls an export and returns its only result.
func (g *guest) run(name string, args ...uint64) (uint64, error) {
	out, err := g.module.ExportedFunction(name).Call(g.ctx, args...)
	if err != nil {
		return 0, err
	}
	return out[0], nil
}

// offer asks for an input buffer of n bytes.
func (g *guest) offer(n int) {
	g.t.Helper()
	at, err := g.run(abi.ExportBuf, uint64(n))
	if _, ok := g.module.Memory().Read(uint32(at), uint32(n)); err != nil || !ok {
		g.t.Fatalf("weir_buf(%d) = %d, %v", n, at, err)
	}
	g.buf = uint32(at)
}

// packed runs an export that returns a packed result and copies its data.
func (g *guest) packed(name string, args ...uint64) (abi.Packed, []byte) {
	g.t.Helper()
	out, err := g.run(name, args...)
	p := abi.Packed(out)
	if err != nil || !p.Valid() {
		g.t.Fatalf("%s gave %x, %v", name, out, err)
	}
	if p.Tag() != abi.TagValue && p.Tag() != abi.TagError {
		return p, nil
	}
	data, ok := g.module.Memory().Read(p.At(), p.Len())
	if !ok {
		g.t.Fatalf("%s gave an address outside memory", name)
	}
	return p, bytes.Clone(data)
}

// call runs function fn on its input.
func (g *guest) call(fn int, input ...abi.Value) (abi.Packed, []byte) {
	g.t.Helper()
	encoded := abi.Array(input...).AppendCBOR(nil)
	g.module.Memory().Write(g.buf, encoded)
	return g.packed(abi.ExportCall, uint64(fn), uint64(len(encoded)))
}

// smallCallsAllocateNothing decides and passes rows on a hundred times. The texts of
// those calls are cut from a few chunks, and stay what they are when the next call
// has overwritten the input.
func (g *guest) smallCallsAllocateNothing(policy, pass, kept int) {
	g.t.Helper()
	state := func() (string, int64) {
		g.t.Helper()
		_, data := g.call(kept)
		v, err := abi.DecodeCBOR(data)
		if err != nil {
			g.t.Fatal(err)
		}
		first, _ := v.Get("first")
		mallocs, _ := v.Get("mallocs")
		name, _ := first.AsText()
		n, _ := mallocs.AsInt()
		return name, n
	}
	calls := func() {
		for i := range 100 {
			name := "caller " + strconv.Itoa(i)
			_, data := g.call(policy, abi.Text(name))
			if d, err := abi.DecodeDecision(data); err != nil || d.Allow != (i == 0) {
				g.t.Fatalf("%s: %+v, %v", name, d, err)
			}
			if p, _ := g.call(pass, abi.Int(7), abi.Text(name)); p.Tag() != abi.TagHandle {
				g.t.Fatalf("pass gave tag %d", p.Tag())
			}
		}
	}
	calls()
	state()
	_, before := state()
	_, again := state()
	calls()
	name, after := state()
	// 200 texts of some 9 bytes are four chunks of 512.
	if n := after - again - (again - before); n > 8 {
		g.t.Errorf("200 calls made %d allocations", n)
	}
	if name != "caller 0" {
		g.t.Errorf("a text that the plugin kept became %q", name)
	}
}

// TestGuestRunsInWebAssembly is the whole contract once: built by the Go
// toolchain, described, given a buffer, called.
func TestGuestRunsInWebAssembly(t *testing.T) {
	t.Parallel()
	h := &tinyHost{}
	bodies := 0
	for i := range 1_200 { // some 75 KiB: two pages
		body := strings.Repeat("x", i%100+10)
		bodies += len(body)
		h.rows = append(h.rows, abi.Array(abi.Int(int64(i)), abi.Text(body)).AppendCBOR(nil))
	}
	g := startGuest(t, h)

	// An import is asked for only when the plugin uses it.
	slices.Sort(g.imports)
	if want := []string{"config", "error", "log", "query", "rows_len", "rows_read"}; !slices.Equal(g.imports, want) {
		t.Errorf("imports %v, want %v", g.imports, want)
	}

	_, data := g.packed(abi.ExportDescribe)
	m, err := abi.DecodeManifest(data)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Validate(); err != nil || m.Name != "wasm" || len(m.Functions) != 7 {
		t.Fatalf("manifest %+v, %v", m, err)
	}
	index := func(name string) int {
		return slices.IndexFunc(m.Functions, func(f abi.Function) bool { return f.Name == name })
	}

	// G6: the buffer stays where it is.
	g.offer(abi.InputBuffer)
	first := g.buf
	if g.offer(100); g.buf != first {
		t.Error("the input buffer moved")
	}

	for range 2 {
		p, data := g.call(index("sum"), abi.Int(7), abi.Text("ann"))
		want := abi.Map([]string{"count", "bytes", "me"}, []abi.Value{abi.Int(1_200), abi.Int(int64(bodies)), abi.Text("ann")})
		if v, err := abi.DecodeCBOR(data); p.Tag() != abi.TagValue || err != nil || !v.Equal(want) {
			t.Fatalf("got %s %v, want %s", v, err, want)
		}
	}
	if h.asked[0] != "[7]" || h.logged[0] != "summing room=7" || h.reads != 2*2 {
		t.Errorf("asked %s, logged %q, %d reads", h.asked[0], h.logged[0], h.reads)
	}

	// Rows that are passed on are never read.
	reads := h.reads
	if p, _ := g.call(index("pass"), abi.Int(7), abi.Text("ann")); p.Tag() != abi.TagHandle || int(p.At()) != len(h.asked) || h.reads != reads {
		t.Errorf("got tag %d at %d, read %d pages", p.Tag(), p.At(), h.reads-reads)
	}

	// Rows may be read while rows are read: each reader has a page of its own.
	ids := len(h.rows) * (len(h.rows) - 1) / 2
	if _, data := g.call(index("cross"), abi.Int(7), abi.Text("ann")); !bytes.Equal(data, abi.AppendInt(nil, int64(2*ids))) {
		t.Errorf("got %x, want the ids twice, %d", data, 2*ids)
	}

	g.smallCallsAllocateNothing(index("anyone"), index("pass"), index("kept"))

	// A larger input asks for a larger buffer.
	g.offer(1 << 20)
	long := strings.Repeat("é", 100_000)
	if p, data := g.call(index("sum"), abi.Int(7), abi.Text(long)); p.Tag() != abi.TagValue || !bytes.Contains(data, []byte(long)) {
		t.Errorf("a long claim gave tag %d, %d bytes", p.Tag(), len(data))
	}

	fails := func(code abi.Code, fn int, input ...abi.Value) {
		t.Helper()
		p, data := g.call(fn, input...)
		if e, err := abi.DecodeError(data); p.Tag() != abi.TagError || err != nil || e.Code != code {
			t.Errorf("got tag %d %+v %v, want %s", p.Tag(), e, err, code)
		}
	}
	// A value longer than the SDK's first guess is asked for again.
	fails("silent", index("greet"))
	for _, text := range []string{"hello", "", strings.Repeat("é", 500)} {
		h.config = map[string]string{"greeting": text}
		if _, data := g.call(index("greet")); !bytes.Equal(data, abi.Text(text).AppendCBOR(nil)) {
			t.Errorf("greet gave %q, want %q", data, text)
		}
	}

	fails("no_room", index("sum"), abi.Int(0), abi.Text("ann"))
	fails(abi.GuestContract, index("sum"), abi.Text("seven"), abi.Text("ann"))
	fails(abi.GuestContract, index("direct"), abi.Int(7), abi.Text("ann"))
	fails(abi.GuestContract, 99)

	// A panic is a trap; the instance is then of no use.
	encoded := abi.Array(abi.Int(-1), abi.Text("ann")).AppendCBOR(nil)
	g.module.Memory().Write(g.buf, encoded)
	if _, err := g.run(abi.ExportCall, uint64(index("sum")), uint64(len(encoded))); err == nil {
		t.Error("a panic did not trap")
	}
}
