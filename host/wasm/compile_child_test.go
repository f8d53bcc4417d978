package wasm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	. "weir/host/wasm/wasmtest"
)

// itself is this test binary as a compile child.
func itself(t testing.TB) []string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return []string{self, childArg}
}

// withChild makes a Runtime that compiles in a child, unless the test names
// another program.
func withChild(t testing.TB, config Config) *Runtime {
	t.Helper()
	if config.Command == nil {
		config.Command = itself(t)
	}
	if config.CompileTimeout == 0 {
		config.CompileTimeout = 2 * time.Minute // beside other tests, under the race detector
	}
	r, err := NewRuntime(context.Background(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(context.Background()); err != nil {
			t.Error(err)
		}
		left, _ := filepath.Glob(filepath.Join(r.workshop.base, "compile-*"))
		if _, err := os.Lstat(r.run); err == nil || len(left) > 0 {
			t.Errorf("it leaves %s or %v", r.run, left)
		}
	})
	return r
}

// serves fails the test if the runtime cannot compile and call a guest.
func serves(t testing.TB, r *Runtime) {
	t.Helper()
	m, err := r.Compile(context.Background(), echo().Bytes())
	if err != nil {
		t.Fatalf("a good module: %v", err)
	}
	defer m.Close(context.Background())
	p, err := NewPool(r, m, PoolConfig{Limits: generous})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close(context.Background())
	if got := numberOf(t, call(t, p, Call{})); got != 4711 {
		t.Errorf("the guest says %d", got)
	}
}

func echo() Guest { return Guest{Call: number(I32(4711))} }

// record keeps what is logged.
type record struct{ bytes.Buffer }

func (r *record) logger() *slog.Logger { return slog.New(slog.NewTextHandler(r, nil)) }

// refusal compiles what must be refused, and returns the sentence.
func refusal(t testing.TB, r *Runtime, code []byte) *RefusedError {
	t.Helper()
	m, err := r.Compile(context.Background(), code)
	if err == nil {
		_ = m.Close(context.Background())
	}
	var refused *RefusedError
	if !errors.As(err, &refused) {
		t.Fatalf("Compile: %v (%T), want a refusal", err, err)
	}
	return refused
}

// ungated compiles what the gate and the meter would refuse or change.
func ungated(t testing.TB, r *Runtime, code []byte) *RefusedError {
	t.Helper()
	turn := make(chan struct{}, 1)
	turn <- struct{}{}
	compiled, err := r.compile(context.Background(), code, sha256.Sum256(code), turn)
	if err == nil {
		_ = compiled.Close(context.Background())
	}
	var refused *RefusedError
	if !errors.As(err, &refused) {
		t.Fatalf("compile: %v (%T), want a refusal", err, err)
	}
	return refused
}

// G1, G8: a module is compiled in a child and runs here.
func TestChildCompiles(t *testing.T) {
	t.Parallel()
	var log record
	r := withChild(t, Config{Logger: log.logger()})
	serves(t, r)
	if log.Len() > 0 {
		t.Errorf("logged: %s", log.String())
	}
	bad := append(Guest{}.Bytes(), Section(0, []byte{200})...)
	if refused := ungated(t, r, bad); !strings.Contains(refused.What, "the module is not valid: ") {
		t.Errorf("a module that is none: %s", refused.What)
	}
}

// All native code is the child's: wazero compiles nothing that it has no file
// for.
func TestEngineThatLoadsCompilesNothing(t *testing.T) {
	t.Parallel()
	r := withChild(t, Config{})
	if m, err := r.engine.load(echo().Bytes()); !errors.Is(err, context.Canceled) {
		t.Errorf("load of a module that nobody has compiled: %v, %v", m, err)
	}
	if left, err := os.ReadDir(r.engine.dir); err != nil || len(left) > 0 {
		t.Errorf("it has written %v (%v)", left, err)
	}
}

