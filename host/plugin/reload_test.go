package plugin

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/abi"
	"weir/host/tenant"
	"weir/host/wasm"
	. "weir/host/wasm/wasmtest"
)

func fmtNames(c Change) string {
	name := func(p *Plugin) string {
		if p == nil {
			return "-"
		}
		return p.Name()
	}
	return fmt.Sprint(name(c.Old), ">", name(c.New), c.Functions)
}

// P3, P5: a good file replaces, a bad one changes nothing and is told, a removed
// one goes; each change names the functions whose groups must run again.
// Cases: 22, 111.
func TestReload(t *testing.T) {
	t.Parallel()
	r := newRoom(t, &tenant.Tenant{Name: "default"})
	first := guest(manifest("chat", "a.one", "a.two"), 1).Bytes()
	r.must("chat.wasm", first)
	r.want("a.one", 1)

	r.must("chat.wasm", first) // the same bytes
	if len(r.changes) != 1 {
		t.Errorf("the same bytes are a change: %v", r.changes)
	}
	if err := r.put("chat.wasm", []byte("garbage")); err == nil {
		t.Error("garbage was taken")
	}
	r.want("a.one", 1)
	if e := r.Errors()[r.path("chat.wasm")]; e == nil || !strings.Contains(e.Error(), "not a WebAssembly module") {
		t.Errorf("errors %v", r.Errors())
	}
	r.must("chat.wasm", first) // back to what serves: the error is over
	if len(r.Errors()) != 0 {
		t.Errorf("errors %v", r.Errors())
	}
	r.must("chat.wasm", guest(manifest("chat", "a.two", "a.three"), 2).Bytes())
	r.want("a.two", 2)
	r.want("a.three", 2)
	if _, err := r.Lookup("a.one"); err == nil {
		t.Error("a function that is gone is found")
	}
	r.Remove(t.Context(), r.path("chat.wasm"))
	if _, err := r.Lookup("a.two"); err == nil || len(r.All()) != 0 {
		t.Error("a removed plugin is found")
	}
	r.Remove(t.Context(), r.path("chat.wasm"))
	var got []string
	for _, c := range r.changes {
		got = append(got, fmtNames(c))
	}
	want := "->chat[a.one a.two]; chat>chat[a.one a.three a.two]; chat>-[a.three a.two]"
	if s := strings.Join(got, "; "); s != want {
		t.Errorf("changes\n%s, want\n%s", s, want)
	}
}

// G16: a name belongs to who had it first; the later load is refused.
func TestDuplicateNamesRefuseTheLaterLoad(t *testing.T) {
	t.Parallel()
	r := newRoom(t, &tenant.Tenant{Name: "default"})
	r.must("one.wasm", guest(manifest("one", "a.b"), 1).Bytes())
	if err := r.put("two.wasm", guest(manifest("two", "c.d", "a.b"), 2).Bytes()); err == nil || !strings.Contains(err.Error(), "a.b is already in plugin one") {
		t.Errorf("Load: %v", err)
	}
	if err := r.put("copy.wasm", guest(manifest("one", "x.y"), 2).Bytes()); err == nil || !strings.Contains(err.Error(), "one.wasm") {
		t.Errorf("Load: %v", err)
	}
	r.want("a.b", 1)
	if _, err := r.Lookup("c.d"); err == nil {
		t.Error("a refused plugin serves in part")
	}
	// When the first gives the name up, the second loads.
	r.must("one.wasm", guest(manifest("one", "b.b"), 1).Bytes())
	r.must("two.wasm", guest(manifest("two", "c.d", "a.b"), 2).Bytes())
	r.want("a.b", 2)
	r.want("b.b", 1)
}

// waiting is a backend that tells when a call is in it and waits to be let go.
type waiting struct{ in, out chan struct{} }

func (w *waiting) Query(_ context.Context, qs []*wasm.Query) error {
	w.in <- struct{}{}
	<-w.out
	for _, q := range qs {
		q.Err = abi.ErrnoSQL
	}
	return nil
}

func (w *waiting) Exec(context.Context, *wasm.Query) error { return errors.New("no exec") }

// P4: a call that began on the old plugin ends on it, and only then it is closed.
// Cases: 18, 87.
func TestOldCallsEndOnTheOldPlugin(t *testing.T) {
	t.Parallel()
	r := newRoom(t, &tenant.Tenant{Name: "default"})
	args := abi.Array(abi.Int(1), abi.Int(2)).AppendCBOR(nil)
	slow := guest(manifest("p", "a.b"), 1)
	slow.Imports = []Import{Host(abi.ImportQuery, "iii:i"), Host(abi.ImportRowsLen, "i:i")}
	slow.Data[DataAt+100] = args
	slow.Call = Join(I32(0), I32(DataAt+100), I32(int32(len(args))), Invoke(0), Invoke(1), Drop(), slow.Call)
	r.must("p.wasm", slow.Bytes())
	old, err := r.Lookup("a.b")
	if err != nil {
		t.Fatal(err)
	}
	w := &waiting{make(chan struct{}), make(chan struct{})}
	done := make(chan error)
	go func() {
		out, err := old.Call(t.Context(), &wasm.Call{Now: time.Unix(1, 0), Backend: w})
		if err == nil && string(out.Value) != "\x01" {
			err = fmt.Errorf("value %x", out.Value)
		}
		done <- err
	}()
	<-w.in
	r.must("p.wasm", guest(manifest("p", "a.b"), 2).Bytes())
	r.want("a.b", 2)
	if s := old.Plugin.Stats(); s.Instances != 1 {
		t.Errorf("the old plugin is closed under a call: %+v", s)
	}
	// Who looked it up before the swap may still call until it is closed.
	release, ok := old.Plugin.Hold(t.Context())
	if !ok {
		t.Error("the old plugin is closed under a call")
	}
	w.out <- struct{}{}
	if err := <-done; err != nil {
		t.Errorf("the old call: %v", err)
	}
	release()
	if _, err := old.Call(t.Context(), &wasm.Call{}); !errors.Is(err, ErrRetired) {
		t.Errorf("a call after the drain: %v", err)
	}
	if s := old.Plugin.Stats(); s.Instances != 0 {
		t.Errorf("the old plugin is open: %+v", s)
	}
}

// P4: with callers everywhere, no call is lost to a swap: each either runs or
// looks again, and sees the old number or a newer one.
// Cases: 87, 111.
func TestSwapsUnderLoadLoseNoCall(t *testing.T) {
	t.Parallel()
	r := newRoom(t, &tenant.Tenant{Name: "default"})
	r.must("p.wasm", guest(manifest("p", "a.b"), 0).Bytes())
	var done atomic.Bool
	var newest atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for !done.Load() {
				least := newest.Load()
				n, err := r.run("a.b")
				if errors.Is(err, ErrRetired) {
					continue // replaced between the look-up and the call
				}
				if err != nil || n < least {
					t.Errorf("got %d (at least %d), %v", n, least, err)
					return
				}
			}
		})
	}
	for n := range int64(15) {
		r.must("p.wasm", guest(manifest("p", "a.b"), n+1).Bytes())
		newest.Store(n + 1)
	}
	done.Store(true)
	wg.Wait()
	if len(r.changes) != 16 {
		t.Errorf("%d changes", len(r.changes))
	}
}
