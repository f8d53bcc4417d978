//go:build !wasip1

package weir

import (
	"reflect"

	"weir/abi"
	"weir/plugins/guest/internal/door"
)

// sealed is whether statements and functions may be added after the plugin was
// described: tests do.
const sealed = false

// keepsFrames is whether a call leaves its frame to the next: tests make calls at
// once.
const keepsFrames = false

// backing is the host of a Call outside WebAssembly: weirtest's fake. A Call
// without one answers every request with ErrnoState.
type backing struct{ host door.Host }

const noHost = -int32(abi.ErrnoState)

func init() {
	door.NewCall = func(h door.Host) any { return &Call{backing{h}} }
	door.HostOf = func(call any) door.Host { return call.(*Call).host }
	door.Of = func(statement any) door.Statement { return statement.(AnyStatement).core().fake() }
	door.Manifest = func() ([]byte, error) { return standard.encoded() }
	door.Field = func(f reflect.StructField) (string, bool) {
		name := fieldName(f)
		if name == "-" {
			return "", false
		}
		tag, err := parseTag(f.Tag.Get("weir"))
		_, claim := f.Tag.Lookup("claim")
		_, scope := f.Tag.Lookup("scope")
		return name, err == nil && tag.source == fromCaller && !claim && !scope
	}
	door.Invoke = func(h door.Host, name string, input []byte) (abi.Tag, int32, []byte) {
		for _, f := range standard.ordered() {
			if f.name == name && f.body.run != nil {
				r := f.body.run(&Call{backing{h}}, input, nil)
				return r.tag, r.handle, r.data
			}
		}
		r := failure(nil, &Error{Code: abi.UnknownFunction, Message: "no guest function " + name})
		return r.tag, r.handle, r.data
	}
}

func (b backing) query(statement int32, args []byte) int32 {
	if b.host == nil {
		return noHost
	}
	return b.host.Query(statement, args)
}

func (b backing) exec(statement int32, args []byte) int32 {
	if b.host == nil {
		return noHost
	}
	return b.host.Exec(statement, args)
}

func (b backing) rowsAffected(handle int32) int64 { return b.host.RowsAffected(handle) }

func (b backing) rowsLen(handle int32) int32 { return b.host.RowsLen(handle) }

func (b backing) rowsRead(handle, from int32, buf []byte) int32 {
	return b.host.RowsRead(handle, from, buf)
}

func (b backing) rowsPick(handle int32, indexes []uint32) int32 {
	return b.host.RowsPick(handle, indexes)
}

func (b backing) now() int64 {
	if b.host == nil {
		return 0
	}
	return b.host.Now()
}

func (b backing) wakeAt(micros int64) int32 {
	if b.host == nil {
		return noHost
	}
	return b.host.WakeAt(micros)
}

func (b backing) log(level int32, text string) {
	if b.host != nil {
		b.host.Log(level, text)
	}
}

func (b backing) config(key string, buf []byte) int32 {
	if b.host == nil {
		return noHost
	}
	return b.host.Config(key, buf)
}

func (b backing) errorText(buf []byte) int32 {
	if b.host == nil {
		return int32(copy(buf, "a zero Call has no host: make one with weirtest.Call"))
	}
	return b.host.Error(buf)
}

// Buffers are new each time, so that calls of parallel tests share nothing.
func (backing) takeArgs() []byte { return nil }
func (backing) giveArgs([]byte)  {}
func (backing) takePage() []byte { return make([]byte, abi.InputBuffer) }
func (backing) givePage([]byte)  {}

// text returns a copy of b.
func text(b []byte) string { return string(b) }