// childScript makes a program that greets as a child and goes on in its own way, in the
// directory where the native code should be.
func childScript(t *testing.T, body string) []string {
	t.Helper()
	e, err := newEngine(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer e.close(t.Context())
	hello := compileHello(e.version())
	path := filepath.Join(t.TempDir(), "child")
	text := fmt.Sprintf("#!/bin/sh\nv=%s\numask 077\nprintf '\\000\\000\\000\\%03o%s'\n%s\n", e.version(), len(hello), hello, body)
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return []string{path}
}

// done is the child's answer that it has compiled.
const done = `; printf '\000\000\000\001d'; exec sleep 1000`

// G8: whatever the child does instead of compiling, the parent refuses the module
// and goes on.
// Cases: 10.
func TestParentSurvivesItsChild(t *testing.T) {
	t.Parallel()
	name := strings.Repeat("ab", 32)
	f := func(what, body, want string, timeout time.Duration) {
		t.Helper()
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r := withChild(t, Config{Command: childScript(t, body), CompileTimeout: timeout})
			refused := refusal(t, r, echo().Bytes())
			if !strings.Contains(refused.What, want) {
				t.Errorf("%s: %s, want %q", what, refused.What, want)
			}
			if (refused.Limit == "compile_timeout") != (timeout != 0) {
				t.Errorf("%s: the limit is %q", what, refused.Limit)
			}
			// It is not tried again at once (W7): no other program would be, either.
			r.config.Command = []string{filepath.Join(t.TempDir(), "missing")}
			if again := refusal(t, r, echo().Bytes()); again.What != refused.What {
				t.Errorf("%s, again: %s", what, again.What)
			}
			r.config.Command, r.config.CompileTimeout = itself(t), 2*time.Minute
			other := echo()
			other.Pages = 5
			m, err := r.Compile(t.Context(), other.Bytes())
			if err != nil {
				t.Fatalf("%s, then another module: %v", what, err)
			}
			_ = m.Close(t.Context())
		})
	}
	f("ends", "head -c 4 >/dev/null; echo oh no >&2", "oh no", 0)
	f("is killed", "head -c 4 >/dev/null; kill -9 $$", "the compiler ends", 0)
	f("hangs", "exec sleep 1000", "takes longer than 100ms", 100*time.Millisecond)
	f("leaves somebody behind", "sleep 3 & exec sleep 1000", "takes longer than 100ms", 100*time.Millisecond)
	f("echoes", "exec cat", "something else", 0)
	f("answers at length", `printf '\377\377\377\377'; exec sleep 1000`, "something else", 0)
	f("answers nothing", `printf '\000\000\000\000'; exec sleep 1000`, "says nothing", 0)
	f("answers a riddle", `printf '\000\000\000\001?'; exec sleep 1000`, "something else", 0)
	f("says much", "head -c 10000000 /dev/zero >&2"+`; printf '\000\000\000\001?'; exec sleep 1000`, "something else", 0)
	f("leaves nothing", ":"+done, "something else than code", 0)
	f("leaves an empty directory", "mkdir $v"+done, "something else than code", 0)
	f("leaves garbage", "mkdir $v; echo garbage > $v/"+name+done, "not of wazero", 0)
	f("leaves an empty file", "mkdir $v; : > $v/"+name+done, "not of wazero", 0)
	f("leaves a name", "mkdir $v; echo > $v/x"+done, `called "x"`, 0)
	f("leaves ten files", "mkdir $v; for i in 0 1 2 3 4 5 6 7 8 9; do echo > $v/"+name[1:]+"$i; done"+done, "something else than code", 0)
	f("leaves two directories", "mkdir $v w; echo > $v/"+name+done, "something else than code", 0)
	f("leaves a link", "mkdir $v; echo > ../linked; ln -s ../../linked $v/"+name+done, "not a private file", 0)
	f("leaves a link to a directory", "mkdir ../x$$; ln -s ../x$$ $v; echo > $v/"+name+"; rmdir ../x$$ 2>/dev/null"+done, "is no directory", 0)
	f("leaves a pipe", "mkdir $v; mkfifo $v/"+name+done, "not a private file", 0)
	f("leaves a directory", "mkdir -p $v/"+name+done, "not a private file", 0)
	f("leaves a device", "mkdir $v; ln /dev/null $v/"+name+" 2>/dev/null || ln -s /dev/zero $v/"+name+done, "not a private file", 0)
	f("leaves a file for all", "mkdir $v; echo > $v/"+name+"; chmod 666 $v/"+name+done, "not a private file", 0)
	f("leaves a file that is too large", fmt.Sprintf("mkdir $v; truncate -s %d $v/%s", maxNativeBytes+1, name)+done, "not a private file", 0)
}

