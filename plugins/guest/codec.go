package weir

import (
	"errors"
	"reflect"
	"time"
	"unsafe"

	"weir/abi"
)

// codec moves values of one Go type between memory and CBOR. It is built once
// per type by reflection; the closures know the type and use none.
type codec struct {
	// append encodes the value at p.
	append func(dst []byte, p unsafe.Pointer) []byte
	// read decodes into the value at p, which is zero. nil if the type can only
	// be a result (a map).
	read func(d *abi.Decoder, p unsafe.Pointer) error
	// alloc returns a new zero value; slice stores a new slice of n zero values
	// at p and returns its first element.
	alloc func() unsafe.Pointer
	slice func(p unsafe.Pointer, n int) unsafe.Pointer
	// schema says the type in the manifest.
	schema abi.Schema
}

// typed adds what needs the type's layout. A named type may use the plain type
// under it.
func typed[T any](c codec) codec {
	c.alloc = func() unsafe.Pointer { return unsafe.Pointer(new(T)) }
	c.slice = func(p unsafe.Pointer, n int) unsafe.Pointer {
		s := make([]T, n)
		*(*[]T)(p) = s
		return unsafe.Pointer(unsafe.SliceData(s))
	}
	return c
}

// reflected is typed for types that only reflection knows: structs inside
// structs, and pointers in slices. It costs some 50 ns an allocation.
func reflected(t reflect.Type, c codec) codec {
	c.alloc = func() unsafe.Pointer { return reflect.New(t).UnsafePointer() }
	slice := reflect.SliceOf(t)
	c.slice = func(p unsafe.Pointer, n int) unsafe.Pointer {
		v := reflect.MakeSlice(slice, n, n)
		reflect.NewAt(slice, p).Elem().Set(v)
		return v.UnsafePointer()
	}
	return c
}

// shape is how a struct is encoded. Input and rows are arrays in field order;
// results are maps, so that they explain themselves to whoever turns them into
// JSON.
type shape bool

const (
	asArray shape = false
	asMap   shape = true
)

var (
	timeType  = reflect.TypeFor[time.Time]()
	jsonType  = reflect.TypeFor[JSON]()
	valueType = reflect.TypeFor[abi.Value]()
)

// JSON is a json or jsonb value as its text. In a result it must be valid JSON.
type JSON string

// maxNesting stops types that contain themselves.
const maxNesting = 16

// newCodec builds the codec of t. format is the field's format tag, depth how
// many types are around it.
func newCodec(t reflect.Type, s shape, format string, depth int) (codec, error) {
	if depth > maxNesting {
		return codec{}, errors.New("is nested too deeply or contains itself")
	}
	switch {
	case t == timeType && format == "date":
		return dateCodec(), nil
	case t == timeType:
		return timeCodec(), nil
	case t == valueType:
		return valueCodec(), nil
	case t == jsonType || t.Kind() == reflect.String && format == "json":
		return withSchema(stringCodec(), abi.Schema{Type: "string", Format: "json"}), nil
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		return bytesCodec(), nil
	case t.Kind() == reflect.Array && t.Elem().Kind() == reflect.Uint8 && t.Len() == 16:
		return uuidCodec(), nil
	}
	switch t.Kind() {
	case reflect.Pointer:
		return pointerCodec(t, s, format, depth)
	case reflect.Slice:
		return sliceCodec(t, s, format, depth)
	case reflect.Struct:
		return structCodec(t, s, depth)
	case reflect.Map:
		return mapCodec(t, s, depth)
	}
	c, ok := scalarCodec(t.Kind())
	if !ok {
		return codec{}, errors.New("has type " + t.String() + ", which weir cannot carry")
	}
	if t.Kind() == reflect.String {
		c.schema.Format = format
	}
	return c, nil
}

// scalarCodec is the codec of a plain kind; named types share it, since only
// the layout matters.
func scalarCodec(k reflect.Kind) (codec, bool) {
	switch k {
	case reflect.Bool:
		return boolCodec(), true
	case reflect.String:
		return stringCodec(), true
	case reflect.Int:
		return intCodec[int](), true
	case reflect.Int8:
		return intCodec[int8](), true
	case reflect.Int16:
		return intCodec[int16](), true
	case reflect.Int32:
		return intCodec[int32](), true
	case reflect.Int64:
		return intCodec[int64](), true
	case reflect.Uint:
		return uintCodec[uint](), true
	case reflect.Uint8:
		return uintCodec[uint8](), true
	case reflect.Uint16:
		return uintCodec[uint16](), true
	case reflect.Uint32:
		return uintCodec[uint32](), true
	case reflect.Uint64:
		return uintCodec[uint64](), true
	case reflect.Float32:
		return floatCodec[float32](), true
	case reflect.Float64:
		return floatCodec[float64](), true
	}
	return codec{}, false
}

func withSchema(c codec, s abi.Schema) codec {
	c.schema = s
	return c
}
