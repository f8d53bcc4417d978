package weir

import (
	"strconv"
	"time"

	"weir/abi"
)

// Debug writes a line to the operator's log. Pairs are names and values, as in
// log/slog:
//
//	c.Info("posted", "room", a.Room, "bytes", len(a.Body))
func (c *Call) Debug(message string, pairs ...any) { c.log(abi.LogDebug, line(message, pairs)) }

// Info writes a line; see Debug.
func (c *Call) Info(message string, pairs ...any) { c.log(abi.LogInfo, line(message, pairs)) }

// Warn writes a line; see Debug.
func (c *Call) Warn(message string, pairs ...any) { c.log(abi.LogWarn, line(message, pairs)) }

// Error writes a line; see Debug.
func (c *Call) Error(message string, pairs ...any) { c.log(abi.LogError, line(message, pairs)) }

// line joins a message and its pairs without fmt, which would add a third to
// the module's size.
func line(message string, pairs []any) string {
	if len(pairs) == 0 {
		return message
	}
	out := []byte(message)
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, ' ')
		if i+1 == len(pairs) {
			return string(appendAny(append(out, "!value="...), pairs[i]))
		}
		out = append(appendAny(out, pairs[i]), '=')
		out = appendAny(out, pairs[i+1])
	}
	return string(out)
}

func appendAny(dst []byte, value any) []byte {
	switch x := value.(type) {
	case nil:
		return append(dst, "nil"...)
	case string:
		return appendWord(dst, x)
	case bool:
		return strconv.AppendBool(dst, x)
	case int:
		return strconv.AppendInt(dst, int64(x), 10)
	case int32:
		return strconv.AppendInt(dst, int64(x), 10)
	case int64:
		return strconv.AppendInt(dst, x, 10)
	case uint64:
		return strconv.AppendUint(dst, x, 10)
	case float64:
		return strconv.AppendFloat(dst, x, 'g', -1, 64)
	case time.Time:
		return x.AppendFormat(dst, time.RFC3339Nano)
	case error:
		return appendWord(dst, x.Error())
	case interface{ String() string }:
		return appendWord(dst, x.String())
	}
	return append(dst, '?')
}

// appendWord quotes what would not read as one word.
func appendWord(dst []byte, s string) []byte {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == '"' || s[i] == '=' || s[i] == 0x7f {
			return strconv.AppendQuote(dst, s)
		}
	}
	return append(dst, s...)
}