// A fault of the host is no refusal: it may pass.
// Cases: 112.
func TestFaultOfTheChildIsNotTheModules(t *testing.T) {
	t.Parallel()
	r := withChild(t, Config{Command: childScript(t, `printf '\000\000\000\006fdisk!'; exec sleep 1000`)})
	_, err := r.Compile(t.Context(), echo().Bytes())
	var refused *RefusedError
	if err == nil || errors.As(err, &refused) || !strings.Contains(err.Error(), "disk!") {
		t.Errorf("Compile: %v", err)
	}
	r.config.Command = itself(t)
	serves(t, r)
}

// Where a child cannot be started, this process compiles, and says why; where one
// could be, a shortage is an error.
func TestThisProcessCompilesWhereNoChildCan(t *testing.T) {
	t.Parallel()
	missing := []string{filepath.Join(t.TempDir(), "missing")}
	for name, command := range map[string][]string{"none": {}, "missing": missing, "another program": {"/bin/sh", "-c", "echo hello everybody"}} {
		var log record
		r := withChild(t, Config{Command: command, Logger: log.logger()})
		serves(t, r)
		serves(t, r)
		if n := strings.Count(log.String(), "compiled in this process"); n != 1 || !strings.Contains(log.String(), "reason=") {
			t.Errorf("%s: logged %d times: %s", name, n, log.String())
		}
	}
	r := withChild(t, Config{})
	serves(t, r)
	r.config.Command = missing
	other := echo()
	other.Pages = 5
	if _, err := r.Compile(t.Context(), other.Bytes()); err == nil || !strings.Contains(err.Error(), "cannot be started") {
		t.Errorf("after a child: %v", err)
	}
}

// A child that cannot be fenced in is better than none.
func TestChildIsStartedWithoutItsFence(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "child")
	text := "#!/bin/sh\nfor last; do :; done\n[ $last = fence ] && exit 1\nexec " + strings.Join(itself(t), " ") + " $@\n"
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	var log record
	r := withChild(t, Config{Command: []string{path}, Logger: log.logger()})
	serves(t, r)
	serves(t, r)
	if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), "can open files") {
		t.Errorf("logged %s", log.String())
	}
}

// G1: who leaves ends the child.
func TestChildEndsWithItsCaller(t *testing.T) {
	t.Parallel()
	began := filepath.Join(t.TempDir(), "began")
	r := withChild(t, Config{Command: childScript(t, "mkfifo "+began+"; exec 3<"+began+"; exec sleep 1000")})
	c := r.Compiler()
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() {
		_, err := c.Compile(ctx, echo().Bytes())
		left <- err
	}()
	open := func() (f *os.File, err error) {
		for ctx.Err() == nil {
			if f, err = os.OpenFile(began, os.O_WRONLY, 0); err == nil || !errors.Is(err, os.ErrNotExist) {
				break
			}
			runtime.Gosched()
		}
		return f, err
	}
	f, err := open() // opened by both: it runs
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	cancel()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("Compile: %v", err)
	}
	// The turn comes back, because the child has ended.
	r.workshop.slots <- struct{}{}
	<-r.workshop.slots
	r.config.Command = itself(t)
	m, err := c.Compile(t.Context(), echo().Bytes())
	if err != nil {
		t.Fatal(err)
	}
	_ = m.Close(t.Context())
}

// Close ends the children.
func TestCloseEndsTheChildren(t *testing.T) {
	t.Parallel()
	r := withChild(t, Config{Command: childScript(t, "exec sleep 1000")})
	left := make(chan error, 1)
	go func() {
		_, err := r.Compile(context.Background(), echo().Bytes())
		left <- err
	}()
	for started := false; !started; runtime.Gosched() {
		r.workshop.mu.Lock()
		started = r.workshop.started
		r.workshop.mu.Unlock()
	}
	if err := r.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-left; !errors.Is(err, ErrClosed) {
		t.Errorf("Compile: %v", err)
	}
}

