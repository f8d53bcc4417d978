package config

import (
	"log/slog"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Plugin is one [plugin.NAME]: what the operator tells a plugin.
type Plugin struct {
	// Instances says how an instance that ran a call is used again: "pristine" (made
	// what it was before), "batch" (only when no call waits) or "sticky" (never).
	Instances string `toml:"instances" default:"pristine"`
	// Config is [plugin.NAME.config]: a flat table of strings, whole numbers,
	// numbers and booleans. The plugin's functions read it by key.
	Config map[string]Setting `toml:"config"`
}

// Settings returns the values by key, to be handed to the plugin and to nobody
// else. The caller owns the map; it is nil when there are none.
func (p Plugin) Settings() map[string]string {
	var values map[string]string
	for key, s := range p.Config {
		if values == nil {
			values = make(map[string]string, len(p.Config))
		}
		values[key] = s.Reveal()
	}
	return values
}

// Setting is one value of a plugin's configuration. One that a variable is part
// of is taken for a secret and prints as three stars in every format (K4).
type Setting struct {
	text    string
	literal bool // written without quotes: a number or a boolean
	secret  bool
}

// Reveal returns the value as a plugin gets it: a string as it stands, else the
// number, true or false.
func (s Setting) Reveal() string { return s.text }

// String returns the value, or three stars for a secret.
func (s Setting) String() string {
	if s.secret {
		return stars
	}
	return s.text
}

// GoString is String, for %#v.
func (s Setting) GoString() string { return strconv.Quote(s.String()) }

// MarshalText is String, for encoders.
func (s Setting) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue is String, for logs.
func (s Setting) LogValue() slog.Value { return slog.StringValue(s.String()) }

var (
	pluginType  = reflect.TypeFor[Plugin]()
	settingType = reflect.TypeFor[Setting]()
)

const (
	// maxSettingKey is the longest key that a plugin can ask for, in bytes.
	maxSettingKey = 255
	// maxSetting bounds a value, so that plugins know how much to expect.
	maxSetting = 64 << 10
)

// setting reads one value of a plugin's configuration.
func (d *decoder) setting(raw any, key string) Setting {
	s := Setting{literal: true}
	switch x := raw.(type) {
	case string:
		s.text, _ = d.expand(x, key)
		s.literal, s.secret = false, len(d.used[key]) > 0
	case bool:
		s.text = strconv.FormatBool(x)
	case int64:
		s.text = strconv.FormatInt(x, 10)
	case float64:
		if math.IsInf(x, 0) || math.IsNaN(x) {
			d.at(key, "%s is not finite: write a number, or a string", key)
			return s
		}
		// A point or an exponent keeps what was a float one, for Dump.
		if s.text = strconv.FormatFloat(x, 'g', -1, 64); !strings.ContainsAny(s.text, ".e") {
			s.text += ".0"
		}
	default:
		d.wrong(raw, key, "a string, a number, or true or false")
	}
	return s
}

// format writes the setting as the file has it.
func (s Setting) format() string {
	if s.literal && !s.secret {
		return s.text
	}
	return quote(s.String())
}

// pluginName is what a manifest may call a plugin.
var pluginName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,127}$`)

func validatePluginConfigs(f *faults, prefix string, plugins map[string]Plugin) {
	for name, p := range plugins {
		at := joinKey(joinKey(prefix, "plugin"), name)
		if !pluginName.MatchString(name) {
			f.at(at, "%s: %q is no name of a plugin: write the one in its manifest, of small letters, digits, _ and -", at, name)
		}
		if !slices.Contains([]string{"pristine", "batch", "sticky"}, p.Instances) {
			f.at(at+".instances", `%s.instances is %q: write "pristine" if no call may see what another left, "batch" if calls of a burst may, or "sticky" if all may`, at, p.Instances)
		}
		for key, s := range p.Config {
			where := joinKey(at+".config", key)
			switch {
			case key == "" || len(key) > maxSettingKey:
				f.at(where, "%s.config has a key of %d bytes: use 1 to %d", at, len(key), maxSettingKey)
			case len(s.text) > maxSetting:
				f.at(where, "%s has %d bytes, more than %d KiB: shorten it", where, len(s.text), maxSetting>>10)
			}
		}
	}
}
