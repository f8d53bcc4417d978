package peers

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero/api"
)

// BenchmarkMeter is N16's cost of metering: the same work on wazero alone, metered,
// and with wazero's own interruption.
func BenchmarkMeter(b *testing.B) {
	b.Run("go", func(b *testing.B) {
		meterWorks(b, goGuest(b, "work"), "json", "sort-ints", "sort-strings", "sha256", "map", "format", "regexp", "flate", "fib", "sum", "matrix")
	})
	b.Run("c", func(b *testing.B) {
		meterWorks(b, build(b, []string{"clang"}, "--target=wasm32", "-O2", "-nostdlib", "-mbulk-memory", "-Wl,--no-entry", "-Wl,--export=work", "-o", output, "testdata/work.c"),
			"sort", "hash", "tokens", "copies", "fib", "matrix", "sum")
	})
	b.Run("rust", func(b *testing.B) {
		// A distribution's compiler may have the target where rustup's has not.
		meterWorks(b, build(b, []string{"rustc", "/usr/bin/rustc"}, "-O", "--crate-type=cdylib", "--target", "wasm32-unknown-unknown", "-C", "linker=wasm-ld", "-o", output, "testdata/work.rs"),
			"sort", "sort-strings", "map", "format", "fib")
	})
}

// output stands for the file in a command of build.
const output = "OUTPUT"

// build compiles a guest with the first of the compilers that can, or skips.
func build(b *testing.B, compilers []string, args ...string) []byte {
	b.Helper()
	file := filepath.Join(b.TempDir(), "guest.wasm")
	for i, arg := range args {
		args[i] = strings.Replace(arg, output, file, 1)
	}
	var said []string
	for _, name := range compilers {
		out, err := exec.Command(name, args...).CombinedOutput()
		if err == nil {
			code, err := os.ReadFile(file)
			must(b, err)
			return code
		}
		said = append(said, name+": "+err.Error()+"\n"+string(out))
	}
	b.Skip("not measured, no compiler for it: " + strings.Join(said, "; "))
	return nil
}

// meterWorks runs each kind of work of a guest in three forms.
func meterWorks(b *testing.B, code []byte, names ...string) {
	b.Helper()
	ctx := context.Background()
	start := func(mod api.Module) func(kind int) (int32, error) {
		fn := mod.ExportedFunction("work")
		return func(kind int) (int32, error) {
			stack := [1]uint64{uint64(kind)}
			err := fn.CallWithStack(ctx, stack[:])
			return int32(stack[0]), err
		}
	}
	of := func(interruptible bool) func(int) (int32, error) {
		mod := instantiate(b, rawRuntime(b, plainConfig().WithCloseOnContextDone(interruptible)), code)
		initialize(b, mod)
		return start(mod)
	}
	plain, interruptible := of(false), of(true)
	mod, global := metered(b, rawRuntime(b, plainConfig()), code)
	inMeter := start(mod)
	for kind, name := range names {
		b.Run(name, func(b *testing.B) {
			want, err := plain(kind)
			must(b, err)
			if got, err := inMeter(kind); err != nil || got != want {
				b.Fatalf("metered: %d, %v, want %d", got, err, want)
			}
			race(b,
				contestant{name: "plain", run: func() error { _, err := plain(kind); return err }},
				contestant{name: "metered", run: func() error { refuel(global); _, err := inMeter(kind); return err }},
				contestant{name: "interruptible", run: func() error { _, err := interruptible(kind); return err }})
		})
	}
}
