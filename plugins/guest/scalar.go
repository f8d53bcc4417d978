package weir

import (
	"encoding/base64"
	"errors"
	"time"
	"unsafe"

	"weir/abi"
)

func boolCodec() codec {
	return typed[bool](codec{
		append: func(dst []byte, p unsafe.Pointer) []byte { return abi.AppendBool(dst, *(*bool)(p)) },
		read: func(d *abi.Decoder, p unsafe.Pointer) (err error) {
			*(*bool)(p), err = d.Bool()
			return err
		},
		schema: abi.Schema{Type: "boolean"},
	})
}

func intCodec[T int | int8 | int16 | int32 | int64]() codec {
	return typed[T](codec{
		append: func(dst []byte, p unsafe.Pointer) []byte { return abi.AppendInt(dst, int64(*(*T)(p))) },
		read: func(d *abi.Decoder, p unsafe.Pointer) error {
			v, err := d.Int()
			if err != nil {
				return err
			}
			if int64(T(v)) != v {
				return errTooBig
			}
			*(*T)(p) = T(v)
			return nil
		},
		schema: intSchema(float64(minOf[T]()), 8*unsafe.Sizeof(T(0))),
	})
}

func uintCodec[T uint | uint8 | uint16 | uint32 | uint64]() codec {
	zero := 0.0
	schema := abi.Schema{Type: "integer", Min: &zero}
	if bits := 8 * unsafe.Sizeof(T(0)); bits < 64 {
		most := float64(uint64(1)<<bits - 1)
		schema.Max = &most
	}
	return typed[T](codec{
		append: func(dst []byte, p unsafe.Pointer) []byte { return abi.AppendUint(dst, uint64(*(*T)(p))) },
		read: func(d *abi.Decoder, p unsafe.Pointer) error {
			v, err := d.Uint()
			if err != nil {
				return err
			}
			if uint64(T(v)) != v {
				return errTooBig
			}
			*(*T)(p) = T(v)
			return nil
		},
		schema: schema,
	})
}

var errTooBig = errors.New("the number does not fit the Go type")

func minOf[T int | int8 | int16 | int32 | int64]() int64 {
	return -1 << (8*unsafe.Sizeof(T(0)) - 1)
}

// intSchema bounds the integers that a narrow Go type cannot hold. 64 bits need
// no bounds, and int is taken as 64 bits wide on both sides.
func intSchema(least float64, bits uintptr) abi.Schema {
	if bits == 64 {
		return abi.Schema{Type: "integer"}
	}
	most := -least - 1
	return abi.Schema{Type: "integer", Min: &least, Max: &most}
}

// floatCodec carries NaN and the infinities as text, as abi does.
func floatCodec[T float32 | float64]() codec {
	return typed[T](codec{
		append: func(dst []byte, p unsafe.Pointer) []byte { return abi.AppendFloat(dst, float64(*(*T)(p))) },
		read: func(d *abi.Decoder, p unsafe.Pointer) error {
			kind := d.Peek()
			v, err := d.Float()
			if err != nil && kind == abi.TypeText {
				return errors.New("is text, not a number: numeric columns are exact text, so use a string field or cast to float8")
			}
			*(*T)(p) = T(v)
			return err
		},
		schema: abi.Schema{Type: "number"},
	})
}

func stringCodec() codec {
	return typed[string](codec{
		append: func(dst []byte, p unsafe.Pointer) []byte { return abi.AppendText(dst, *(*string)(p)) },
		read: func(d *abi.Decoder, p unsafe.Pointer) (err error) {
			*(*string)(p), err = d.Text()
			return err
		},
		schema: abi.Schema{Type: "string"},
	})
}

// bytesCodec reads null as nil and writes nil as empty, as slices do.
func bytesCodec() codec {
	return typed[[]byte](codec{
		append: func(dst []byte, p unsafe.Pointer) []byte { return abi.AppendBytes(dst, *(*[]byte)(p)) },
		read: func(d *abi.Decoder, p unsafe.Pointer) error {
			if d.Null() {
				return nil
			}
			b, err := d.Bytes()
			if err != nil {
				return err
			}
			*(*[]byte)(p) = append(make([]byte, 0, len(b)), b...)
			return nil
		},
		schema: abi.Schema{Type: "string", Format: "bytes"},
	})
}

