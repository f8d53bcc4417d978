package wasm

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"weir/abi"
	"weir/host/tenant"
	. "weir/host/wasm/wasmtest"
)

// Security 41: pools and runtimes that are closed while calls run, at any moment,
// leave each call with its own end: a result, or an error of its own. Nothing is
// freed under code that runs. WEIR_HOSTILE is how many times.
// Cases: 41.
func TestClosingWhileCallsRun(t *testing.T) {
	t.Parallel()
	rounds := 60
	if text := os.Getenv("WEIR_HOSTILE"); text != "" {
		var err error
		if rounds, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	// Computes as many thousand passes as its input has bytes, touching memory.
	code := Guest{Call: Join(Forever(Join(
		Repeat(1000, localI32, Join(I32(DataAt), Get(localI32), Store())),
		Get(1), []byte{0x45}, If(Join(I64(int64(abi.Pack(abi.TagNone, 0, 0))), Return())),
		Get(1), I32(1), Sub(), Put(1))), Unreachable())}.Bytes()
	random := rand.New(rand.NewPCG(3, 4))
	ended := map[bool]int{}
	for range rounds {
		r, err := NewRuntime(t.Context(), Config{MaxRunning: 2})
		if err != nil {
			t.Fatal(err)
		}
		m, err := r.Compile(t.Context(), code)
		if err != nil {
			t.Fatal(err)
		}
		p, err := NewPool(r, m, PoolConfig{Limits: tenant.Limits{GuestTimeout: 20 * time.Second}})
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		var mu sync.Mutex
		for range 4 {
			inputs := [5]int{random.IntN(3), random.IntN(100), random.IntN(300), random.IntN(3), random.IntN(100)}
			all.Go(func() {
				for _, n := range inputs {
					_, err := p.Call(context.Background(), named(&Call{Input: make([]byte, n)}))
					if err != nil && !errors.Is(err, ErrClosed) {
						t.Errorf("a call ended with %v", err)
					}
					mu.Lock()
					ended[err == nil]++
					mu.Unlock()
				}
			})
		}
		for after := random.Int64N(18); r.Totals().Calls < after; { // of twenty
			runtime.Gosched()
		}
		if random.IntN(2) == 0 {
			p.Close(t.Context())
		}
		if err := r.Close(context.Background()); err != nil {
			t.Error(err)
		}
		all.Wait()
	}
	if ended[true] == 0 || ended[false] == 0 {
		t.Errorf("%d calls ended, %d found it closed: nothing was closed while they ran", ended[true], ended[false])
	}
}
