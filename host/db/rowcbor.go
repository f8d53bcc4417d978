package db

import (
	"encoding/binary"
	"math"
	"strings"
	"unicode/utf8"

	"weir/abi"
)

// AppendValueCBOR appends one value as a guest sees it: integers exact, bytea a
// byte string, json its text, everything else as in AppendValueJSON. A nested
// column is an array of rows, each an array of values.
func (r *Rows) AppendValueCBOR(dst []byte, row, col int) []byte {
	if n := len(r.columns); col >= n {
		return r.nested[col-n].appendCBOR(dst, r, row)
	}
	if r.at(row, col).size < 0 {
		return abi.AppendNull(dst)
	}
	raw, l := r.raw(row, col), r.columns[col].layout
	if !l.array {
		return appendScalarCBOR(dst, l.form, raw)
	}
	tree, ok := parseArray(l, raw)
	if !ok {
		return abi.AppendText(dst, validText(raw))
	}
	return tree.appendCBOR(dst, l.form)
}

// AppendRowCBOR appends one row as an array of its values.
func (r *Rows) AppendRowCBOR(dst []byte, row int) []byte {
	dst = abi.AppendArray(dst, r.Columns())
	for col := range r.Columns() {
		dst = r.AppendValueCBOR(dst, row, col)
	}
	return dst
}

func appendScalarCBOR(dst []byte, f form, raw []byte) []byte {
	switch f {
	case formInt2, formInt4, formInt8:
		i, _ := integer(layout{form: f}, raw)
		return abi.AppendInt(dst, i)
	case formFloat4:
		if len(raw) == 4 {
			return abi.AppendFloat(dst, float64(math.Float32frombits(binary.BigEndian.Uint32(raw))))
		}
	case formFloat8:
		if len(raw) == 8 {
			return abi.AppendFloat(dst, math.Float64frombits(binary.BigEndian.Uint64(raw)))
		}
	case formBool:
		return abi.AppendBool(dst, len(raw) == 1 && raw[0] != 0)
	case formUUID:
		return abi.AppendText(dst, string(appendUUID(nil, raw)))
	case formInstant:
		return abi.AppendText(dst, string(appendInstant(nil, raw)))
	case formBytes:
		return abi.AppendBytes(dst, raw)
	case formJSON:
		return abi.AppendText(dst, validText(appendCompact(nil, raw)))
	case formText:
		return abi.AppendText(dst, validText(raw))
	}
	return abi.AppendNull(dst)
}

// validText returns text that CBOR allows.
func validText(raw []byte) string {
	if utf8.Valid(raw) {
		return string(raw)
	}
	return strings.ToValidUTF8(string(raw), "\uFFFD")
}
