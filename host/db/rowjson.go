package db

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"math"
	"strconv"
	"unicode/utf8"
)

// AppendJSON appends all rows as an array of objects.
func (r *Rows) AppendJSON(dst []byte) []byte {
	dst = append(dst, '[')
	for row := range r.count {
		if row > 0 {
			dst = append(dst, ',')
		}
		dst = r.AppendRowJSON(dst, row)
	}
	return append(dst, ']')
}

// AppendRowJSON appends one row as an object, its members in the order of the
// columns.
func (r *Rows) AppendRowJSON(dst []byte, row int) []byte {
	dst = append(dst, '{')
	cells := r.cells[row*len(r.columns) : (row+1)*len(r.columns)]
	for i := range r.columns {
		if i > 0 {
			dst = append(dst, ',')
		}
		col := &r.columns[i]
		dst = append(dst, col.head...)
		c := cells[i]
		if c.size < 0 {
			dst = append(dst, "null"...)
			continue
		}
		dst = appendJSON(dst, col.layout, r.arena[c.at:int(c.at)+int(c.size)])
	}
	for i := range r.nested {
		if i+len(r.columns) > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, r.nested[i].head...)
		dst = r.nested[i].appendJSON(dst, r, row)
	}
	return append(dst, '}')
}

// AppendValueJSON appends one value by the type table of PROTOCOL.md. A nested
// column is an array of objects.
func (r *Rows) AppendValueJSON(dst []byte, row, col int) []byte {
	if n := len(r.columns); col >= n {
		return r.nested[col-n].appendJSON(dst, r, row)
	}
	if r.at(row, col).size < 0 {
		return append(dst, "null"...)
	}
	return appendJSON(dst, r.columns[col].layout, r.raw(row, col))
}

func appendJSON(dst []byte, l layout, raw []byte) []byte {
	if l.array {
		tree, ok := parseArray(l, raw)
		if !ok {
			return appendJSONString(dst, raw)
		}
		return tree.appendJSON(dst, l.form)
	}
	return appendScalarJSON(dst, l.form, raw)
}

// appendScalarJSON trusts the lengths that PostgreSQL sends for fixed types but
// never reads past them.
func appendScalarJSON(dst []byte, f form, raw []byte) []byte {
	switch f {
	case formInt2, formInt4, formInt8:
		i, _ := integer(layout{form: f}, raw)
		return strconv.AppendInt(dst, i, 10)
	case formFloat4:
		if len(raw) == 4 {
			return appendFloat(dst, float64(math.Float32frombits(binary.BigEndian.Uint32(raw))), 32)
		}
	case formFloat8:
		if len(raw) == 8 {
			return appendFloat(dst, math.Float64frombits(binary.BigEndian.Uint64(raw)), 64)
		}
	case formBool:
		return strconv.AppendBool(dst, len(raw) == 1 && raw[0] != 0)
	case formUUID:
		return append(appendUUID(append(dst, '"'), raw), '"')
	case formInstant:
		return append(appendInstant(append(dst, '"'), raw), '"')
	case formBytes:
		return append(base64.StdEncoding.AppendEncode(append(dst, '"'), raw), '"')
	case formJSON:
		return appendCompact(dst, raw)
	case formText:
		return appendJSONString(dst, raw)
	}
	return append(dst, "null"...)
}

// appendFloat appends a number, or a string for what JSON has no number for.
func appendFloat(dst []byte, f float64, bits int) []byte {
	switch {
	case math.IsNaN(f):
		return append(dst, `"NaN"`...)
	case math.IsInf(f, 1):
		return append(dst, `"Infinity"`...)
	case math.IsInf(f, -1):
		return append(dst, `"-Infinity"`...)
	}
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(dst, f, format, -1, bits)
}

func appendUUID(dst, raw []byte) []byte {
	if len(raw) != 16 {
		return dst
	}
	for i, end := range [...]int{4, 6, 8, 10, 16} {
		start := [...]int{0, 4, 6, 8, 10}[i]
		if i > 0 {
			dst = append(dst, '-')
		}
		dst = hex.AppendEncode(dst, raw[start:end])
	}
	return dst
}

