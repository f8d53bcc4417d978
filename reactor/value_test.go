package reactor

import (
	"cmp"
	"fmt"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParseValue(t *testing.T) {
	t.Parallel()
	f := func(kind Kind, text string, want Value, ok bool) {
		t.Helper()
		got, is := ParseValue(kind, text)
		if is != ok || ok && got != want {
			t.Errorf("ParseValue(%d, %q) = %q, %v, want %q, %v", kind, text, got, is, want, ok)
		}
	}
	f(KindInt, "-9223372036854775808", IntValue(math.MinInt64), true)
	f(KindInt, "9223372036854775807", IntValue(math.MaxInt64), true)
	f(KindInt, "9223372036854775808", "", false)
	f(KindInt, "1.0", "", false)
	f(KindBool, "t", "\x01", true)
	f(KindBool, "false", "\x00", true)
	f(KindBool, "yes", "", false)
	f(KindUUID, "00000000-0000-0000-0000-0000000000ff", UUIDValue([16]byte{15: 255}), true)
	f(KindUUID, "00000000-0000-0000-0000-0000000000FF", UUIDValue([16]byte{15: 255}), true)
	f(KindUUID, "00000000", "", false)
	f(KindDate, "1970-01-02", DateValue(1), true)
	f(KindDate, "1969-12-31", DateValue(-1), true)
	f(KindDate, "infinity", DateValue(math.MaxInt64), true)
	f(KindDate, "0044-03-15 BC", "", false)
	f(KindTimestamp, "1970-01-01 00:00:00.5", TimeValue(500000), true)
	f(KindTimestamp, "1970-01-01T00:00:00.000001", TimeValue(1), true)
	f(KindTimestamp, "1969-12-31 23:59:59.999999", TimeValue(-1), true)
	f(KindTimestamp, "-infinity", TimeValue(math.MinInt64), true)
	f(KindInstant, "1970-01-01 00:00:01+00", TimeValue(1000000), true)
	f(KindInstant, "1970-01-01T00:00:01+00:00", TimeValue(1000000), true)
	f(KindInstant, "infinity", TimeValue(math.MaxInt64), true)
	f(KindBytes, `\xdeadBEEF`, Value("\xde\xad\xbe\xef"), true)
	f(KindBytes, "deadbeef", "", false)
	f(KindText, "ÄÖ", "ÄÖ", true)
	f(KindNone, "1", "", false)

	// PostgreSQL rounds to microseconds and Go cuts: not the same value.
	f(KindTimestamp, "1970-01-01 00:00:00.0000009", "", false)
	f(KindInstant, "1970-01-01 00:00:00.0000009+00", "", false)
	// Another time than it says in UTC, or none.
	f(KindInstant, "1970-01-01 00:00:01+05", "", false)
	f(KindInstant, "1970-01-01 00:00:01", "", false)
	f(KindInstant, "1970-01-01 00:00:00", "", false)
}

// The canonical forms of an ordered kind sort as its values do, and equal values
// have equal forms: ranges in read sets depend on it.
func TestCanonicalOrder(t *testing.T) {
	t.Parallel()
	check := func(t *rapid.T, what string, a, b Value, want int) {
		if got := cmp.Compare(a, b); got != want {
			t.Fatalf("%s: order %d, want %d", what, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Int64().Draw(t, "a"), rapid.Int64().Draw(t, "b")
		check(t, "int", IntValue(a), IntValue(b), cmp.Compare(a, b))

		const year = 365 * 24 * 3600 * 1e6
		stamp := rapid.Int64Range(-1900*year, 7000*year)
		a, b = stamp.Draw(t, "stamp"), stamp.Draw(t, "other stamp")
		text := func(kind Kind, layout string, micros int64) Value {
			v, ok := ParseValue(kind, time.UnixMicro(micros).UTC().Format(layout))
			if !ok {
				t.Fatalf("%d has no form", micros)
			}
			return v
		}
		const plain = "2006-01-02 15:04:05.999999"
		check(t, "timestamp", text(KindTimestamp, plain, a), text(KindTimestamp, plain, b), cmp.Compare(a, b))
		check(t, "instant", text(KindInstant, plain+"+00", a), TimeValue(a), 0)
		day := func(micros int64) int64 { return int64(math.Floor(float64(micros) / 86400e6)) }
		check(t, "date", text(KindDate, "2006-01-02", a), text(KindDate, "2006-01-02", b), cmp.Compare(day(a), day(b)))

		x, y := rapid.SliceOf(rapid.Byte()).Draw(t, "x"), rapid.SliceOf(rapid.Byte()).Draw(t, "y")
		form := func(raw []byte) Value { v, _ := ParseValue(KindBytes, fmt.Sprintf(`\x%x`, raw)); return v }
		check(t, "bytes", form(x), form(y), cmp.Compare(string(x), string(y)))
	})
}

func FuzzParseValue(f *testing.F) {
	f.Add(uint8(KindInstant), "2024-01-01 00:00:00.123456+00")
	f.Add(uint8(KindDate), "-infinity")
	f.Add(uint8(KindBytes), `\x00`)
	f.Fuzz(func(t *testing.T, kind uint8, text string) {
		v, ok := ParseValue(Kind(kind), text)
		if want := map[Kind]int{KindInt: 8, KindBool: 1, KindUUID: 16, KindDate: 8, KindTimestamp: 8, KindInstant: 8}[Kind(kind)]; ok && want > 0 && len(v) != want {
			t.Errorf("%q has the form %x", text, v)
		}
	})
}

// TestValueIsToldAsItWasRead: who asks why sees what PostgreSQL printed.
func TestValueIsToldAsItWasRead(t *testing.T) {
	t.Parallel()
	f := func(kind Kind, text string) {
		t.Helper()
		v, ok := ParseValue(kind, text)
		got, told := v.Text(kind)
		if !ok || !told || got != text {
			t.Errorf("%q is told as %q (%v, %v)", text, got, ok, told)
		}
	}
	f(KindInt, "-7")
	f(KindInt, "9223372036854775806")
	f(KindBool, "true")
	f(KindBool, "false")
	f(KindUUID, "01234567-89ab-cdef-0123-456789abcdef")
	f(KindDate, "2024-02-29")
	f(KindDate, "-infinity")
	f(KindTimestamp, "2024-02-29 12:34:56.789")
	f(KindInstant, "2024-02-29 12:34:56+00")
	f(KindBytes, `\x00ff`)
	f(KindText, "ann")
	if text, ok := Value("short").Text(KindUUID); ok {
		t.Errorf("five bytes are told as the UUID %s", text)
	}
}