// valueCodec carries a value of any type.
func valueCodec() codec {
	return typed[abi.Value](codec{
		append: func(dst []byte, p unsafe.Pointer) []byte { return (*abi.Value)(p).AppendCBOR(dst) },
		read: func(d *abi.Decoder, p unsafe.Pointer) (err error) {
			*(*abi.Value)(p), err = d.Value()
			return err
		},
	})
}

// timeLayout is how the host writes a moment: PostgreSQL's resolution, and never
// fewer digits, so that a row is the same whether a handler read it or passed it on.
const timeLayout = "2006-01-02T15:04:05.000000Z07:00"

// timeCodec writes UTC with microseconds.
func timeCodec() codec {
	return typed[time.Time](codec{
		append: func(dst []byte, p unsafe.Pointer) []byte {
			var buf [40]byte
			b := (*time.Time)(p).UTC().Truncate(time.Microsecond).AppendFormat(buf[:0], timeLayout)
			return abi.AppendText(dst, string(b))
		},
		read: func(d *abi.Decoder, p unsafe.Pointer) error {
			s, err := d.Text()
			if err != nil {
				return err
			}
			*(*time.Time)(p), err = parseTime(s)
			return err
		},
		schema: abi.Schema{Type: "string", Format: "date-time"},
	})
}

// parseTime reads timestamptz (RFC 3339), timestamp (without a zone) and date.
func parseTime(s string) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t.UTC(), nil
	}
	for _, layout := range []string{"2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, errors.New("is not a time: " + cut(s, 40))
}

func dateCodec() codec {
	c := timeCodec()
	c.append = func(dst []byte, p unsafe.Pointer) []byte {
		return abi.AppendText(dst, (*time.Time)(p).Format(time.DateOnly))
	}
	c.schema.Format = "date"
	return c
}

// uuidCodec carries any [16]byte, whatever package it comes from.
func uuidCodec() codec {
	return typed[[16]byte](codec{
		append: func(dst []byte, p unsafe.Pointer) []byte {
			return abi.AppendText(dst, formatUUID(*(*[16]byte)(p)))
		},
		read: func(d *abi.Decoder, p unsafe.Pointer) error {
			s, err := d.Text()
			if err != nil {
				return err
			}
			if !parseUUID(s, (*[16]byte)(p)) {
				return errors.New("is not a uuid: " + cut(s, 40))
			}
			return nil
		},
		schema: abi.Schema{Type: "string", Format: "uuid"},
	})
}

const hexDigits = "0123456789abcdef"

func formatUUID(u [16]byte) string {
	var s [36]byte
	at := 0
	for i, b := range u {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			s[at] = '-'
			at++
		}
		s[at], s[at+1] = hexDigits[b>>4], hexDigits[b&15]
		at += 2
	}
	return string(s[:])
}

func parseUUID(s string, u *[16]byte) bool {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return false
	}
	at := 0
	for i := range u {
		if at == 8 || at == 13 || at == 18 || at == 23 {
			at++
		}
		high, low := hexValue(s[at]), hexValue(s[at+1])
		if high|low > 15 {
			return false
		}
		u[i] = high<<4 | low
		at += 2
	}
	return true
}

// hexValue returns 255 for what is not a digit.
func hexValue(b byte) byte {
	switch {
	case '0' <= b && b <= '9':
		return b - '0'
	case 'a' <= b && b <= 'f':
		return b - 'a' + 10
	case 'A' <= b && b <= 'F':
		return b - 'A' + 10
	}
	return 255
}

// decodeBase64 is for defaults of []byte fields, which tags write as JSON does.
func decodeBase64(s string) ([]byte, error) { return base64.StdEncoding.DecodeString(s) }
