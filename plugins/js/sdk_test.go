package js_test

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weir/abi"
	"weir/host/tenant"
	"weir/host/wasm"
	"weir/host/wasm/wasmtest"
	weir "weir/plugins/guest"
	"weir/plugins/guest/weirtest"
	"weir/plugins/js/jstest"
)

// plugin is one that was loaded from its text, without a database.
type plugin struct {
	pool     *wasm.Pool
	manifest *abi.Manifest
	encoded  []byte
}

var shared *wasm.Runtime

func TestMain(m *testing.M) {
	config := wasm.Config{CompileTimeout: 5 * time.Minute, MaxRunning: 4}
	if home := wasmtest.CacheHome(); home != "" {
		config.CacheDir = filepath.Join(home, "weir", "wasm")
		if program, err := wasmtest.Program(); err == nil {
			config.Command = []string{program, "child", "compile"}
		}
	}
	var err error
	if shared, err = wasm.NewRuntime(context.Background(), config); err != nil {
		panic(err)
	}
	code := m.Run()
	if err := shared.Close(context.Background()); err != nil {
		panic(err)
	}
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func load(t *testing.T, source string) *plugin {
	t.Helper()
	engine := jstest.Engine(t)
	m, err := shared.Compiler().CompileSource(t.Context(), engine, "notes.js", source)
	if err != nil {
		t.Fatal(err)
	}
	p := &plugin{}
	limits := tenant.Limits{GuestTimeout: 20 * time.Second}
	if p.pool, err = wasm.NewPool(shared, m, wasm.PoolConfig{Limits: limits}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.pool.Close(context.Background()) })
	if p.encoded, err = p.pool.Describe(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p.manifest, err = abi.DecodeManifest(p.encoded); err != nil {
		t.Fatal(err)
	}
	if err := p.manifest.Validate(); err != nil {
		t.Fatal(err)
	}
	return p
}

// call calls a function by its number.
func (p *plugin) call(t *testing.T, function int, input ...abi.Value) *wasm.Output {
	t.Helper()
	out, err := p.pool.Call(t.Context(), &wasm.Call{Function: function, Name: "f", Kind: abi.Query, Input: abi.Array(input...).AppendCBOR(nil), Now: time.UnixMicro(1)})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

type inner struct {
	X int64
	Y *string
}

type allArgs struct {
	A  int64
	B  int32
	C  int16
	D  float64   `weir:"min=0.5,max=7"`
	E  bool      `weir:"default=true"`
	F  string    `weir:"minlen=1,maxlen=9,default=x"`
	G  []byte    `weir:"maxlen=3"`
	H  [16]byte  `doc:"which"`
	I  time.Time `json:"i"`
	J  time.Time `weir:"format=date"`
	K  string    `weir:"format=decimal"`
	L  weir.JSON
	M  []inner `weir:"maxlen=5"`
	N  *inner
	O  string    `weir:"enum=p|q"`
	P  abi.Value `json:"p"`
	Q  *int64
	R  float64  `weir:"default=2"`
	Me string   `claim:"sub"`
	Ro []string `claim:"roles"`
	Or int64    `scope:"org"`
}

// A plugin in JavaScript and one in Go that declare the same say the same, to the
// byte.
func TestSchemasEqualThoseOfGo(t *testing.T) {
	t.Parallel()
	p := load(t, `
plugin("plugin", "0.0.0")
const s = select("select 1 as one")
const mine = owner("mine", { id: t.int, me: t.claim("sub") }, "documents", "owner", { doc: "Mine." })
mutation("documents.drop", { id: t.int }, exec("delete from documents where id = $id"), { require: [mine], doc: "Drop." })
policy("can", { me: t.claim("sub"), verb: t.action, name: t.function }, () => true, { doc: "Can." })
const o = t.object({ x: t.int, y: t.text.optional() })
query("all.types", {
  a: t.int64, b: t.int32, c: t.int16, d: t.float.min(0.5).max(7), e: t.bool.default(true), f: t.text.min(1).max(9).default("x"),
  g: t.bytes.max(3), h: t.uuid.doc("which"), i: t.timestamp, j: t.date, k: t.decimal, l: t.json, m: t.array(o).max(5),
  n: o.optional(), o: t.enum("p", "q"), p: t.any, q: t.int.optional(), r: t.float.default(2), me: t.claim("sub"),
  ro: t.claim("roles", t.array(t.text)), org: t.scope(t.int),
}, () => null, { signedIn: true, doc: "All.", result: t.array(o) })
`)
	one := weir.Select[struct{}, struct{ One int32 }]("select 1 as one")
	_ = one
	mine := weir.Owner[struct {
		ID int64
		Me string `claim:"sub"`
	}]("mine", "documents", "owner", weir.Doc("Mine."))
	weir.Mutation("documents.drop", weir.Exec[struct{ ID int64 }, weir.None]("delete from documents where id = $id"), weir.Require(mine), weir.Doc("Drop."))
	weir.Query("all.types", weir.Func(func(*weir.Call, allArgs) ([]inner, error) { return nil, nil }), weir.SignedIn(), weir.Doc("All."))
	weir.Decide("can", func(*weir.Call, struct {
		Me   string `claim:"sub"`
		Verb string `weir:"action"`
		Name string `weir:"function"`
	},
	) (weir.Decision, error) {
		return weir.Allow(), nil
	}, weir.Doc("Can."))
	m, err := weirtest.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	want, err := abi.DecodeCBOR(abi.AppendManifest(nil, m))
	got, err2 := abi.DecodeCBOR(p.encoded)
	if err != nil || err2 != nil || got.String() != want.String() {
		t.Errorf("%v %v: JavaScript says\n%s\nGo\n%s", err, err2, got, want)
	}
	if string(p.encoded) != string(abi.AppendManifest(nil, m)) {
		t.Error("the bytes differ")
	}
}

// Every value comes back as it went in, in the bytes that the host writes.
func TestValuesComeBackAsTheyWent(t *testing.T) {
	t.Parallel()
	p := load(t, `query("f", { v: t.any }, a => a.v, { public: true })`)
	f := func(v abi.Value) {
		t.Helper()
		out := p.call(t, 0, v)
		want := v.AppendCBOR(nil)
		if v.IsNull() {
			if out.Kind != wasm.OutputNone {
				t.Errorf("null became %v", out.Kind)
			}
			return
		}
		if string(out.Value) != string(want) {
			t.Errorf("%s came back as %x, want %x (%v)", v, out.Value, want, out.Err)
		}
	}
	for _, n := range []int64{0, 1, 23, 24, 255, 256, 65535, 65536, 1<<32 - 1, 1 << 32, 1<<53 - 1, 1 << 53, 1<<53 + 1, math.MaxInt64} {
		f(abi.Int(n))
		f(abi.Int(-n))
		f(abi.Int(-n - 1))
	}
	f(abi.Uint(math.MaxUint64))
	f(abi.Uint(1 << 63))
	for _, x := range []float64{0.5, 1.5, -2.25, 65504.5, 1e-7, 5.9604644775390625e-08, 6.103515625e-05, 3.4028234663852886e+38, 1e300, math.SmallestNonzeroFloat64, 0.1, math.Pi} {
		f(abi.Float(x))
		f(abi.Float(-x))
	}
	f(abi.Float(math.Copysign(0, -1)))
	for _, s := range []string{"", "a", strings.Repeat("b", 23), strings.Repeat("c", 24), "é", "日本語", "🎈", "\x00zero", strings.Repeat("ü", 300), strings.Repeat("x", 100_000)} {
		f(abi.Text(s))
	}
	f(abi.Bytes([]byte{0, 1, 255}))
	f(abi.Bytes(make([]byte, 70_000)))
	f(abi.Null())
	f(abi.Array(abi.Null(), abi.Bool(true), abi.Array(), abi.Map(nil, nil)))
	f(abi.Map([]string{"bb", "a", "é", "z", "__proto__", "🎈", "\uffff"}, []abi.Value{abi.Int(1), abi.Null(), abi.Int(3), abi.Int(4), abi.Int(5), abi.Int(6), abi.Int(7)}))
	// Random floats of all sizes: half, single and double precision.
	var seed [8]byte
	for range 300 {
		_, _ = rand.Read(seed[:])
		bits := binary.LittleEndian.Uint64(seed[:])
		for _, x := range []float64{math.Float64frombits(bits), float64(math.Float32frombits(uint32(bits))), float64(int16(bits)) / 1024} {
			if x != math.Trunc(x) && !math.IsNaN(x) { // whole ones are integers in JavaScript
				f(abi.Float(x))
			}
		}
	}
}

// What JavaScript has and the contract has not.
func TestResultsOfJavaScript(t *testing.T) {
	t.Parallel()
	cases := [][2]string{
		{`({ gone: undefined, b: [undefined], at: new Date(0), n: NaN })`, `{"b":[null],"n":"NaN","at":"1970-01-01T00:00:00.000Z"}`},
		{`new Map([["x", 1n]])`, `{"x":1}`},
		{`({ toJSON: () => 7 })`, `7`},
		{`"\ud800x"`, `"` + "\ufffd" + `x"`},
		{`1n << 64n`, "internal: RangeError: 18446744073709551616 does not fit 64 bits"},
		{`({ a: [() => 1] })`, "internal: TypeError: the result.a[0] is a function"},
		{`[Promise.resolve(1)]`, "internal: TypeError: the result[0] is a promise: await it"},
		{`new Date(NaN)`, "internal: RangeError: the result is an invalid date"},
		{`(async () => { await null; throw fail('late', 'nobody waited') })() && 1`, "late: nobody waited"},
		{`(async () => { throw new Error('caught') })().catch(() => 5)`, `5`},
		{`(async () => { try { await Promise.reject(new Error('x')) } catch { return 6 } })()`, `6`},
		{`Promise.all([1, Promise.resolve(2)])`, `[1,2]`},
		{`typeof setTimeout + typeof fetch + typeof process`, `"undefinedundefinedundefined"`},
		{`new Date(2026, 0, 1).toISOString()`, `"2026-01-01T00:00:00.000Z"`},
	}
	var source strings.Builder
	for i, c := range cases {
		fmt.Fprintf(&source, "query('f%02d', {}, () => (%s), { public: true })\n", i, c[0])
	}
	p := load(t, source.String())
	for i, c := range cases {
		out := p.call(t, i)
		got := fmt.Sprint(out.Kind)
		switch out.Kind {
		case wasm.OutputValue:
			v, err := abi.DecodeCBOR(out.Value)
			if err != nil {
				t.Fatal(err)
			}
			got = v.String()
		case wasm.OutputError:
			got = string(out.Err.Code) + ": " + out.Err.Message
		}
		if !strings.HasPrefix(got, c[1]) {
			t.Errorf("%s: %s, want %s", c[0], got, c[1])
		}
	}
}

// What one call leaves waiting does not run in the next, whether it failed or not.
func TestCallsLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	p := load(t, `
let late = 0
const wait = async n => { for (let i = 0; i < n; i++) await null; late++ }
query("a", { fails: t.bool }, a => { wait(50); if (a.fails) throw new Error("now"); return late }, { public: true })
query("b", {}, () => late, { public: true })`)
	p.pool.SetReuse(wasm.Sticky) // or nothing would be left in any case
	for i, fails := range []bool{false, true, false} {
		_ = p.call(t, 0, abi.Bool(fails))
		if v, err := abi.DecodeCBOR(p.call(t, 1).Value); err != nil || !v.Equal(abi.Int(int64(i+1))) {
			t.Errorf("after call %d: %v %v", i, v, err)
		}
	}
}
