package weirtest

import (
	"errors"
	"time"
	"unsafe"

	"weir/abi"
	weir "weir/plugins/guest"
	"weir/plugins/guest/internal/door"
)

// Epoch is what a call's Now returns unless the option Now says otherwise.
var Epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// Option prepares a call: Fake, FakeFunc, FakeError, Affected, Now, Config.
type Option func(*host)

// Call returns a call for a handler, prepared by the options.
func Call(options ...Option) *weir.Call {
	h := &host{now: Epoch, answers: map[int32]*answer{}, config: map[string]string{}}
	for _, option := range options {
		option(h)
	}
	return door.NewCall(h).(*weir.Call)
}

// Fake makes a statement return rows, whatever its arguments. No rows is an
// empty result. A command affects as many rows as it returns, unless Affected
// says otherwise.
func Fake[R any](statement weir.Returns[R], rows ...R) Option {
	s := door.Of(statement)
	encoded := encode(s, rows)
	return fakeWith(s, func([]byte) ([][]byte, error) { return encoded, nil })
}

// FakeFunc makes a statement return what f makes of its arguments. An error is
// the statement's.
//
//	weirtest.FakeFunc(byID, func(a ByIDArgs) ([]Room, error) { return rooms[a.ID], nil })
func FakeFunc[A, R any](statement interface {
	weir.Takes[A]
	weir.Returns[R]
}, f func(A) ([]R, error),
) Option {
	s := door.Of(statement)
	return fakeWith(s, func(args []byte) ([][]byte, error) {
		var a A
		if err := s.ReadArgs(args, unsafe.Pointer(&a)); err != nil {
			return nil, err
		}
		rows, err := f(a)
		return encode(s, rows), err
	})
}

// FakeError makes a statement fail as if PostgreSQL had refused it: the handler
// sees weir.ErrSQL with this text.
func FakeError(statement weir.AnyStatement, text string) Option {
	return fakeWith(door.Of(statement), func([]byte) ([][]byte, error) { return nil, errors.New(text) })
}

// Affected sets how many rows a command says it touched.
func Affected(statement weir.AnyStatement, n int64) Option {
	return func(h *host) { h.answer(door.Of(statement)).affected = &n }
}

// Now sets the call's time.
func Now(t time.Time) Option { return func(h *host) { h.now = t } }

// Config sets a value of the plugin's configuration, as text.
func Config(key, value string) Option { return func(h *host) { h.config[key] = value } }

// Entry is a line that a handler logged.
type Entry struct {
	Level int // abi.LogDebug to abi.LogError
	Text  string
}

// Logs returns what was logged, oldest first.
func Logs(c *weir.Call) []Entry { return of(c).logs }

// WakeAt returns the earliest time that was asked for, and whether any was.
func WakeAt(c *weir.Call) (time.Time, bool) {
	h := of(c)
	return h.wake, !h.wake.IsZero()
}

// Asked returns the arguments of each run of a statement, oldest first.
func Asked[A any](c *weir.Call, statement weir.Takes[A]) []A {
	s := door.Of(statement)
	var out []A
	for _, run := range of(c).runs {
		if run.statement != s.Index {
			continue
		}
		var a A
		if err := s.ReadArgs(run.args, unsafe.Pointer(&a)); err != nil {
			panic("BUG: arguments do not decode: " + err.Error())
		}
		out = append(out, a)
	}
	return out
}

// Manifest returns the plugin's manifest, checked as the host checks it: a
// one-line test finds wrong tags, names and access before the plugin is built.
//
//	func TestManifest(t *testing.T) {
//		if _, err := weirtest.Manifest(); err != nil {
//			t.Fatal(err)
//		}
//	}
func Manifest() (*abi.Manifest, error) {
	encoded, err := door.Manifest()
	if err != nil {
		return nil, err
	}
	m, err := abi.DecodeManifest(encoded)
	if err != nil {
		return nil, err
	}
	return m, m.Validate()
}

func of(c *weir.Call) *host {
	h, ok := door.HostOf(c).(*host)
	if !ok {
		panic("weirtest: the call was not made by weirtest.Call")
	}
	return h
}

func encode[R any](s door.Statement, rows []R) [][]byte {
	out := make([][]byte, len(rows))
	for i := range rows {
		out[i] = s.AppendRow(nil, unsafe.Pointer(&rows[i]))
	}
	return out
}

func fakeWith(s door.Statement, rows func(args []byte) ([][]byte, error)) Option {
	return func(h *host) { h.answer(s).rows = rows }
}
