package weir

import (
	"errors"
	"reflect"
	"sort"
	"strconv"
	"unsafe"

	"weir/abi"
)

// pointerCodec makes nil null.
func pointerCodec(t reflect.Type, s shape, format string, depth int) (codec, error) {
	elem, err := newCodec(t.Elem(), s, format, depth+1)
	if err != nil {
		return codec{}, err
	}
	schema := elem.schema
	schema.Optional = true
	c := codec{
		append: func(dst []byte, p unsafe.Pointer) []byte {
			at := *(*unsafe.Pointer)(p)
			if at == nil {
				return abi.AppendNull(dst)
			}
			return elem.append(dst, at)
		},
		schema: schema,
	}
	if elem.read != nil {
		c.read = func(d *abi.Decoder, p unsafe.Pointer) error {
			if d.Null() {
				return nil
			}
			at := elem.alloc()
			*(*unsafe.Pointer)(p) = at
			return elem.read(d, at)
		}
	}
	return reflected(t, c), nil
}

// sliceHeader is how a slice of any type lies in memory.
type sliceHeader struct {
	data unsafe.Pointer
	len  int
	_    int
}

// sliceCodec reads null as nil and writes nil as an empty array, so that a
// client never meets null where it expects a list. A pointer to a slice can be
// null.
func sliceCodec(t reflect.Type, s shape, format string, depth int) (codec, error) {
	elem, err := newCodec(t.Elem(), s, format, depth+1)
	if err != nil {
		return codec{}, err
	}
	size := t.Elem().Size()
	items := elem.schema
	c := codec{
		append: func(dst []byte, p unsafe.Pointer) []byte {
			h := (*sliceHeader)(p)
			dst = abi.AppendArray(dst, h.len)
			for i := range h.len {
				dst = elem.append(dst, unsafe.Add(h.data, uintptr(i)*size))
			}
			return dst
		},
		schema: abi.Schema{Type: "array", Items: &items},
	}
	if elem.read != nil {
		c.read = func(d *abi.Decoder, p unsafe.Pointer) error {
			if d.Null() {
				return nil
			}
			n, err := d.Array()
			if err != nil {
				return err
			}
			data := elem.slice(p, n)
			for i := range n {
				if err := elem.read(d, unsafe.Add(data, uintptr(i)*size)); err != nil {
					return errors.New("item " + strconv.Itoa(i) + ": " + err.Error())
				}
			}
			return nil
		}
	}
	return reflected(t, c), nil
}

func structCodec(t reflect.Type, s shape, depth int) (codec, error) {
	fields, err := fieldsOf(t, s, depth+1)
	if err != nil {
		return codec{}, err
	}
	schema := abi.Schema{Type: "object", Fields: make([]abi.Field, len(fields))}
	for i, f := range fields {
		schema.Fields[i] = abi.Field{Name: f.name, Schema: f.codec.schema}
	}
	c := codec{schema: schema}
	if s == asMap {
		c.append = appendAsMap(fields)
		return reflected(t, c), nil
	}
	c.append = func(dst []byte, p unsafe.Pointer) []byte {
		dst = abi.AppendArray(dst, len(fields))
		for i := range fields {
			dst = fields[i].codec.append(dst, unsafe.Add(p, fields[i].offset))
		}
		return dst
	}
	c.read = func(d *abi.Decoder, p unsafe.Pointer) error { return readFields(d, fields, p) }
	return reflected(t, c), nil
}

// readFields reads an array that has an item per field.
func readFields(d *abi.Decoder, fields []field, p unsafe.Pointer) error {
	n, err := d.Array()
	if err != nil {
		return err
	}
	if n != len(fields) {
		return errors.New("has " + strconv.Itoa(n) + " values for " + strconv.Itoa(len(fields)) + " fields")
	}
	for i := range fields {
		f := &fields[i]
		if err := f.codec.read(d, unsafe.Add(p, f.offset)); err != nil {
			return errors.New(f.name + ": " + err.Error())
		}
	}
	return nil
}

// appendAsMap sorts and encodes the keys once.
func appendAsMap(fields []field) func([]byte, unsafe.Pointer) []byte {
	sorted := append([]field(nil), fields...)
	sort.Slice(sorted, func(i, j int) bool { return keyLess(sorted[i].name, sorted[j].name) })
	keys := make([][]byte, len(sorted))
	for i, f := range sorted {
		keys[i] = abi.AppendText(nil, f.name)
	}
	return func(dst []byte, p unsafe.Pointer) []byte {
		dst = abi.AppendMap(dst, len(sorted))
		for i := range sorted {
			dst = append(dst, keys[i]...)
			dst = sorted[i].codec.append(dst, unsafe.Add(p, sorted[i].offset))
		}
		return dst
	}
}

// mapCodec encodes map[string]T, in results only. It is the one codec that
// reflects at run time: a map has no layout to plan.
func mapCodec(t reflect.Type, s shape, depth int) (codec, error) {
	if s != asMap || t.Key().Kind() != reflect.String {
		return codec{}, errors.New("has type " + t.String() + ": a map with string keys may be a result, nothing else may be a map")
	}
	elem, err := newCodec(t.Elem(), s, "", depth+1)
	if err != nil {
		return codec{}, err
	}
	c := codec{append: func(dst []byte, p unsafe.Pointer) []byte {
		m := reflect.NewAt(t, p).Elem()
		keys := m.MapKeys()
		sort.Slice(keys, func(i, j int) bool { return keyLess(keys[i].String(), keys[j].String()) })
		dst = abi.AppendMap(dst, len(keys))
		for _, k := range keys {
			v := reflect.New(t.Elem())
			v.Elem().Set(m.MapIndex(k))
			dst = elem.append(abi.AppendText(dst, k.String()), v.UnsafePointer())
		}
		return dst
	}}
	return reflected(t, c), nil
}

// keyLess is the order of map keys in core deterministic CBOR. Text keys are
// compared as they are encoded, so that a shorter one comes first.
func keyLess(a, b string) bool {
	if len(a) != len(b) {
		return len(a) < len(b)
	}
	return a < b
}