// W7: no child is started beyond the bound.
func TestChildrenAreBounded(t *testing.T) {
	t.Parallel()
	began := filepath.Join(t.TempDir(), "began")
	w := withChild(t, Config{Command: childScript(t, "echo >"+began), MaxCompiling: 1}).workshop
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w.slots <- struct{}{} // another tenant's
	for range 20 {        // of two ways to go on Go takes any
		if err := w.compile(ctx, t.TempDir(), echo().Bytes(), t.FailNow); !errors.Is(err, context.Canceled) {
			t.Errorf("beside another: %v", err)
		}
	}
	if _, err := os.Stat(began); err == nil {
		t.Error("a child was started")
	}
	<-w.slots
	_ = w.compile(t.Context(), t.TempDir(), echo().Bytes(), t.FailNow)
	if len(w.slots) > 0 {
		t.Error("its token was not given back")
	}
}

// G1: counts that lie end the child at most: wazero allocates what they say.
// Cases: 2.
func TestLyingCountsDoNotReachTheParent(t *testing.T) {
	t.Parallel()
	r := withChild(t, Config{CompileMemory: 256 << 20, CompileTimeout: 10 * time.Second})
	for section := byte(1); section <= 12; section++ {
		code := append([]byte("\x00asm\x01\x00\x00\x00"), Section(section, []byte{0xff, 0xff, 0xff, 0xff, 0x0f})...)
		if refused := ungated(t, r, code); refused.What == "" {
			t.Errorf("section %d: refused without a reason", section)
		}
	}
	r.config.CompileMemory, r.config.CompileTimeout = 1<<30, 2*time.Minute
	serves(t, r)
}

// nested is a function of nested loops: compiling takes the square of them.
func nested(loops int) []byte {
	body := Join(bytes.Repeat([]byte{0x03, 0x40}, loops), bytes.Repeat([]byte{0x0b}, loops))
	return Guest{Init: body}.Bytes()
}

// tables is a module of br_tables with so many targets each.
func tables(count, targets int) []byte {
	table := Join([]byte{0x0e}, uleb(targets), make([]byte, targets), []byte{0})
	one := Join([]byte{0x02, 0x40}, I32(0), table, []byte{0x0b})
	return Guest{Init: bytes.Repeat(one, count)}.Bytes()
}

// chain is a function that computes with constants only.
func chain(size int) []byte {
	body := bytes.Repeat(Join(I32(1), []byte{0x6a}), size/3)
	return Guest{Init: Join(I32(0), body, Drop())}.Bytes()
}

func uleb(n int) []byte {
	var b []byte
	for ; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}

// G1: B08 to B11 of the hostile modules compile for minutes; the child is ended at
// its time, and the parent serves meanwhile.
// Cases: 9, 10.
func TestEndlessCompilationIsEnded(t *testing.T) {
	t.Parallel()
	r := withChild(t, Config{MaxCompiling: 4})
	serves(t, r) // it is stored nowhere, but its children can be started
	for name, code := range map[string][]byte{
		"nested loops": nested(10_000), "br_table of a million": tables(1, 1_000_000),
	} {
		hostile := withChild(t, Config{CompileTimeout: 300 * time.Millisecond})
		if refused := ungated(t, hostile, code); refused.Limit != "compile_timeout" {
			t.Errorf("%s: %s", name, refused.What)
		}
		serves(t, r)
	}
}

// B06 and B11 take gigabytes: the child ends at its bound, the parent does not.
// Cases: 8, 10.
func TestMemoryOfTheCompilerIsBounded(t *testing.T) {
	t.Parallel()
	timeout := time.Minute
	if raceEnabled {
		timeout = 3 * time.Second
	}
	r := withChild(t, Config{CompileMemory: 256 << 20, CompileTimeout: timeout})
	for name, code := range map[string][]byte{"B06": chain(10 << 20), "B11": tables(1000, 1000)} {
		refused := ungated(t, r, code)
		// The race detector cannot be bounded: there its time ends it.
		if raceEnabled && refused.Limit == "compile_timeout" {
			continue
		}
		if !strings.Contains(refused.What, "needs more than 256 MiB of memory") {
			t.Errorf("%s: %s", name, refused.What)
		}
	}
	serves(t, r)
}

// The caller's arguments say what the child gets, and nothing is guessed.
func TestChildWithoutItsNumbersEnds(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"1"}, {"x", "1"}, {"1", "-1"}, {"1", "1", "1"}} {
		if err := ServeCompile(strings.NewReader(""), &bytes.Buffer{}, args); err == nil {
			t.Errorf("%q: it has served", args)
		}
	}
}
