package plugin

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"weir/abi"
	"weir/host/tenant"
	"weir/host/wasm"
	. "weir/host/wasm/wasmtest"
)

// The script of a breaker: f a failure, g a success, n neither; the answer is
// what became of each call: . it ran, x it was refused, ! it opened or closed
// the breaker. A digit waits for so many seconds.
func script(b *breaker, clock *time.Time, calls string) string {
	var out []byte
	for _, c := range calls {
		if c >= '1' && c <= '9' {
			*clock = clock.Add(time.Duration(c-'0') * time.Second)
			continue
		}
		trial, err := b.enter("p")
		if err != nil {
			out = append(out, 'x')
			continue
		}
		mark := byte('.')
		if b.leave(trial, map[rune]outcome{'f': failure, 'g': success, 'n': neither}[c]) {
			mark = '!'
		}
		out = append(out, mark)
	}
	return string(out)
}

// W6, G7: a plugin that keeps failing is stopped, tried again after a pause that
// doubles, and serves again after one success. What is no fault of its own does
// not count, and a client that provokes faults does not stop it for others.
// Cases: 118.
func TestBreaker(t *testing.T) {
	t.Parallel()
	f := func(name, calls, want string) {
		t.Helper()
		clock := time.Unix(1e9, 0)
		b := &breaker{limit: 3, now: func() time.Time { return clock }}
		if got := script(b, &clock, calls); got != want {
			t.Errorf("%s: %s became %s, want %s", name, calls, got, want)
		}
	}
	f("fails", "fffff", "..!xx")
	f("not in one window", "f9f9f9f", "....")
	f("in two halves of one", "ff6fg", "..!x")
	f("no more than succeed", "ggggffffff", "........!x"[:7]+"!xx")
	f("no fault of its own", "nnnnnnf", ".......")
	f("one call is tried", "fff1gff", "..!!..")
	f("the pause doubles", "fff1f1g1gg", "..!.x!.")
	f("an unlucky trial", "fff1n1gg", "..!.!.")
	f("after it closed it counts anew", "fff1gfff", "..!!..!")
}

// G7: what a breaker counts is what the guest did. Growing memory is no error at
// all; the database, a deadline that passed outside of the guest, a caller that
// left and an error that the guest told are none of its failures, and do not count
// as successes either.
func TestOutcomesAreTheGuests(t *testing.T) {
	t.Parallel()
	f := func(err error, want outcome) {
		t.Helper()
		if got := outcomeOf(fmt.Errorf("call: %w", err)); got != want {
			t.Errorf("%T %v: outcome %d, want %d", err, err, got, want)
		}
	}
	if outcomeOf(nil) != success {
		t.Error("a call without an error is no success")
	}
	f(&wasm.TrapError{Kind: wasm.TrapMemory}, failure)
	f(&wasm.ExitError{Status: 1}, failure)
	f(&wasm.ContractError{What: "no such handle"}, failure)
	f(&wasm.DeadlineError{Guest: true}, failure)
	f(&wasm.DeadlineError{}, neither)
	f(&wasm.HostError{Func: "query", Err: errors.New("the database is away")}, neither)
	f(context.Canceled, neither)
	f(&abi.Error{Code: abi.SQLError}, neither)
}

// Only one call decides while others wait.
func TestOneTrialAtATime(t *testing.T) {
	t.Parallel()
	clock := time.Unix(1e9, 0)
	b := &breaker{limit: 1, now: func() time.Time { return clock }}
	b.leave(false, failure)
	clock = clock.Add(firstPause)
	trial, err := b.enter("p")
	if !trial || err != nil {
		t.Fatalf("the trial: %v, %v", trial, err)
	}
	var broken *BrokenError
	if _, err := b.enter("p"); !errors.As(err, &broken) || broken.Code() != abi.PluginBroken {
		t.Errorf("beside the trial: %v", err)
	}
	for pause := firstPause; ; {
		b.leave(true, failure)
		if pause = min(2*pause, lastPause); b.until.Sub(clock) != pause {
			t.Fatalf("the pause is %v, want %v", b.until.Sub(clock), pause)
		}
		clock = b.until
		if _, err := b.enter("p"); err != nil {
			t.Fatal(err)
		}
		if pause == lastPause && b.pause == lastPause {
			break
		}
	}
}

