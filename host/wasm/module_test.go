package wasm

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/abi"
	"weir/host/tenant"
	. "weir/host/wasm/wasmtest"
)

// X1: every module that is no guest is refused in a sentence with a next step.
// Cases: 1, 15, 16.
func TestModulesThatAreNoGuestsAreRefused(t *testing.T) {
	t.Parallel()
	f := func(name string, code []byte, want ...string) {
		t.Helper()
		m, err := shared.Compile(t.Context(), code)
		if err == nil {
			_ = m.Close(t.Context())
			t.Errorf("%s was taken", name)
			return
		}
		if _, ok := err.(*RefusedError); !ok {
			if _, ok := unjoin(err).(*RefusedError); !ok {
				t.Errorf("%s: %T, want a RefusedError", name, err)
			}
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %q does not say %q", name, err, w)
			}
		}
	}
	guest := Guest{}.Bytes()
	importing := func(i Import) []byte { return Guest{Imports: []Import{i}}.Bytes() }
	f("empty", nil, "not a WebAssembly module")
	f("text", []byte("#!/bin/sh\nexit 0\n"), "not a WebAssembly module", "-buildmode=c-shared")
	f("component", []byte("\x00asm\x0d\x00\x01\x00"), "this is a component", "GOOS=wasip1")
	f("next version", []byte("\x00asm\x02\x00\x00\x00"), "version 0x2")
	f("truncated", guest[:len(guest)/2], "not valid")
	f("tag section", append(guest[:len(guest):len(guest)], Section(13, []byte{1, 0, 0})...), "exceptions", "build it without")
	f("no exports", []byte("\x00asm\x01\x00\x00\x00"), "weir_describe() -> i64", "SDK")
	f("no weir_call", Guest{Without: abi.ExportCall}.Bytes(), "does not export weir_call(i32, i32) -> i64")
	f("no memory", Guest{Without: abi.ExportMemory}.Bytes(), "does not export its memory")
	f("file system of another kind", importing(Import{Module: "env", Name: "open", Sig: "ii:i"}), "imports env.open", "remove")
	f("undeclared host function", importing(Host("http_get", "ii:i")), "imports weir_1.http_get", "does not have")
	f("wrong type", importing(Host("now", ":i")), "weir_1.now() -> i32", "now() -> i64")
	f("future version", importing(Import{Module: "weir_2", Name: "query", Sig: "iii:i"}), "speaks weir_2", "weir_1", "update weir")
	f("unknown wasi", importing(WASI("fd_teleport", "i:i")), "fd_teleport")
	f("wrong wasi type", importing(WASI("fd_write", "iii:i")), "fd_write(i32, i32, i32) -> i32")
}

func unjoin(err error) error {
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		return j.Unwrap()[0]
	}
	return err
}

// X1: exceptions are off, because a guest could write into the host's heap by
// them.
// Cases: 17.
func TestExceptionHandlingIsOff(t *testing.T) {
	t.Parallel()
	tag := append([]byte("\x00asm\x01\x00\x00\x00"), Join(Section(1, []byte{1, 0x60, 0, 0}), Section(13, []byte{1, 0, 0}))...)
	_, err := shared.Compile(t.Context(), tag)
	if err == nil || !strings.Contains(err.Error(), "exceptions") {
		t.Errorf("a module with a tag section: %v", err)
	}
}

// Cases: 5.
func TestModulesOverTheSizeAreRefusedUnread(t *testing.T) {
	t.Parallel()
	r, err := NewRuntime(t.Context(), Config{MaxModuleBytes: 100})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close(t.Context())
	if _, err := r.Compile(t.Context(), make([]byte, 101)); err == nil || !strings.Contains(err.Error(), "101 bytes") {
		t.Errorf("101 bytes: %v", err)
	}
}

// G1: the compiler ignores its context; the caller does not wait for it.
func TestCompileTimeoutFreesTheCaller(t *testing.T) {
	t.Parallel()
	r, err := NewRuntime(t.Context(), Config{CompileTimeout: time.Nanosecond})
	if err != nil {
		t.Fatal(err)
	}
	var body []byte
	for range 20_000 {
		body = append(body, Join(I32(1), Drop())...)
	}
	_, err = r.Compile(t.Context(), Guest{Init: body}.Bytes())
	var refused *RefusedError
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), "compile") || refused.Limit != "compile_timeout" {
		t.Errorf("Compile: %v", err)
	}
	if err := r.Close(t.Context()); err != nil { // waits for the compilation
		t.Error(err)
	}
	if _, err := r.Compile(t.Context(), Guest{}.Bytes()); err != ErrClosed {
		t.Errorf("Compile after Close: %v", err)
	}
}

// W7, G1: one compilation at a time, also when the one before was abandoned; the
// next waits no longer than a compilation may take.
func TestATenantCompilesOneModuleAtATime(t *testing.T) {
	t.Parallel()
	r, err := NewRuntime(t.Context(), Config{CompileTimeout: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close(t.Context())
	c := r.Compiler()
	c.turn <- struct{}{} // one that was abandoned still runs
	if _, err := c.Compile(t.Context(), Guest{}.Bytes()); err == nil || !strings.Contains(err.Error(), "another module of the tenant") {
		t.Errorf("beside another: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Compile(ctx, Guest{}.Bytes()); err == nil {
		t.Error("it has not waited")
	}
	other := r.Compiler()
	if _, err := other.Compile(ctx, []byte("x")); err == nil || len(other.turn) != 0 {
		t.Errorf("another tenant's: %v", err)
	}
	<-c.turn
}

// Cases: 13.
func TestModuleThatNeedsTooMuchMemoryToStartIsRefused(t *testing.T) {
	t.Parallel()
	m := compile(t, Guest{Pages: 32}.Bytes())
	_, err := NewPool(shared, m, PoolConfig{Limits: tenant.Limits{MaxMemoryBytes: 1 << 20}})
	if err == nil || !strings.Contains(err.Error(), "2097152 bytes of memory") {
		t.Errorf("NewPool: %v", err)
	}
}

func TestWhatAModuleImportsCanBeSeen(t *testing.T) {
	t.Parallel()
	m := compile(t, Guest{Imports: []Import{Host(abi.ImportQuerySQL, "iiii:i")}}.Bytes())
	if !m.Imports(abi.ImportQuerySQL) || m.Imports(abi.ImportQuery) {
		t.Error("Imports does not tell what is imported")
	}
	if s := strings.Join(m.Signatures(), "\n"); !strings.Contains(s, "import weir_1 query_sql(i32, i32, i32, i32) -> i32\n") &&
		!strings.HasSuffix(s, "query_sql(i32, i32, i32, i32) -> i32") {
		t.Errorf("Signatures:\n%s", s)
	}
}

// G8: what lies in the cache is run as native code.
// Cases: 21.
func TestCompileCacheOpenToOthersIsRefused(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "cache")
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil { // whatever the umask is
		t.Fatal(err)
	}
	if _, err := NewRuntime(t.Context(), Config{CacheDir: dir}); err == nil || !strings.Contains(err.Error(), "chmod 700") {
		t.Errorf("NewRuntime: %v", err)
	}
}

func TestCompileCacheIsPrivateAndUsed(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "cache")
	for range 2 {
		r, err := NewRuntime(t.Context(), Config{CacheDir: dir})
		if err != nil {
			t.Fatal(err)
		}
		m, err := r.Compile(t.Context(), Guest{}.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		_ = m.Close(t.Context())
		if err := r.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("cache: %v %v", info.Mode(), err)
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "*", "*")); len(files) == 0 {
		t.Error("nothing was cached")
	}
}