// appendInstant appends RFC 3339 in UTC with microseconds. Years before Christ
// get PostgreSQL's suffix, because RFC 3339 has none.
func appendInstant(dst, raw []byte) []byte {
	if len(raw) != 8 {
		return dst
	}
	micros := int64(binary.BigEndian.Uint64(raw))
	switch micros {
	case math.MaxInt64:
		return append(dst, "infinity"...)
	case math.MinInt64:
		return append(dst, "-infinity"...)
	}
	// Added in this order, the last instant that PostgreSQL has does not overflow.
	seconds := floorDiv(micros, 1e6)
	micros -= seconds * 1e6
	seconds += microsTo2000 / 1e6
	days, second := floorDiv(seconds, 86400), seconds-floorDiv(seconds, 86400)*86400
	year, month, day := civil(days)
	suffix := "Z"
	if year <= 0 {
		year, suffix = 1-year, "Z BC"
	}
	dst = appendDigits(dst, year, 4)
	dst = appendDigits(append(dst, '-'), month, 2)
	dst = appendDigits(append(dst, '-'), day, 2)
	dst = appendDigits(append(dst, 'T'), second/3600, 2)
	dst = appendDigits(append(dst, ':'), second/60%60, 2)
	dst = appendDigits(append(dst, ':'), second%60, 2)
	dst = appendDigits(append(dst, '.'), micros, 6)
	return append(dst, suffix...)
}

// civil returns the date of a day counted from 1970, in the proleptic Gregorian
// calendar. time.Time does the same at four times the cost, and a column of
// times is in most results.
func civil(days int64) (year, month, day int64) {
	days += 719468 // from 0000-03-01, so that leap days come last
	era := floorDiv(days, 146097)
	doe := days - era*146097
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	year, month, day = yoe+era*400, mp+3, doy-(153*mp+2)/5+1
	if month > 12 {
		year, month = year+1, month-12
	}
	return year, month, day
}

// appendDigits appends a number with at least width digits.
func appendDigits(dst []byte, n int64, width int) []byte {
	var buf [20]byte
	i := len(buf)
	for ; n > 0 || width > 0; width-- {
		i--
		buf[i] = byte('0' + n%10)
		n /= 10
	}
	return append(dst, buf[i:]...)
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

const hexDigits = "0123456789abcdef"

// plain says which bytes stand for themselves in a string of JSON.
var plain = func() (t [256]bool) {
	for b := 0x20; b < utf8.RuneSelf; b++ {
		t[b] = b != '"' && b != '\\'
	}
	return t
}()

// appendJSONString quotes text. Control characters, the separators that end a
// line in JavaScript, and bytes that are not UTF-8 never get out.
func appendJSONString(dst, s []byte) []byte {
	dst = append(dst, '"')
	done := 0
	for i := 0; i < len(s); {
		b := s[i]
		if plain[b] {
			i++
			continue
		}
		if b < utf8.RuneSelf {
			dst = append(dst, s[done:i]...)
			dst = appendEscape(dst, b)
			i++
			done = i
			continue
		}
		r, n := utf8.DecodeRune(s[i:])
		if r == '\u2028' || r == '\u2029' || r == utf8.RuneError && n == 1 {
			dst = append(dst, s[done:i]...)
			dst = append(dst, '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
			done = i + n
		}
		i += n
	}
	dst = append(dst, s[done:]...)
	return append(dst, '"')
}

func appendEscape(dst []byte, b byte) []byte {
	switch b {
	case '"', '\\':
		return append(dst, '\\', b)
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	case '\t':
		return append(dst, `\t`...)
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[b>>4], hexDigits[b&15])
}

// appendCompact appends a JSON document that PostgreSQL has checked, without
// the white space between its tokens.
func appendCompact(dst, doc []byte) []byte {
	quoted := false
	for i := 0; i < len(doc); {
		b := doc[i]
		switch {
		case b >= utf8.RuneSelf:
			r, n := utf8.DecodeRune(doc[i:])
			if r == '\u2028' || r == '\u2029' || r == utf8.RuneError && n == 1 {
				dst = append(dst, '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
			} else {
				dst = append(dst, doc[i:i+n]...)
			}
			i += n
			continue
		case quoted && b == '\\' && i+1 < len(doc):
			dst = append(dst, b)
			i++
			b = doc[i]
		case b == '"':
			quoted = !quoted
		case quoted && b < 0x20:
			dst = appendEscape(dst, b)
			i++
			continue
		case !quoted && (b == ' ' || b == '\n' || b == '\r' || b == '\t'):
			i++
			continue
		}
		dst = append(dst, b)
		i++
	}
	return dst
}
