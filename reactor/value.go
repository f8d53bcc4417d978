package reactor

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Kind is a family of column types whose values have one canonical form. Only
// these can stand in an equality of a read set (R6): floats, numerics, padded
// and case-blind texts, ranges and documents have several forms of one value.
type Kind uint8

// The kinds.
const (
	KindNone      Kind = iota // no canonical form: never in an equality
	KindInt                   // int2, int4, int8: compare across widths
	KindBool                  //
	KindUUID                  //
	KindDate                  //
	KindTimestamp             // without time zone
	KindInstant               // with time zone
	KindBytes                 // bytea
	KindText                  // text, varchar under a deterministic collation
	KindEnum                  // by label
)

// Ordered reports whether the canonical forms of a kind sort as PostgreSQL
// sorts the values. Text sorts by collation and enums by definition: not they.
func (k Kind) Ordered() bool {
	switch k {
	case KindInt, KindBool, KindUUID, KindDate, KindTimestamp, KindInstant, KindBytes:
		return true
	}
	return false
}

// KindOf returns the kind of a built-in type by its OID, KindNone for all
// others. Domains must be resolved first; enums have their own OIDs and
// collations are the caller's to check.
func KindOf(typeOID uint32) Kind {
	switch typeOID {
	case 20, 21, 23:
		return KindInt
	case 16:
		return KindBool
	case 2950:
		return KindUUID
	case 1082:
		return KindDate
	case 1114:
		return KindTimestamp
	case 1184:
		return KindInstant
	case 17:
		return KindBytes
	case 25, 1043:
		return KindText
	}
	return KindNone
}

// Value is a value's canonical form: equal values have equal bytes, and for
// ordered kinds the bytes sort as the values.
type Value string

// IntValue is the form of an integer of any width.
func IntValue(i int64) Value {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(i)^(1<<63))
	return Value(b[:])
}

// Int returns the integer that IntValue made the value of, and false when it was
// not made so.
func (v Value) Int() (int64, bool) {
	if len(v) != 8 {
		return 0, false
	}
	return int64(binary.BigEndian.Uint64([]byte(v)) ^ (1 << 63)), true
}

// BoolValue is the form of a boolean.
func BoolValue(v bool) Value {
	if v {
		return "\x01"
	}
	return "\x00"
}

// UUIDValue is the form of a UUID.
func UUIDValue(u [16]byte) Value { return Value(u[:]) }

// DateValue is the form of a date, in days since 1970. PostgreSQL's infinities
// are math.MinInt64 and math.MaxInt64.
func DateValue(days int64) Value { return IntValue(days) }

// TimeValue is the form of a timestamp with or without zone, in microseconds
// since 1970 UTC. Infinities as in DateValue.
func TimeValue(micros int64) Value { return IntValue(micros) }

// ParseValue returns the canonical form of PostgreSQL's text for a value, as it
// prints with TimeZone UTC, DateStyle ISO and bytea_output hex (C9). JSON's form
// of timestamps is accepted too. False means that the text has no form here
// (a year before Christ, say): the caller must then widen.
func ParseValue(kind Kind, text string) (Value, bool) {
	switch kind {
	case KindInt:
		i, err := strconv.ParseInt(text, 10, 64)
		return IntValue(i), err == nil
	case KindBool:
		return BoolValue(text == "t" || text == "true"), text == "t" || text == "true" || text == "f" || text == "false"
	case KindUUID:
		return parseUUID(text)
	case KindDate:
		return parseTime(text, "2006-01-02", 24*time.Hour)
	case KindTimestamp, KindInstant:
		return parseStamp(kind, text)
	case KindBytes:
		raw, ok := strings.CutPrefix(text, `\x`)
		b, err := hex.DecodeString(raw)
		return Value(b), ok && err == nil
	case KindText, KindEnum:
		return Value(text), true
	}
	return "", false
}

func parseUUID(text string) (Value, bool) {
	b, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
	return Value(b), err == nil && len(b) == 16
}

func parseStamp(kind Kind, text string) (Value, bool) {
	text = strings.Replace(text, "T", " ", 1)
	layout := "2006-01-02 15:04:05.999999"
	if kind == KindInstant {
		layout += "Z07"
		text = strings.TrimSuffix(text, ":00") // "+00:00" in JSON, "+00" in text
		if !strings.HasSuffix(text, "infinity") && !strings.HasSuffix(text, "+00") {
			return "", false
		}
	}
	return parseTime(text, layout, time.Microsecond)
}

func parseTime(text, layout string, unit time.Duration) (Value, bool) {
	switch text {
	case "infinity":
		return IntValue(math.MaxInt64), true
	case "-infinity":
		return IntValue(math.MinInt64), true
	}
	t, err := time.Parse(layout, text)
	if err != nil || t.Nanosecond()%1000 != 0 { // PostgreSQL rounds, Go would cut
		return "", false
	}
	if unit == time.Microsecond {
		return IntValue(t.UnixMicro()), true
	}
	return IntValue(t.Unix() / 86400), true
}

// Text returns the value as ParseValue read it, for people. False means that the
// value is not of that kind.
func (v Value) Text(kind Kind) (string, bool) {
	b := []byte(v)
	switch kind {
	case KindText, KindEnum:
		return string(v), true
	case KindBool:
		return strconv.FormatBool(string(v) == "\x01"), len(b) == 1
	case KindUUID:
		if len(b) != 16 {
			return "", false
		}
		return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]), true
	case KindBytes:
		return `\x` + hex.EncodeToString(b), true
	case KindInt, KindDate, KindTimestamp, KindInstant:
		if len(b) != 8 {
			return "", false
		}
		return integerText(kind, int64(binary.BigEndian.Uint64(b)^(1<<63))), true
	}
	return "", false
}

func integerText(kind Kind, i int64) string {
	switch {
	case kind == KindInt:
		return strconv.FormatInt(i, 10)
	case i == math.MaxInt64:
		return "infinity"
	case i == math.MinInt64:
		return "-infinity"
	case kind == KindDate:
		return time.Unix(i*86400, 0).UTC().Format("2006-01-02")
	case kind == KindTimestamp:
		return time.UnixMicro(i).UTC().Format("2006-01-02 15:04:05.999999")
	}
	return time.UnixMicro(i).UTC().Format("2006-01-02 15:04:05.999999") + "+00"
}
