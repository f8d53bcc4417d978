package wasm

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/abi"
	"weir/host/tenant"
	. "weir/host/wasm/wasmtest"
)

// G15: instances are never shared: many callers, few instances, each alone.
// Cases: 42.
func TestPoolIsBoundedAndInstancesAreAlone(t *testing.T) {
	t.Parallel()
	// The guest adds one to a cell, asks the host, and traps if the cell changed
	// meanwhile, as it would if another call ran on the instance.
	g, at, n := withArgs(nil)
	add := Join(push(DataAt), push(DataAt), Load(), push(1), []byte{0x6a}, Store(), push(DataAt), Load(), Put(2))
	g.Call = Join(add, host(abi.ImportRowsLen, host(abi.ImportQuery, push(0, at, n))), Drop(),
		push(DataAt), Load(), Get(2), []byte{0x47}, If(Unreachable()), Pack(abi.TagNone, 0, 0))
	p := newPool(t, g, PoolConfig{MaxInstances: 3})
	var inside, most atomic.Int64
	b := &backend{wait: func(context.Context) error {
		now := inside.Add(1)
		for {
			if m := most.Load(); now <= m || most.CompareAndSwap(m, now) {
				break
			}
		}
		inside.Add(-1)
		return nil
	}}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if _, err := p.Call(t.Context(), named(&Call{Statements: twoParams, Backend: b})); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	s := p.Stats()
	if s.Calls != 400 || s.Instances > 3 || s.Started > 3 || s.Idle != s.Instances || most.Load() > 3 {
		t.Errorf("stats %+v, at most %d at once", s, most.Load())
	}
}