// A guest that traps is stopped, told, and a new version of it is not.
// Cases: 118.
func TestPluginThatKeepsTrappingIsStopped(t *testing.T) {
	t.Parallel()
	r := newRoom(t, &tenant.Tenant{Name: "default", Limits: tenant.Limits{MaxFailures: 3}})
	told := make(chan bool, 8)
	r.config.OnBreak = func(_ *Plugin, stopped bool) { told <- stopped }
	bad := guest(manifest("chat", "a.one"), 1)
	bad.Call = Unreachable()
	r.must("chat.wasm", bad.Bytes())
	for range 3 {
		if _, err := r.run("a.one"); err == nil {
			t.Fatal("it does not trap")
		}
	}
	if !<-told {
		t.Error("the stop was not told")
	}
	var broken *BrokenError
	if _, err := r.run("a.one"); !errors.As(err, &broken) {
		t.Errorf("after three traps: %v", err)
	}
	if stopped, refused := r.All()[0].Stopped(); !stopped || refused != 1 {
		t.Errorf("stopped %v, %d refused", stopped, refused)
	}
	r.must("chat.wasm", guest(manifest("chat", "a.one"), 2).Bytes())
	r.want("a.one", 2)
}

// A reload's settings and limits: calls under either settings are answered by
// instances that saw no other ones, and those before the last are gone.
func TestInstancesSeeOneConfiguration(t *testing.T) {
	t.Parallel()
	ten := &tenant.Tenant{Name: "default"}
	r := newRoom(t, ten)
	settings := "1"
	r.config.Settings = func(string) string { return settings }
	r.must("chat.wasm", guest(manifest("chat", "a.one"), 7).Bytes())
	call := func(settings string) error {
		f, err := r.Lookup("a.one")
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.Call(t.Context(), &wasm.Call{Now: time.Unix(1, 0), Settings: settings})
		return err
	}
	move := func(to string) {
		t.Helper()
		next, err := r.Reconfigure(t.Context(), ten, func(string) string { return to }, nil)
		if err != nil {
			t.Fatal(err)
		}
		next.Apply(t.Context())
	}
	want := func(settings string, want error) {
		t.Helper()
		if err := call(settings); !errors.Is(err, want) {
			t.Errorf("under %s: %v, want %v", settings, err, want)
		}
	}
	want("1", nil)
	started := r.All()[0].Stats().Started
	move("2")
	want("2", nil)
	want("1", nil)
	if now := r.All()[0].Stats().Started; now != started+1 {
		t.Errorf("%d instances were started for the new settings, want 1", now-started)
	}
	move("3")
	want("3", nil)
	want("2", nil)
	want("1", ErrRetired)
	if p := r.All()[0].Stats(); p.Calls < 5 || p.Instances != 2 {
		t.Errorf("after two moves %+v", p)
	}
}

// A grant that is taken away from a plugin that lives by it is refused, and
// changes nothing; the set can be changed after it.
func TestReconfigureIsAllOrNothing(t *testing.T) {
	t.Parallel()
	open := &tenant.Tenant{Name: "acme", Grants: tenant.Grants{Public: true}}
	r := newRoom(t, open)
	m := manifest("chat", "a.one")
	m.Functions[0].Access = abi.Access{Public: true}
	r.must("chat.wasm", guest(m, 1).Bytes())
	none := func(string) string { return "" }
	for _, next := range []*tenant.Tenant{
		{Name: "acme"},
		{Name: "acme", Grants: open.Grants, Limits: tenant.Limits{MaxMemoryBytes: 1}},
	} {
		if _, err := r.Reconfigure(t.Context(), next, none, nil); err == nil {
			t.Errorf("%+v was taken", next)
		}
	}
	r.want("a.one", 1)
	next, err := r.Reconfigure(context.Background(), open, none, nil)
	if err != nil {
		t.Fatal(err)
	}
	next.Drop(t.Context())
	r.must("chat.wasm", guest(m, 2).Bytes())
	r.want("a.one", 2)
}
