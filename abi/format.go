package abi

import (
	"strings"
	"time"
)

// parseUUID returns a uuid in lower case.
func parseUUID(s string) (string, bool) {
	if len(s) != 36 {
		return s, false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return s, false
			}
		case c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f':
		default:
			return s, false
		}
	}
	return strings.ToLower(s), true
}

// isDate reports whether s is a day of the calendar from year 1 to 9999, as
// 2026-01-31.
func isDate(s string) bool {
	_, _, _, ok := parseDate(s)
	return ok
}

func parseDate(s string) (year, month, day int, ok bool) {
	if len(s) != 10 || s[4] != '-' || s[7] != '-' {
		return 0, 0, 0, false
	}
	year, month, day = number(s[:4]), number(s[5:7]), number(s[8:])
	if year < 1 || month < 1 || month > 12 || day < 1 {
		return 0, 0, 0, false
	}
	// Day 0 of the next month is the last of this one.
	last := time.Date(year, time.Month(month)+1, 0, 0, 0, 0, 0, time.UTC).Day()
	return year, month, day, day <= last
}

// parseTime returns an RFC 3339 time in UTC with microseconds, which is how the
// wire writes a timestamptz; more digits are cut, as PostgreSQL could not keep
// them. Leap seconds and years beyond 1 to 9999 are refused.
func parseTime(s string) (string, bool) {
	if len(s) < len("2026-01-31T09:30:00Z") || s[10]|0x20 != 't' || s[13] != ':' || s[16] != ':' {
		return s, false
	}
	year, month, day, ok := parseDate(s[:10])
	hour, minute, second := number(s[11:13]), number(s[14:16]), number(s[17:19])
	if !ok || !within(hour, 23) || !within(minute, 59) || !within(second, 59) {
		return s, false
	}
	rest, nanos := s[19:], 0
	if rest[0] == '.' {
		n := 1
		for scale := 100_000_000; n < len(rest) && rest[n] >= '0' && rest[n] <= '9'; n++ {
			nanos += int(rest[n]-'0') * scale
			scale /= 10
		}
		if n == 1 || n > 10 {
			return s, false
		}
		rest = rest[n:]
	}
	offset, ok := parseZone(rest)
	if !ok {
		return s, false
	}
	t := time.Date(year, time.Month(month), day, hour, minute, second, nanos, time.UTC)
	t = t.Add(-offset).Truncate(time.Microsecond)
	if t.Year() < 1 || t.Year() > 9999 {
		return s, false
	}
	return t.Format("2006-01-02T15:04:05.000000Z"), true
}

// parseZone reads Z or an offset like +02:00.
func parseZone(s string) (time.Duration, bool) {
	if s == "Z" || s == "z" {
		return 0, true
	}
	if len(s) != 6 || s[3] != ':' || s[0] != '+' && s[0] != '-' {
		return 0, false
	}
	hour, minute := number(s[1:3]), number(s[4:])
	if !within(hour, 23) || !within(minute, 59) {
		return 0, false
	}
	offset := time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute
	if s[0] == '-' {
		offset = -offset
	}
	return offset, true
}

// parseDecimal returns a decimal number with one spelling: no zeros in front,
// no sign on zero. Zeros at the end stay: they are the scale of a numeric.
// Exponents are refused, because a short text could mean a huge number.
func parseDecimal(s string) (string, bool) {
	digits, neg := strings.CutPrefix(s, "-")
	whole, part, point := strings.Cut(digits, ".")
	if whole == "" || !allDigits(whole) || point && (part == "" || !allDigits(part)) {
		return s, false
	}
	if whole = strings.TrimLeft(whole, "0"); whole == "" {
		whole = "0"
	}
	if neg && strings.Trim(whole+part, "0") != "" {
		whole = "-" + whole
	}
	if point {
		whole += "." + part
	}
	return whole, true
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// number reads a few digits; it returns -1 for anything else.
func number(s string) int {
	if s == "" || !allDigits(s) {
		return -1
	}
	n := 0
	for i := range len(s) {
		n = n*10 + int(s[i]-'0')
	}
	return n
}

func within(n, most int) bool { return n >= 0 && n <= most }
