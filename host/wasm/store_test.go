package wasm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "weir/host/wasm/wasmtest"
)

func openedStore(t *testing.T, dir, key string, identity [32]byte, most int64) (*store, *record) {
	t.Helper()
	log := &record{}
	s, err := openStore(dir, []byte(key), identity, Config{MaxCacheBytes: most, Logger: log.logger()})
	if err != nil {
		t.Fatal(err)
	}
	return s, log
}

// G8: native code that is not exactly what was put, for this module, this wazero
// and this CPU, is none. It is removed, once it is said, and wazero sees nothing of
// it.
// Cases: 21.
func TestNativeCodeThatWasTouchedIsNone(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "native")
	here, elsewhere := identityOf("none", "v1", "sum", "avx2"), identityOf("none", "v1", "sum", "avx512")
	module, other := [32]byte{1}, [32]byte{2}
	kept := &native{name: strings.Repeat("0a", 32), code: []byte("machine code")}
	s, _ := openedStore(t, dir, "secret", here, 1<<20)
	s.put(module, kept)
	path := s.path(module)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f := func(name string, change func() error, want bool) {
		t.Helper()
		if err := errors.Join(os.RemoveAll(path), os.WriteFile(path, good, 0o600), change()); err != nil {
			t.Fatal(err)
		}
		s, log := openedStore(t, dir, "secret", here, 1<<20)
		n, ok := s.get(module)
		if ok != want || ok && (n.name != kept.name || !bytes.Equal(n.code, kept.code)) {
			t.Errorf("%s: %+v, %v", name, n, ok)
		}
		if _, err := os.Lstat(path); (err == nil) != want {
			t.Errorf("%s: it is still there: %v", name, err == nil)
		}
		if _, ok := s.get(module); ok != want {
			t.Errorf("%s, again: %v", name, ok)
		}
		if n := strings.Count(log.String(), "\n"); (n == 0) != want || n > 1 {
			t.Errorf("%s: logged %q", name, log.String())
		}
	}
	write := func(content []byte) func() error {
		return func() error { return os.WriteFile(path, content, 0o600) }
	}
	f("as it was put", func() error { return nil }, true)
	for i := range good {
		flipped := bytes.Clone(good)
		flipped[i] ^= 1
		f(fmt.Sprintf("byte %d flipped", i), write(flipped), false)
	}
	f("empty", write(nil), false)
	f("cut short", write(good[:len(good)-1]), false)
	f("cut in its head", write(good[:40]), false)
	f("longer", write(append(bytes.Clone(good), 0)), false)
	f("without its MAC", write(append(make([]byte, 32), good[32:]...)), false)
	f("open to others", func() error { return os.Chmod(path, 0o644) }, false)
	f("a link to itself elsewhere", func() error {
		return errors.Join(os.Rename(path, filepath.Join(dir, "x")), os.Symlink("x", path))
	}, false)
	f("a directory", func() error { return errors.Join(os.Remove(path), os.MkdirAll(filepath.Join(path, "x"), 0o700)) }, false)
	f("a key of somebody else's", func() error {
		s, _ := openedStore(t, dir, "guessed", here, 1<<20)
		s.put(module, kept)
		return nil
	}, false)
	f("another CPU's, put in its place", func() error {
		s, _ := openedStore(t, dir, "secret", elsewhere, 1<<20)
		s.put(module, kept)
		return os.Rename(s.path(module), path)
	}, false)
	f("another module's, put in its place", func() error {
		s.put(other, kept)
		return os.Rename(s.path(other), path)
	}, false)

	// What another CPU's says is left where it is.
	s.put(module, kept)
	if s, log := openedStore(t, dir, "secret", elsewhere, 1<<20); true {
		if _, ok := s.get(module); ok || log.Len() > 0 {
			t.Errorf("another CPU: %v, %s", ok, log.String())
		}
	}
	if _, ok := s.get(module); !ok {
		t.Error("it is gone")
	}
}

// The parts of an identity cannot run into each other, and each counts.
func TestIdentityIsOfAllItsParts(t *testing.T) {
	t.Parallel()
	seen := map[[32]byte][]string{}
	for _, parts := range [][]string{{"a", "b", "c"}, {"b", "b", "c"}, {"a", "c", "c"}, {"a", "b", "b"}, {"ab", "", "c"}, {"a", "bc", ""}, {"a", "b"}} {
		if before, taken := seen[identityOf(parts...)]; taken {
			t.Errorf("%q is %q", parts, before)
		}
		seen[identityOf(parts...)] = parts
	}
}

