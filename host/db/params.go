package db

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"weir/abi"
	"weir/reactor"
)

// argument is one argument, checked against its parameter's type: as it goes
// over the wire, and in its canonical form for the read set.
type argument struct {
	wire   []byte // nil = NULL
	format int16
	// canonical says that value, or set, is exact; without it the argument
	// cannot stand in an equality.
	canonical bool
	value     reactor.Value
	isSet     bool
	set       []reactor.Value // distinct elements that are not NULL
}

func (a *argument) null() bool { return a.wire == nil }

// convert checks an argument against the type of its parameter. PostgreSQL
// itself is never asked to guess: what it would coerce is refused (R6), and the
// words that its date types read from the clock do not pass (R7).
func convert(v abi.Value, t sqlType) (argument, error) {
	if v.IsNull() {
		return argument{}, nil
	}
	kind := t.kind()
	if t.elem == 0 {
		text, err := scalarText(v, t.base, t)
		if err != nil {
			return argument{}, err
		}
		a := argument{}
		a.value, a.canonical = reactor.ParseValue(kind, text)
		a.wire = []byte(text)
		if t.base == oidBytes && a.canonical {
			a.wire, a.format = append([]byte{}, a.value...), 1
		}
		return a, nil
	}
	if v.Type() != abi.TypeArray {
		return argument{}, fmt.Errorf("%s for an array", v.Type())
	}
	a := argument{isSet: true, canonical: true}
	seen := make(map[reactor.Value]bool, v.Len())
	a.wire = append(a.wire, '{')
	for i := range v.Len() {
		if i > 0 {
			a.wire = append(a.wire, ',')
		}
		item := v.At(i)
		if item.IsNull() {
			a.wire = append(a.wire, "NULL"...)
			continue
		}
		text, err := scalarText(item, t.elem, t)
		if err != nil {
			return argument{}, fmt.Errorf("element %d: %w", i, err)
		}
		a.wire = appendArrayItem(a.wire, text)
		value, ok := reactor.ParseValue(kind, text)
		a.canonical = a.canonical && ok
		if !seen[value] {
			seen[value] = true
			a.set = append(a.set, value)
		}
	}
	a.wire = append(a.wire, '}')
	return a, nil
}

func appendArrayItem(dst []byte, text string) []byte {
	dst = append(dst, '"')
	for i := range len(text) {
		if text[i] == '"' || text[i] == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, text[i])
	}
	return append(dst, '"')
}

// scalarText returns PostgreSQL's own text for a value of the type t, or of its
// elements.
func scalarText(v abi.Value, oid uint32, t sqlType) (string, error) {
	switch oid {
	case oidBool:
		if b, ok := v.AsBool(); ok {
			return strconv.FormatBool(b)[:1], nil
		}
		return "", fmt.Errorf("%s for a boolean", v.Type())
	case oidInt2:
		return intText(v, math.MinInt16, math.MaxInt16)
	case oidInt4:
		return intText(v, math.MinInt32, math.MaxInt32)
	case oidInt8:
		return intText(v, math.MinInt64, math.MaxInt64)
	case oidFloat4, oidFloat8, oidNumeric:
		return numberText(v, oid)
	case oidBytes:
		return bytesText(v)
	case oidUUID:
		return uuidText(v)
	case oidDate, oidTimestamp, oidInstant:
		return timeText(v, oid)
	case oidJSON, oidJSONB:
		return jsonText(v)
	}
	s, ok := v.AsText()
	if !ok {
		if t.enum {
			return "", fmt.Errorf("%s for an enum", v.Type())
		}
		return "", fmt.Errorf("%s for a string", v.Type())
	}
	if strings.IndexByte(s, 0) >= 0 {
		return "", fmt.Errorf("a string with a NUL byte, which PostgreSQL has no text for")
	}
	if t.clock {
		if found := clockWord.FindStringSubmatch(s); found != nil {
			return "", fmt.Errorf("a string with %q, which is another time in each run: pass the time itself", strings.ToLower(found[2]))
		}
	}
	return s, nil
}

