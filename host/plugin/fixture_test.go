package plugin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weir/abi"
	"weir/host/tenant"
	"weir/host/wasm"
	. "weir/host/wasm/wasmtest"
)

var shared *wasm.Runtime

func TestMain(m *testing.M) {
	var err error
	if shared, err = wasm.NewRuntime(context.Background(), wasm.Config{MaxRunning: 4}); err != nil {
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

// checker takes every statement but those that it was told to refuse.
type checker struct {
	mu      sync.Mutex // protects the field below
	refuses error
}

func (c *checker) Check(_ context.Context, m *abi.Manifest) (any, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return m.Name, c.refuses
}

// room is a set with a directory, and what it reported.
type room struct {
	*Set
	t       *testing.T
	dir     string
	checker checker
	changes []Change
}

func newRoom(t *testing.T, ten *tenant.Tenant) *room {
	t.Helper()
	r := &room{t: t, dir: t.TempDir()}
	if ten.Limits.GuestTimeout == 0 {
		ten.Limits.GuestTimeout = 20 * time.Second
	}
	r.Set = NewSet(Config{
		Runtime: shared, Tenant: ten, Checker: &r.checker,
		OnChange: func(c Change) { r.changes = append(r.changes, c) },
	})
	t.Cleanup(func() { r.Close(context.Background()) })
	return r
}

// put writes a file and loads it.
func (r *room) put(name string, code []byte) error {
	r.t.Helper()
	path := r.path(name)
	if err := os.WriteFile(path, code, 0o600); err != nil {
		r.t.Fatal(err)
	}
	return r.Load(r.t.Context(), path)
}

func (r *room) path(name string) string { return filepath.Join(r.dir, name) }

// must is put for what has to load.
func (r *room) must(name string, code []byte) {
	r.t.Helper()
	if err := r.put(name, code); err != nil {
		r.t.Fatalf("load %s: %v", name, err)
	}
}

// manifest is one of queries that any signed-in caller may call.
func manifest(plugin string, functions ...string) *abi.Manifest {
	m := &abi.Manifest{ABI: abi.Version, Name: plugin, Version: "1"}
	m.Statements = []abi.Statement{{SQL: "select id from t where a = $a and b = $b and c < $now {and a > $a}"}}
	for _, name := range functions {
		m.Functions = append(m.Functions, abi.Function{
			Name: name, Kind: abi.Query, Uses: []int{0}, Access: abi.Access{SignedIn: true},
		})
	}
	return m
}

// guest is a module that describes itself with m and returns n from every call.
func guest(m *abi.Manifest, n int64) Guest {
	value := abi.AppendInt(nil, n)
	return Guest{
		Manifest: abi.AppendManifest(nil, m), Data: map[uint32][]byte{DataAt: value},
		Call: Pack(abi.TagValue, DataAt, uint32(len(value))),
	}
}

// run calls a function and returns its number.
func (r *room) run(name string) (int64, error) {
	f, err := r.Lookup(name)
	if err != nil {
		return 0, err
	}
	out, err := f.Call(r.t.Context(), &wasm.Call{Now: time.Unix(1, 0)})
	if err != nil {
		return 0, err
	}
	v, err := abi.DecodeCBOR(out.Value)
	n, _ := v.AsInt()
	return n, errors.Join(err)
}

func (r *room) want(name string, want int64) {
	r.t.Helper()
	if got, err := r.run(name); got != want || err != nil {
		r.t.Errorf("%s = %d, %v; want %d", name, got, err, want)
	}
}