// G15: an instance in two hands is a bug of ours that would crash the process
// later; it is found at once.
// Cases: 42.
func TestInstanceInTwoHandsPanics(t *testing.T) {
	t.Parallel()
	g, at, n := withArgs(nil)
	g.Call = Join(host(abi.ImportRowsLen, host(abi.ImportQuery, push(0, at, n))), Drop(), Pack(abi.TagNone, 0, 0))
	p := newPool(t, g, PoolConfig{})
	i, _, err := p.start(t.Context(), [32]byte{}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	defer i.close(t.Context())
	i.busy.Store(true)
	defer func() {
		if s, _ := recover().(string); !strings.HasPrefix(s, "BUG: ") {
			t.Errorf("recovered %q", s)
		}
	}()
	_, _ = i.call(t.Context(), named(&Call{}))
	t.Error("the second call ran")
}

// G15, X5: a backend that calls a guest again is refused before anything waits.
// Cases: 24, 31.
func TestReentrancyIsRefused(t *testing.T) {
	t.Parallel()
	g, at, n := withArgs(nil)
	g.Call = Join(host(abi.ImportRowsLen, host(abi.ImportQuery, push(0, at, n))), Drop(), Pack(abi.TagNone, 0, 0))
	p := newPool(t, g, PoolConfig{MaxInstances: 1})
	var inner error
	call(t, p, Call{Statements: twoParams, Backend: &backend{wait: func(ctx context.Context) error {
		_, inner = p.Call(ctx, named(&Call{}))
		return nil
	}}})
	if !errors.Is(inner, ErrReentrant) {
		t.Errorf("the inner call: %v", inner)
	}
}

// G9: a guest that waits for SQL does not keep others from running, and its
// clock stands still.
func TestWaitingForSQLFreesTheToken(t *testing.T) {
	t.Parallel()
	r, err := NewRuntime(t.Context(), Config{MaxRunning: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close(context.Background())
	g, at, n := withArgs(nil)
	g.Call = Join(Get(0), If(Join(host(abi.ImportRowsLen, host(abi.ImportQuery, push(0, at, n))), Drop())), Pack(abi.TagNone, 0, 0))
	m, err := r.Compile(t.Context(), g.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	const budget = 300 * time.Millisecond
	p, err := NewPool(r, m, PoolConfig{Limits: tenant.Limits{GuestTimeout: budget}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close(context.Background())
	waited := make(chan struct{})
	var other error
	out, err := p.Call(t.Context(), named(&Call{Function: 1, Statements: twoParams, Backend: &backend{wait: func(context.Context) error {
		go func() {
			defer close(waited)
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			_, other = p.Call(ctx, named(&Call{}))
		}()
		<-waited
		timer := time.NewTimer(2 * budget)
		defer timer.Stop()
		<-timer.C
		return nil
	}}}))
	if err != nil || other != nil {
		t.Fatalf("calls: %v, %v", err, other)
	}
	if out.Cost > budget {
		t.Errorf("SQL was counted: %v", out.Cost)
	}
}

// G9: no more guests run than there are tokens, and who waits for one ends with
// its context.
// Cases: 40.
func TestRunningGuestsAreBounded(t *testing.T) {
	t.Parallel()
	r, err := NewRuntime(t.Context(), Config{MaxRunning: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close(context.Background())
	says := host(abi.ImportLog, push(abi.LogInfo, DataAt, 0))
	m, err := r.Compile(t.Context(), Guest{Imports: hostImports, Call: Join(says, Drop(), Forever(nil), Unreachable())}.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewPool(r, m, PoolConfig{Limits: tenant.Limits{GuestTimeout: time.Minute}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close(context.Background())
	ctx, cancel := context.WithCancel(t.Context())
	done, runs, stays := make(chan error), make(chan struct{}), make(chan struct{})
	go func() {
		_, err := p.Call(ctx, named(&Call{Log: func(int, string) {
			close(runs)
			<-stays // in a host function, with its token
		}}))
		done <- err
	}()
	<-runs
	short, stop := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer stop()
	if _, err := p.Call(short, named(&Call{})); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "waiting") {
		t.Errorf("the second call: %v", err)
	}
	close(stays)
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("the first call: %v", err)
	}
}

// G9, G3: a guest that computes gives its token to one that waits, and gets it
// again: with a single token, each of two endless loops uses up its own budget.
// Cases: 40.
func TestRunningGuestsTakeTurns(t *testing.T) {
	t.Parallel()
	r, err := NewRuntime(t.Context(), Config{MaxRunning: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close(context.Background())
	says := host(abi.ImportLog, push(abi.LogInfo, DataAt, 0))
	m, err := r.Compile(t.Context(), Guest{Imports: hostImports, Call: Join(says, Drop(), Forever(nil), Unreachable())}.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewPool(r, m, PoolConfig{Limits: tenant.Limits{GuestTimeout: 50 * time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close(context.Background())
	done, runs, both := make(chan error), make(chan struct{}), make(chan struct{})
	var ended atomic.Bool
	spin := func(began func()) {
		_, err := p.Call(t.Context(), named(&Call{Log: func(int, string) { began() }}))
		ended.Store(true)
		done <- err
	}
	go spin(func() {
		close(runs)
		<-both // until the other waits
	})
	<-runs
	reached := false
	go spin(func() { reached = !ended.Load() })
	for r.running.waiting.Load() == 0 {
		runtime.Gosched()
	}
	close(both)
	for range 2 {
		var late *DeadlineError
		if err := <-done; !errors.As(err, &late) || !late.Guest {
			t.Errorf("a loop ended with %v", err)
		}
	}
	if !reached {
		t.Error("the second loop began after the first had ended")
	}
}

// X4: a deadline during SQL ends the call although the backend ignored it.
// Cases: 33.
func TestDeadlineDuringSQLEndsTheCall(t *testing.T) {
	t.Parallel()
	g, at, n := withArgs(nil)
	g.Call = Join(host(abi.ImportRowsLen, host(abi.ImportQuery, push(0, at, n))), Drop(), Pack(abi.TagNone, 0, 0))
	p := newPool(t, g, PoolConfig{})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	b := &backend{wait: func(ctx context.Context) error {
		<-ctx.Done()
		return nil
	}}
	_, err := p.Call(ctx, named(&Call{Statements: twoParams, Backend: b}))
	var e *DeadlineError
	if !errors.As(err, &e) || e.Guest {
		t.Errorf("got %v", err)
	}
	if s := p.Stats(); s.Instances != 0 {
		t.Errorf("stats %+v", s)
	}
}

// A manifest that depends on chance would differ from node to node.
// Cases: 38.
func TestDescribingTwiceMustAgree(t *testing.T) {
	t.Parallel()
	manifest := abi.Bytes(make([]byte, 8)).AppendCBOR(nil)
	chance := map[string][]byte{
		"randomness": Join(push(ManifestAt+1, 8), Invoke(randomGet), Drop()),
		"time":       Join(I32(0), I64(0), I32(ManifestAt+1), Invoke(clockGet), Drop()),
	}
	for name, code := range chance {
		g := Guest{Imports: wasiImports, Manifest: manifest, Describe: Join(code, Pack(abi.TagValue, ManifestAt, 9))}
		p := newPool(t, g, PoolConfig{})
		if _, err := p.Describe(t.Context()); err == nil || !strings.Contains(err.Error(), "differently") {
			t.Errorf("%s: %v", name, err)
		}
	}
	p := newPool(t, Guest{Manifest: manifest}, PoolConfig{})
	got, err := p.Describe(t.Context())
	if err != nil || string(got) != string(manifest) {
		t.Errorf("Describe: %x %v", got, err)
	}
	if s := p.Stats(); s.Instances != 1 || s.Idle != 1 {
		t.Errorf("the instance is not kept, or the canary is: %+v", s)
	}
}

func TestBadDescriptionsAreRefused(t *testing.T) {
	t.Parallel()
	says := abi.AppendError(nil, &abi.Error{Code: "bad", Message: "two functions are called x"})
	data := map[uint32][]byte{DataAt: says}
	f := func(describe []byte, want string) {
		t.Helper()
		_, err := newPool(t, Guest{Describe: describe, Data: data}, PoolConfig{}).Describe(t.Context())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Describe: %v, want %q", err, want)
		}
	}
	f(I64(5<<60), "packed value")
	f(Pack(abi.TagNone, 0, 0), "no value")
	f(Pack(abi.TagHandle, 1, 0), "no value")
	f(Pack(abi.TagValue, 0, abi.MaxManifest+1), "manifest has")
	f(Pack(abi.TagValue, 4<<16, 1), "outside")
	f(Pack(abi.TagError, DataAt, uint32(len(says))), "two functions are called x")
	f(Unreachable(), "trap")
}

// Cases: 41.
func TestClosedPoolRefusesAndDropsWhatRuns(t *testing.T) {
	t.Parallel()
	g, at, n := withArgs(nil)
	g.Call = Join(host(abi.ImportRowsLen, host(abi.ImportQuery, push(0, at, n))), Drop(), Pack(abi.TagNone, 0, 0))
	p := newPool(t, g, PoolConfig{})
	call(t, p, Call{Statements: twoParams, Backend: &backend{wait: func(ctx context.Context) error {
		p.Close(ctx)
		return nil
	}}})
	if s := p.Stats(); s.Instances != 0 || s.Idle != 0 {
		t.Errorf("stats %+v", s)
	}
	p.Close(t.Context())
	if _, err := p.Call(t.Context(), named(&Call{})); !errors.Is(err, ErrClosed) {
		t.Errorf("Call: %v", err)
	}
}

// Security 41: closing while guests run gives errors, never a crash.
// Cases: 41.
func TestClosingUnderLoad(t *testing.T) {
	t.Parallel()
	for range 20 {
		p := newPool(t, Guest{Call: Join(Repeat(1000, 2, nil), Pack(abi.TagNone, 0, 0))}, PoolConfig{MaxInstances: 2})
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				for {
					if _, err := p.Call(t.Context(), named(&Call{})); err != nil {
						if !errors.Is(err, ErrClosed) {
							t.Error(err)
						}
						return
					}
				}
			})
		}
		p.Close(t.Context())
		wg.Wait()
	}
}
