package js

import (
	"strings"
	"testing"
)

// The text is told wrong by its line.
func TestAdapterTextIsChecked(t *testing.T) {
	t.Parallel()
	f := func(text, want string) {
		t.Helper()
		a, err := parseAdapter(text)
		if err == nil {
			s := symbols{functions: map[string]int{"$f": 0}, constants: map[string]int{}, globals: map[string]int{}}
			for _, f := range a.defined {
				if _, err = s.assemble(f); err != nil {
					break
				}
			}
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	f("(func $f", "line 1: a bracket is open")
	f("\n(func $f))", "line 2: a bracket too many")
	f("(frob)", `unknown field "frob"`)
	f("(func $f\n (i32.frob))", "line 2: unknown instruction i32.frob")
	f("(func $f (call $g))", "call of the unknown $g")
	f("(func $f (local.get $x))", "local.get of the unknown $x")
	f("(func $f (loop $l (br $m)))", "br of the unknown $m")
	f("(func $f (i32.const x))", "x")
	f("(func $f (param $x i33))", "unknown type")
	f("(global $x i33)", "unknown type")
}

func TestAdapterTextBecomesCode(t *testing.T) {
	t.Parallel()
	f := func(body, want string) {
		t.Helper()
		a, err := parseAdapter("(func $f (param $x i32) (local $y i64) " + body + ")")
		if err != nil {
			t.Fatal(err)
		}
		s := symbols{functions: map[string]int{"$f": 300}, constants: map[string]int{"$c": 100}, globals: map[string]int{"$g": 2}}
		code, err := s.assemble(a.defined[0])
		if got := string(code); err != nil || got != string(rune(len(want)+4))+"\x01\x01\x7e"+want+"\x0b" {
			t.Errorf("%s: %x %v, want %x", body, got, err, want)
		}
	}
	f("(drop (i32.add (local.get $x) (i32.const -65)))", "\x20\x00\x41\xbf\x7f\x6a\x1a")
	f("(call $f (i32.const $c))", "\x41\xe4\x00\x10\xac\x02")
	f("(local.set $y (i64.load offset=16 (global.get $g)))", "\x23\x02\x29\x03\x10\x21\x01")
	f("(if (local.get $x) (then (return)) (else (unreachable)))", "\x20\x00\x04\x40\x0f\x05\x00\x0b")
	f("(block $a (loop $b (br_if $a (local.get $x)) (br $b)))", "\x02\x40\x03\x40\x20\x00\x0d\x01\x0c\x00\x0b\x0b")
}

// Every number of a function is another one afterwards, and nothing else.
func TestRenumberKeepsTheRest(t *testing.T) {
	t.Parallel()
	indexes := []int{7, 300, 1}
	f := func(body, want string) {
		t.Helper()
		got, err := renumber([]byte(body), indexes)
		if err != nil || string(got) != want {
			t.Errorf("%x: %x %v, want %x", body, got, err, want)
		}
	}
	f("\x00\x10\x01\x0b", "\x00\x10\xac\x02\x0b")
	f("\x01\x02\x7f\xd2\x00\x1a\x0b", "\x01\x02\x7f\xd2\x07\x1a\x0b")
	// Immediates that look like calls.
	f("\x00\x41\x10\x1a\x20\x10\x1a\x0b", "\x00\x41\x10\x1a\x20\x10\x1a\x0b")
	f("\x00\x0e\x02\x10\x10\x10\x0b", "\x00\x0e\x02\x10\x10\x10\x0b")
	f("\x00\x44\x10\x01\x10\x01\x10\x01\x10\x01\x1a\x0b", "\x00\x44\x10\x01\x10\x01\x10\x01\x10\x01\x1a\x0b")
	f("\x00\xfc\x0a\x00\x00\x28\x10\x10\x11\x10\x00\x0b", "\x00\xfc\x0a\x00\x00\x28\x10\x10\x11\x10\x00\x0b")
	for _, bad := range []string{"", "\x00\x10\x03\x0b", "\x00\x10", "\x00\xfd\x00", "\x00\xfc\x40", "\x00\x41\x80", "\x05"} {
		if got, err := renumber([]byte(bad), indexes); err == nil {
			t.Errorf("%x became %x", bad, got)
		}
	}
}