// The store is bounded in bytes and in files; what was not used for longest goes
// first.
// Cases: 18.
func TestStoreForgetsWhatWasNotUsedForLongest(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "native")
	code := make([]byte, 1000-storeHead)
	s, _ := openedStore(t, dir, "secret", [32]byte{}, 3000)
	old := time.Now().Add(-time.Hour)
	for i := range byte(3) {
		s.put([32]byte{i}, &native{strings.Repeat("00", 32), code})
		if err := os.Chtimes(s.path([32]byte{i}), old, old.Add(time.Duration(i)*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok := s.get([32]byte{0}); !ok { // used
		t.Error("three of three do not fit")
	}
	s.put([32]byte{3}, &native{strings.Repeat("00", 32), code})
	for i, want := range []bool{true, false, true, true} {
		if _, ok := s.get([32]byte{byte(i)}); ok != want {
			t.Errorf("%d is there: %v", i, ok)
		}
	}
	for i := range maxStored + 3 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint("x", i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.put([32]byte{4}, &native{strings.Repeat("00", 32), code})
	if left, err := os.ReadDir(dir); err != nil || len(left) > maxStored {
		t.Errorf("%d files are left (%v)", len(left), err)
	}
}

// What cannot be kept is compiled again, and that is all.
// Cases: 22, 106.
func TestStoreThatIsFullKeepsNothing(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "native")
	s, log := openedStore(t, dir, "secret", [32]byte{}, 1<<20)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	s.put([32]byte{1}, &native{strings.Repeat("00", 32), []byte("code")})
	if !strings.Contains(log.String(), "not kept") {
		t.Errorf("logged %q", log.String())
	}
	if _, ok := s.get([32]byte{1}); ok {
		t.Error("it was kept")
	}
}

// G8: what a start finds is used if it verifies, and compiled again if it does
// not; a native code that verifies and is of no use is, too.
// Cases: 21.
func TestRuntimeUsesWhatVerifiesOnly(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "cache")
	code := echo().Bytes()
	module := builtFrom(t, code)
	nobody := []string{filepath.Join(t.TempDir(), "missing")}
	first := withChild(t, Config{CacheDir: dir})
	serves(t, first)
	f := func(name string, change func(r *Runtime, path string) error, stored bool) {
		t.Helper()
		var log record
		r := withChild(t, Config{CacheDir: dir, Logger: log.logger()})
		if err := change(r, r.store.path(module)); err != nil {
			t.Fatal(err)
		}
		r.workshop.started = true // so that this process does not compile
		r.config.Command = nobody
		m, err := r.Compile(t.Context(), code)
		if (err == nil) != stored {
			t.Fatalf("%s: without a child: %v", name, err)
		}
		if err == nil {
			_ = m.Close(t.Context())
		}
		r.config.Command = itself(t)
		serves(t, r)
		r.config.Command = nobody
		serves(t, r) // it was stored again
		if left, err := os.ReadDir(r.engine.dir); err != nil || len(left) > 0 {
			t.Errorf("%s: wazero's directory holds %v (%v)", name, left, err)
		}
	}
	f("as it was", func(*Runtime, string) error { return nil }, true)
	f("a constant changed, with wazero's checksum made anew", func(r *Runtime, path string) error {
		content, err := os.ReadFile(path)
		at := bytes.Index(content, binary.LittleEndian.AppendUint32(nil, 4711))
		if err != nil || at < 0 {
			t.Fatalf("no constant: %d, %v", at, err)
		}
		content[at]++
		return os.WriteFile(path, forge(content, wazeroVersion(r.engine.version())), 0o600)
	}, false)
	f("another CPU's, with a MAC", func(r *Runtime, _ string) error {
		n, ok := r.store.get(module)
		if !ok {
			return errors.New("nothing is stored")
		}
		r.store.put(module, &native{strings.Repeat("ab", 32), n.code})
		return nil
	}, false)
	f("with another key", func(r *Runtime, _ string) error {
		r.store.key = []byte("another")
		return nil
	}, false)
	// What f stored with the other key is no use with that of the directory.
	f("with the first key again", func(*Runtime, string) error { return nil }, false)
}

// builtFrom returns the digest of what is compiled for a module.
func builtFrom(t testing.TB, code []byte) [32]byte {
	t.Helper()
	shape, err := gate(bytes.Clone(code), false)
	if err != nil {
		t.Fatal(err)
	}
	metered, err := meterOf(shape)
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(metered.Code)
}

// forge puts the right checksum into a stored file of wazero's.
func forge(content []byte, version string) []byte {
	file := content[storeHead:]
	at := 7 + len(version)
	functions := int(binary.LittleEndian.Uint32(file[at:]))
	at += 4 + 8*functions
	size := int(binary.LittleEndian.Uint64(file[at:]))
	at += 8
	binary.LittleEndian.PutUint32(file[at+size:], crc32.Checksum(file[at:at+size], crc32.MakeTable(crc32.Castagnoli)))
	return content
}

// What a process that was killed has left goes after a day, and nothing else.
func TestLeftDirectoriesAreSweptUp(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	f := func(name string, age time.Duration, want bool) {
		t.Helper()
		path := filepath.Join(base, name)
		if err := os.MkdirAll(filepath.Join(path, "x"), 0o700); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(-age)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
		sweep(base, time.Now().Add(-sweepTime))
		if _, err := os.Stat(path); (err == nil) != want {
			t.Errorf("%s is there: %v, want %v", name, err == nil, want)
		}
	}
	f("run-1", time.Hour, true)
	f("run-2", 48*time.Hour, false)
	f("compile-1", 48*time.Hour, false)
	f("native", 48*time.Hour, true)
	f("other", 48*time.Hour, true)
}

// The directory of a process that runs for long may have gone.
func TestLoadMakesItsDirectoryAgain(t *testing.T) {
	t.Parallel()
	r := withChild(t, Config{CacheDir: filepath.Join(t.TempDir(), "cache")})
	serves(t, r)
	if err := os.RemoveAll(r.run); err != nil {
		t.Fatal(err)
	}
	serves(t, r)
}

// G8: the counts in a file must be those of the module and of the file: wazero
// believes them.
// Cases: 21.
func TestNativeFileMustBeItsModules(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	code := echo().Bytes()
	if err := compileInside(t.Context(), dir, code); err != nil {
		t.Fatal(err)
	}
	version, err := onlyEntry(dir)
	if err != nil {
		t.Fatal(err)
	}
	functions, err := countFunctions(code)
	if err != nil || functions != 3 {
		t.Fatalf("%d functions, %v", functions, err)
	}
	n, err := takeNative(dir, version, functions)
	if err != nil {
		t.Fatal(err)
	}
	v := wazeroVersion(version)
	f := func(name string, change func(file []byte) []byte, functions int) {
		t.Helper()
		if err := checkNative(change(bytes.Clone(n.code)), v, functions); !errors.Is(err, errNative) {
			t.Errorf("%s: %v", name, err)
		}
	}
	same := func(file []byte) []byte { return file }
	at := 7 + len(v)
	put32 := func(at int, n uint32) func([]byte) []byte {
		return func(file []byte) []byte { binary.LittleEndian.PutUint32(file[at:], n); return file }
	}
	put64 := func(at int, n uint64) func([]byte) []byte {
		return func(file []byte) []byte { binary.LittleEndian.PutUint64(file[at:], n); return file }
	}
	f("another module's", same, 4)
	f("none's", same, 0)
	f("four billion functions", put32(at, 1<<32-1), 1<<32-1)
	f("fewer functions", put32(at, 2), 3)
	f("a function outside", put64(at+4, 1<<62), 3)
	f("a function before the one before it", put64(at+4+16, 0), 3)
	f("more code than there is", put64(at+4+24, 1<<40), 3)
	f("code of all that there is", put64(at+4+24, 1<<64-9), 3)
	f("a source map", func(file []byte) []byte { file[len(file)-5] = 1; return file }, 3)
	f("catch clauses", func(file []byte) []byte { file[len(file)-1] = 1; return file }, 3)
	f("another version", func(file []byte) []byte { file[7] ^= 1; return file }, 3)
	for i := range n.code {
		f("cut short", func(file []byte) []byte { return file[:i] }, 3)
	}
	if err := checkNative(n.code, v, 3); err != nil {
		t.Error(err)
	}
}

// What is counted wrongly is refused before a child sees it.
func TestFunctionsAreCountedWithinTheirSection(t *testing.T) {
	t.Parallel()
	head := []byte("\x00asm\x01\x00\x00\x00")
	f := func(name string, sections []byte, want int, valid bool) {
		t.Helper()
		n, err := countFunctions(append(bytes.Clone(head), sections...))
		if n != want || (err == nil) != valid {
			t.Errorf("%s: %d, %v", name, n, err)
		}
	}
	f("none", nil, 0, true)
	f("two", Section(3, []byte{2, 0, 0}), 2, true)
	f("behind another", append(Section(0, []byte("\x01x")), Section(3, []byte{1, 0})...), 1, true)
	f("a lying count", Section(3, []byte{200, 200, 3}), 0, false)
	f("no count", Section(3, nil), 0, false)
	f("cut short", []byte{3, 5, 1}, 0, false)
	f("a length that is none", []byte{3, 0x80}, 0, false)
}

// FuzzNative: whatever a file holds, it is judged without a panic, and by what is
// in it.
// Cases: 21.
func FuzzNative(f *testing.F) {
	dir := f.TempDir()
	if err := compileInside(context.Background(), dir, echo().Bytes()); err != nil {
		f.Fatal(err)
	}
	version, err := onlyEntry(dir)
	if err != nil {
		f.Fatal(err)
	}
	n, err := takeNative(dir, version, 3)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(n.code, 3)
	f.Add([]byte("WAZEVO"), 0)
	f.Fuzz(func(t *testing.T, file []byte, functions int) {
		if functions < 0 {
			return
		}
		if err := checkNative(file, wazeroVersion(version), functions); err == nil && len(file) < 8*functions {
			t.Errorf("%d functions in %d bytes", functions, len(file))
		}
		_, _ = countFunctions(file)
	})
}