// clockWord finds a word that a type may read from the clock. PostgreSQL takes any
// byte that is no letter for the end of one.
var clockWord = regexp.MustCompile(`(?i)(^|[^a-z])(now|today|tomorrow|yesterday)($|[^a-z])`)

func intText(v abi.Value, least, most int64) (string, error) {
	i, ok := v.AsInt()
	if !ok && v.Type() != abi.TypeInt {
		return "", fmt.Errorf("%s for an integer", v.Type())
	}
	if !ok || i < least || i > most {
		return "", fmt.Errorf("%s is out of range", v)
	}
	return strconv.FormatInt(i, 10), nil
}

var decimal = regexp.MustCompile(`^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,4})?$`)

func numberText(v abi.Value, oid uint32) (string, error) {
	if f, ok := v.AsFloat(); ok {
		return strconv.FormatFloat(f, 'g', -1, 64), nil
	}
	if v.Type() == abi.TypeInt {
		return v.String(), nil
	}
	s, ok := v.AsText()
	switch {
	case !ok:
		return "", fmt.Errorf("%s for a number", v.Type())
	case s == "NaN", s == "Infinity", s == "-Infinity":
		return s, nil
	case oid == oidNumeric && len(s) <= 1000 && decimal.MatchString(s):
		return s, nil
	}
	return "", fmt.Errorf("a string that is not a number")
}

// bytesText takes bytes, or base64 as JSON carries them.
func bytesText(v abi.Value) (string, error) {
	b, ok := v.AsBytes()
	if !ok {
		s, isText := v.AsText()
		if !isText {
			return "", fmt.Errorf("%s for bytes", v.Type())
		}
		var err error
		if b, err = base64.StdEncoding.DecodeString(s); err != nil {
			return "", fmt.Errorf("a string that is not base64")
		}
	}
	return `\x` + hex.EncodeToString(b), nil
}

func uuidText(v abi.Value) (string, error) {
	if s, ok := v.AsText(); ok {
		if u, ok := reactor.ParseValue(reactor.KindUUID, s); ok {
			return string(appendUUID(nil, []byte(u))), nil
		}
	}
	if b, ok := v.AsBytes(); ok && len(b) == 16 {
		return string(appendUUID(nil, b)), nil
	}
	return "", fmt.Errorf("%s that is not a UUID", v.Type())
}

// timeText takes RFC 3339, and microseconds since 1970 for a timestamptz. What
// is finer than PostgreSQL's microsecond is cut here, so that the canonical form
// is that of the stored value.
func timeText(v abi.Value, oid uint32) (string, error) {
	if micros, ok := v.AsInt(); ok && oid == oidInstant {
		return instantText(time.UnixMicro(micros)), nil
	}
	s, ok := v.AsText()
	if !ok {
		return "", fmt.Errorf("%s for a time", v.Type())
	}
	if s == "infinity" || s == "-infinity" {
		return s, nil
	}
	s = strings.Replace(s, "T", " ", 1)
	layout, kind := "2006-01-02 15:04:05Z07:00", "a timestamp with its zone"
	switch oid {
	case oidDate:
		layout, kind = "2006-01-02", "a date"
	case oidTimestamp:
		layout, kind = "2006-01-02 15:04:05", "a timestamp without a zone"
	}
	t, err := time.Parse(layout, s)
	if err != nil && oid == oidInstant {
		t, err = time.Parse("2006-01-02 15:04:05Z07", s) // as PostgreSQL prints it
	}
	if err != nil {
		return "", fmt.Errorf("a string that is not %s", kind)
	}
	switch oid {
	case oidDate:
		return s, nil
	case oidTimestamp:
		return t.Format("2006-01-02 15:04:05.999999"), nil
	}
	return instantText(t), nil
}

func instantText(t time.Time) string {
	return t.UTC().Truncate(time.Microsecond).Format("2006-01-02 15:04:05.999999") + "+00"
}

// jsonText takes JSON's text, which is how guests carry documents, and values.
func jsonText(v abi.Value) (string, error) {
	s, ok := v.AsText()
	if !ok {
		return v.String(), nil
	}
	if strings.IndexByte(s, 0) >= 0 {
		return "", fmt.Errorf("a string with a NUL byte")
	}
	return s, nil
}
