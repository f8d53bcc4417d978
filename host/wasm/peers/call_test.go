package peers

import (
	"bytes"
	"context"
	"testing"
	"time"

	extism "github.com/extism/go-sdk"

	"weir/abi"
	"weir/host/wasm"
)

// BenchmarkCall is N14: a warm call, 200 bytes in and a kilobyte out, copied out.
func BenchmarkCall(b *testing.B) {
	b.Run("tiny", func(b *testing.B) { benchCall(b, tinyGuest(), extismTiny(), 0) })
	b.Run("go", func(b *testing.B) { benchCall(b, goGuest(b, "echo"), goGuest(b, "extism"), 3) })
}

func benchCall(b *testing.B, guest, forExtism []byte, extismHead int) {
	input := bytes.Repeat([]byte("0123456789"), inBytes/10)
	var sink []byte
	onWazero := func(name string, r *raw) contestant {
		checkEcho(b, name, input, r.do(0, input), 3)
		return contestant{name: name, run: func() error { sink = r.do(0, input); return nil }}
	}
	all := []contestant{
		onWazero("raw", rawOf(b, guest, plainConfig())),
		onWazero("raw-metered", meteredOf(b, guest)),
	}
	for _, m := range modes {
		p := weirPool(b, guest, m)
		ctx := context.Background()
		all = append(all, m.contestant("weir-", func() func() error {
			c := wasm.Call{Name: "echo", Kind: abi.Query, Input: input, Now: time.Unix(1_700_000_000, 0)}
			out, err := p.Call(ctx, &c)
			must(b, err)
			checkEcho(b, "weir", input, out.Value, 3)
			return func() error {
				_, err := p.Call(ctx, &c)
				return err
			}
		}))
	}
	all = append(all, onWazero("raw-interruptible", rawOf(b, guest, plainConfig().WithCloseOnContextDone(true))))
	onExtism := func(name string, p *extism.Plugin) contestant {
		run := func() error {
			_, out, err := p.Call("call", input)
			sink = bytes.Clone(out)
			return err
		}
		must(b, run())
		checkEcho(b, name, input, sink, extismHead)
		return contestant{name: name, run: run}
	}
	all = append(all,
		onExtism("extism", extismPlugin(b, forExtism, 0)),
		onExtism("extism-timeout", extismPlugin(b, forExtism, time.Second)))
	race(b, all...)
}
