package plugin

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"weir/abi"
	"weir/host/tenant"
	"weir/host/wasm"
)

// W8: nothing is ever unpacked: what is compressed is no module, however small it
// would make a bomb.
// Cases: 6.
func TestCompressedModulesAreNotUnpacked(t *testing.T) {
	t.Parallel()
	r := newRoom(t, &tenant.Tenant{Name: "default"})
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	for _, part := range [][]byte{guest(manifest("p", "a.b"), 1).Bytes(), make([]byte, 1<<20)} {
		if _, err := w.Write(part); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for name, code := range map[string][]byte{
		"gzip": packed.Bytes(), "zip": append([]byte("PK\x03\x04"), packed.Bytes()...), "brotli": {0x0b, 0x02, 0x80, 0, 'a', 's', 'm', 3},
	} {
		if err := r.put(name+".wasm", code); err == nil || !strings.Contains(err.Error(), "not a WebAssembly module") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// W6, P4: versions that follow each other take each other's place: what is open
// after a hundred is what was open after a few.
// Cases: 18.
func TestManyVersionsLeaveNothing(t *testing.T) {
	r := newRoom(t, &tenant.Tenant{Name: "default"})
	versions := func(from, to int64) {
		t.Helper()
		for n := from; n < to; n++ {
			old, _ := r.Lookup("a.b")
			r.must("p.wasm", guest(manifest("p", "a.b"), n).Bytes())
			r.want("a.b", n)
			if old == nil {
				continue
			}
			if s := old.Plugin.Stats(); s.Instances != 0 {
				t.Fatalf("version %d leaves %+v", n-1, s)
			}
			if _, err := old.Call(t.Context(), &wasm.Call{}); !errors.Is(err, ErrRetired) {
				t.Fatalf("version %d answers: %v", n-1, err)
			}
		}
	}
	versions(1, 20)
	maps, goroutines := mappings(t), runtime.NumGoroutine()
	versions(20, 100)
	// A version that was not closed has two mappings at least.
	if now := mappings(t); now > maps+60 {
		t.Errorf("%d mappings after 20 versions, %d after 100", maps, now)
	}
	if now := runtime.NumGoroutine(); now > goroutines+20 { // of other tests
		t.Errorf("%d goroutines after 20 versions, %d after 100", goroutines, now)
	}
	if len(r.All()) != 1 {
		t.Errorf("%d plugins", len(r.All()))
	}
}

// mappings counts this process' pieces of memory, 0 where it cannot be told.
func mappings(t *testing.T) int {
	t.Helper()
	runtime.GC()
	text, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return 0
	}
	return bytes.Count(text, []byte("\n"))
}

// P1: a name is a name: nothing of it is a path, a command or a line of the log,
// and a file is judged by what it is.
// Cases: 20.
func TestNamesOfFilesAreNamesOnly(t *testing.T) {
	t.Parallel()
	r := newRoom(t, &tenant.Tenant{Name: "default"})
	for i, name := range []string{"a b.wasm", "..wasm", "-rf.wasm", "$(id).wasm", "line\nlevel=ERROR.wasm", "\x1b[31m.wasm", "P.wasm", "p.wasm", "CON.wasm", strings.Repeat("n", 250) + ".wasm"} {
		function := fmt.Sprintf("a.b%d", i)
		r.must(name, guest(manifest(fmt.Sprintf("p%d", i), function), int64(i)).Bytes())
		r.want(function, int64(i))
	}
	if n := len(r.All()); n != 10 {
		t.Errorf("%d plugins: names were taken for each other", n)
	}
	f := func(path string) {
		t.Helper()
		if err := r.Load(t.Context(), path); err == nil {
			t.Errorf("%q was loaded", path)
		}
	}
	f(r.path(strings.Repeat("n", 300) + ".wasm"))
	f(r.path("nul\x00.wasm"))
	f("/dev/zero")
	f("/dev/null")
	f(r.dir)
	socket := r.path("s.wasm")
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Close(fd) }()
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: socket}); err == nil { // a name may be too long for one
		f(socket)
	}
	if n := len(r.All()); n != 10 {
		t.Errorf("%d plugins", n)
	}
}

// P1: a file that is swapped while it is read is one of the two, or none: what was
// judged is what runs.
// Cases: 20.
func TestWhatIsJudgedIsWhatRuns(t *testing.T) {
	t.Parallel()
	r := newRoom(t, &tenant.Tenant{Name: "default"})
	path := r.path("p.wasm")
	swap := func(code []byte) {
		temp := filepath.Join(r.dir, "new")
		if err := errors.Join(os.WriteFile(temp, code, 0o600), os.Rename(temp, path)); err != nil {
			t.Error(err)
		}
	}
	greedy := manifest("p", "a.b")
	greedy.Functions[0].Access = abi.Access{Public: true} // which nobody granted
	good, bad := guest(manifest("p", "a.b"), 1).Bytes(), guest(greedy, 2).Bytes()
	swap(good)
	var done atomic.Bool
	var swapper sync.WaitGroup
	swapper.Go(func() {
		for !done.Load() {
			swap(bad)
			swap(good)
		}
	})
	loaded, refused := 0, 0
	for loaded+refused < 60 {
		r.Remove(t.Context(), path)
		if err := r.Load(t.Context(), path); err != nil {
			if !strings.Contains(err.Error(), "is public") {
				t.Errorf("Load: %v", err)
				break
			}
			refused++
			continue
		}
		loaded++
		r.want("a.b", 1)
	}
	done.Store(true)
	swapper.Wait()
	t.Logf("%d loaded, %d refused", loaded, refused)
}
