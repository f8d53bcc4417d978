package wasm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weir/abi"
	"weir/host/tenant"
	. "weir/host/wasm/wasmtest"
)

// childArg makes the test binary the compile child.
const childArg = "compile-child"

// shared is the runtime of most tests: making one takes longer than a test.
var shared *Runtime

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == childArg {
		if err := ServeCompile(os.Stdin, os.Stdout, os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	var err error
	config := Config{MaxRunning: 4, CompileTimeout: 5 * time.Minute}
	// Compiling the Go guest takes most of the time of these tests, twenty seconds
	// under the race detector. Like the Go toolchain, they keep what they compiled.
	if dir := CacheHome(); dir != "" {
		config.CacheDir = filepath.Join(dir, "weir", "wasm")
		if program, err := Program(); err == nil {
			config.Command = []string{program, "child", "compile"}
		}
	}
	if shared, err = NewRuntime(context.Background(), config); err != nil {
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

// generous keeps tests that are not about time from failing on a busy machine.
var generous = tenant.Limits{GuestTimeout: 20 * time.Second}

func compile(t testing.TB, code []byte) *Module {
	t.Helper()
	m, err := shared.Compile(t.Context(), code)
	if err != nil {
		t.Fatalf("Compile: %v", err)
	}
	t.Cleanup(func() { _ = m.Close(context.Background()) })
	return m
}

// newPool makes a pool for a guest. Limits without a GuestTimeout get a long one.
func newPool(t testing.TB, g Guest, config PoolConfig) *Pool {
	t.Helper()
	return poolOf(t, g.Bytes(), config)
}

func poolOf(t testing.TB, code []byte, config PoolConfig) *Pool {
	t.Helper()
	if config.Limits.GuestTimeout == 0 {
		config.Limits.GuestTimeout = generous.GuestTimeout
	}
	if config.Plugin == "" {
		config.Plugin = "test"
	}
	p, err := NewPool(shared, compile(t, code), config)
	if err != nil {
		t.Fatalf("NewPool: %v", err)
	}
	t.Cleanup(func() { p.Close(context.Background()) })
	return p
}

// call runs a call that must have an outcome.
func call(t testing.TB, p *Pool, c Call) *Output {
	t.Helper()
	out, err := p.Call(t.Context(), named(&c))
	if err != nil {
		t.Fatalf("Call: %v", err)
	}
	return out
}

// fails runs a call that must have no outcome, checks the code and returns the
// error. The instance must be gone.
func fails(t testing.TB, p *Pool, c Call, want abi.Code) error {
	t.Helper()
	out, err := p.Call(t.Context(), named(&c))
	if err == nil {
		t.Fatalf("Call returned %+v, want an error with code %s", out, want)
	}
	var coded interface{ Code() abi.Code }
	if !errors.As(err, &coded) || coded.Code() != want {
		t.Errorf("Call: %v (%T), want code %s", err, err, want)
	}
	if s := p.Stats(); s.Instances != 0 || s.Idle != 0 {
		t.Errorf("after %v the instance is kept: %+v", err, s)
	}
	if strings.Contains(err.Error(), "goroutine ") || strings.Contains(err.Error(), "wasm stack trace") {
		t.Errorf("the error carries a stack: %v", err)
	}
	return err
}

func named(c *Call) *Call {
	if c.Name == "" {
		c.Name = "fn"
	}
	if c.Kind == "" {
		c.Kind = abi.Query
	}
	if c.Now.IsZero() {
		c.Now = time.UnixMicro(1_700_000_000_000_000)
	}
	return c
}

// number is the guest code that returns the i32 on top of the stack as a value:
// four bytes behind the head of a byte string.
func number(code []byte) []byte {
	return Join(code, Put(2),
		I32(DataAt), I32(0x44), Store(), // CBOR: a byte string of 4
		I32(DataAt+1), Get(2), Store(),
		Pack(abi.TagValue, DataAt, 5))
}

// numberOf reads what number returned.
func numberOf(t testing.TB, out *Output) int32 {
	t.Helper()
	v, err := abi.DecodeCBOR(out.Value)
	if err != nil {
		t.Fatal(err)
	}
	b, ok := v.AsBytes()
	if !ok || len(b) != 4 {
		t.Fatalf("the guest returned %v", v)
	}
	return int32(uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24)
}

// errnoOf runs guest code that leaves the i32 result of a host function, and
// returns it.
func resultOf(t testing.TB, g Guest, code []byte, c Call) int32 {
	t.Helper()
	g.Call = number(code)
	return numberOf(t, call(t, newPool(t, g, PoolConfig{}), c))
}

// table is a result held by the test.
type table struct {
	names []string
	rows  [][]abi.Value
}

func (r *table) Len() int                { return len(r.rows) }
func (r *table) Columns() int            { return len(r.names) }
func (r *table) Scalars() int            { return r.Columns() }
func (r *table) ColumnName(i int) string { return r.names[i] }
func (r *table) AppendValueJSON(dst []byte, row, col int) []byte {
	return r.rows[row][col].AppendJSON(dst)
}

func (r *table) AppendValueCBOR(dst []byte, row, col int) []byte {
	return r.rows[row][col].AppendCBOR(dst)
}

// people is a result of n rows: id 0…n-1 and a name.
func people(n int) *table {
	r := &table{names: []string{"id", "name"}}
	for i := range n {
		r.rows = append(r.rows, []abi.Value{abi.Int(int64(i)), abi.Text(fmt.Sprintf("p%d", i))})
	}
	return r
}

// backend answers every query with what rows returns for it, and keeps the
// order of what ran.
type backend struct {
	rows func(q *Query) (Rows, error)
	exec func(ctx context.Context, q *Query) error
	wait func(ctx context.Context) error // before each query

	mu  sync.Mutex // protects the field below
	ran [][]*Query
}

func (b *backend) Query(ctx context.Context, qs []*Query) error {
	b.mu.Lock()
	b.ran = append(b.ran, qs)
	b.mu.Unlock()
	if b.wait != nil {
		if err := b.wait(ctx); err != nil {
			return err
		}
	}
	for _, q := range qs {
		if b.rows == nil {
			q.Rows = people(3)
			continue
		}
		q.Rows, q.Err = b.rows(q)
	}
	return nil
}

func (b *backend) Exec(ctx context.Context, q *Query) error {
	b.mu.Lock()
	b.ran = append(b.ran, []*Query{q})
	b.mu.Unlock()
	if b.exec != nil {
		return b.exec(ctx, q)
	}
	q.Rows, q.Affected = people(1), 1
	return nil
}

var _ Backend = (*backend)(nil)
