package door

import (
	"reflect"
	"unsafe"

	"weir/abi"
)

// Host is the set of host functions of ABI 1 that the SDK calls.
type Host interface {
	Query(statement int32, args []byte) int32
	Exec(statement int32, args []byte) int32
	RowsAffected(handle int32) int64
	RowsLen(handle int32) int32
	RowsRead(handle, from int32, buf []byte) int32
	RowsPick(handle int32, indexes []uint32) int32
	Close(handle int32) int32
	Now() int64
	WakeAt(micros int64) int32
	Log(level int32, text string) int32
	Config(key string, buf []byte) int32
	Error(buf []byte) int32
}

// Statement is what a fake must know of a statement.
type Statement struct {
	Index int32
	SQL   string
	// AppendRow encodes the row at p as a page has it.
	AppendRow func(dst []byte, p unsafe.Pointer) []byte
	// ReadArgs decodes arguments into the struct at p.
	ReadArgs func(args []byte, p unsafe.Pointer) error
}

// The hooks that package weir sets.
var (
	// NewCall returns a *weir.Call on a host.
	NewCall func(Host) any
	// HostOf returns the host of a *weir.Call.
	HostOf func(call any) Host
	// Of returns what is known of a *weir.Statement or *weir.Command; it panics
	// for anything else.
	Of func(statement any) Statement
	// Manifest returns the encoded manifest of everything registered.
	Manifest func() ([]byte, error)
	// Field returns the name of a struct's field outside Go, "" if it has none,
	// and whether a client may set it as an argument.
	Field func(reflect.StructField) (name string, settable bool)
	// Invoke runs a registered function by name on its encoded input.
	Invoke func(h Host, name string, input []byte) (abi.Tag, int32, []byte)
)
