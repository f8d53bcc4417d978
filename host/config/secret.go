package config

import "log/slog"

// Secret is a value that must not be printed. Every way of formatting it gives
// three stars, or nothing when it is empty; Reveal gives the value.
type Secret string

const stars = "***"

// Reveal returns the value, to be handed to what needs it and nowhere else.
func (s Secret) Reveal() string { return string(s) }

// String returns three stars, or "" when there is no value.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return stars
}

// GoString is String, for %#v.
func (s Secret) GoString() string { return `"` + s.String() + `"` }

// MarshalText is String, for encoders.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue is String, for logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
