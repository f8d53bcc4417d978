package wasm

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/abi"
	"weir/host/tenant"
)

// goGuest is a guest that the Go toolchain built, compiled once for all tests.
type goGuest struct {
	module   *Module
	manifest *abi.Manifest
}

var buildGuest = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "weir-guest-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "guest.wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-trimpath", "-ldflags=-s -w", "-o", file, "./testdata/goguest")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, errors.New(err.Error() + ": " + string(out))
	}
	return os.ReadFile(file)
})

// TestGoGuests runs everything that needs the Go guest, so that it is built and
// compiled once.
func TestGoGuests(t *testing.T) {
	t.Parallel()
	code, err := buildGuest()
	if err != nil {
		t.Fatal(err)
	}
	g := &goGuest{module: compile(t, code)}
	described, err := g.pool(t, PoolConfig{}).Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if g.manifest, err = abi.DecodeManifest(described); err != nil {
		t.Fatal(err)
	}
	if err := g.manifest.Validate(); err != nil {
		t.Fatal(err)
	}
	t.Run("runtime", g.testRuntime)
	t.Run("faults", g.testFaults)
	t.Run("rows", g.testRows)
	t.Run("start", g.testStart)
	t.Run("two users", g.testTwoUsers)
}

func (g *goGuest) pool(t *testing.T, config PoolConfig) *Pool {
	t.Helper()
	if config.Limits.GuestTimeout == 0 {
		config.Limits.GuestTimeout = generous.GuestTimeout
	}
	config.Plugin = "goguest"
	p, err := NewPool(shared, g.module, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close(context.Background()) })
	return p
}

// call returns a call of the function of that name, with empty input.
func (g *goGuest) call(t *testing.T, name string) Call {
	t.Helper()
	for i := range g.manifest.Functions {
		if f := &g.manifest.Functions[i]; f.Name == "test."+name {
			uses := Statements{}
			for _, s := range f.Uses {
				uses[s] = 0
			}
			return Call{Function: i, Name: f.Name, Kind: f.Kind, Statements: uses, Input: abi.AppendArray(nil, 0), Now: time.Unix(1_700_000_000, 0)}
		}
	}
	t.Fatalf("no function %s", name)
	return Call{}
}

func answerOf(t *testing.T, out *Output) (int64, string) {
	t.Helper()
	v, err := abi.DecodeCBOR(out.Value)
	if err != nil {
		t.Fatalf("%v in %x", err, out.Value)
	}
	field := func(i int, name string) abi.Value {
		if m, ok := v.Get(name); ok {
			return m
		}
		return v.At(i)
	}
	n, _ := field(0, "number").AsInt()
	s, _ := field(1, "text").AsText()
	return n, s
}

// G10: what Go's runtime needs of time and randomness works in the cage.
func (g *goGuest) testRuntime(t *testing.T) {
	t.Parallel()
	p := g.pool(t, PoolConfig{MaxInstances: 1})
	for range 2 { // the second time on the same instance, where time went on
		began := time.Now()
		n, s := answerOf(t, call(t, p, g.call(t, "sleep")))
		if n < int64(4*time.Hour) || n > int64(5*time.Hour) || s != "2023-11-14T22:13:20Z" {
			t.Errorf("slept %v and it is %s", time.Duration(n), s)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("sleeping took %v", took)
		}
	}
	if n, _ := answerOf(t, call(t, p, g.call(t, "goroutines"))); n != 4950 {
		t.Errorf("goroutines summed %d", n)
	}
	// Garbage is collected although the clock stands still.
	if n, _ := answerOf(t, call(t, p, g.call(t, "collect"))); n != 4 {
		t.Errorf("kept %d", n)
	}
	if n, s := answerOf(t, call(t, p, g.call(t, "files"))); n != 0 || s == "opened" {
		t.Errorf("%d variables, and a file: %s", n, s)
	}
	if s := p.Stats(); s.Started != 1 || s.Dropped != 0 {
		t.Errorf("stats %+v", s)
	}
	// G11: equal seeds, equal randomness, on another instance too.
	_, a := answerOf(t, call(t, p, g.call(t, "shuffle")))
	_, b := answerOf(t, call(t, g.pool(t, PoolConfig{}), g.call(t, "shuffle")))
	if a != b || a == "" {
		t.Errorf("randomness %q and %q", a, b)
	}
}

// X4, G10: each end of a Go program has its own code, and its last words are
// lines.
func (g *goGuest) testFaults(t *testing.T) {
	t.Parallel()
	f := func(name string, limits tenant.Limits, want abi.Code, says string) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log strings.Builder
			c := g.call(t, name)
			c.Log = func(_ int, line string) { log.WriteString(line + "\n") }
			fails(t, g.pool(t, PoolConfig{Limits: limits}), c, want)
			if !strings.Contains(log.String(), says) {
				t.Errorf("the log does not say %q:\n%s", says, log.String())
			}
		})
	}
	f("block", tenant.Limits{}, abi.GuestBlocked, "all goroutines are asleep")
	f("crash", tenant.Limits{}, abi.GuestTrap, "assignment to entry in nil map\n")
	f("exit", tenant.Limits{}, abi.GuestExit, "")
	f("memory", tenant.Limits{MaxMemoryBytes: 16 << 20}, abi.GuestMemory, "out of memory")
	f("spin", tenant.Limits{GuestTimeout: 50 * time.Millisecond}, abi.Deadline, "")
}

func (g *goGuest) testRows(t *testing.T) {
	t.Parallel()
	p := g.pool(t, PoolConfig{})
	const many = 20_000
	b := &backend{rows: func(*Query) (Rows, error) { return people(many), nil }}
	c := g.call(t, "read")
	c.Backend = b
	if n, s := answerOf(t, call(t, p, c)); n != many || s != "p19999" {
		t.Errorf("read %d rows, the last %q", n, s)
	}
	c = g.call(t, "pass")
	c.Backend = b
	out := call(t, p, c)
	if out.Kind != OutputRows || out.Looked || !out.View.Plain() || len(b.ran) != 1 {
		t.Errorf("output %+v", out)
	}
	failing := g.call(t, "read")
	failing.Backend = &backend{rows: func(*Query) (Rows, error) {
		return nil, &abi.Error{Code: abi.SQLError, Message: "no such column"}
	}}
	if out := call(t, p, failing); out.Kind != OutputError || out.Err.Public {
		t.Errorf("output %+v", out)
	}
}

func (g *goGuest) testStart(t *testing.T) {
	t.Parallel()
	// Two pools with the same seed start equal: the manifest and the memory.
	var images [2][]byte
	for i := range images {
		inst, _, err := g.pool(t, PoolConfig{LoadedAt: time.Unix(1, 0)}).start(t.Context(), [32]byte{1}, time.Unix(1, 0))
		if err != nil {
			t.Fatal(err)
		}
		images[i] = bytes.Clone(inst.memory.data)
		inst.close(t.Context())
	}
	if !bytes.Equal(images[0], images[1]) {
		t.Error("two instances of one seed differ after their start (X6)")
	}
}
