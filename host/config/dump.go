package config

import (
	"bytes"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Dump writes the effective configuration as TOML: every key with its value and
// a comment that says where it comes from ("default", "set", or "from limits"
// for what a tenant inherits). Secrets are three stars (K4).
func (c *Config) Dump(w io.Writer) error {
	d := &dumper{config: c}
	d.table(reflect.ValueOf(*c), "", nil)
	_, err := w.Write(bytes.TrimLeft(d.out.Bytes(), "\n"))
	return err
}

type dumper struct {
	config *Config
	out    bytes.Buffer
}

// table writes the plain keys of a struct first and its tables after them, as
// TOML asks for. from names the limits that a tenant inherits.
func (d *dumper) table(v reflect.Value, prefix string, from []string) {
	fields := fieldsOf(v.Type())
	for _, fd := range fields {
		fv := v.Field(fd.index)
		if isTable(fv) || from != nil && fd.server {
			continue
		}
		if fd.twin != "" && !v.Field(fieldNamed(v.Type(), fd.twin).index).IsZero() {
			continue // the twin is written; the value came from there
		}
		d.line(fd, fv, joinKey(prefix, fd.key), from)
	}
	for _, fd := range fields {
		fv, key := v.Field(fd.index), joinKey(prefix, fd.key)
		switch {
		case !isTable(fv):
		case fv.Kind() == reflect.Struct:
			fmt.Fprintf(&d.out, "\n[%s]\n", key)
			d.table(fv, key, d.inherited(key))
		case fv.Kind() == reflect.Slice:
			for i := range fv.Len() {
				fmt.Fprintf(&d.out, "\n[[%s]]\n", key)
				d.table(fv.Index(i), fmt.Sprintf("%s[%d]", key, i), nil)
			}
		case fv.Type().Elem() == settingType:
			d.settings(fv.Interface().(map[string]Setting), key)
		default:
			for _, name := range namesOf(fv) {
				at := joinKey(key, name)
				fmt.Fprintf(&d.out, "\n[%s]\n", at)
				d.table(fv.MapIndex(reflect.ValueOf(name)), at, nil)
			}
		}
	}
}

// settings writes a plugin's configuration.
func (d *dumper) settings(list map[string]Setting, key string) {
	fmt.Fprintf(&d.out, "\n[%s]\n", key)
	for _, name := range namesOf(reflect.ValueOf(list)) {
		fmt.Fprintf(&d.out, "%-48s # set\n", quoteKey(name)+" = "+list[name].format())
	}
}

// namesOf returns the keys of a map, sorted.
func namesOf(m reflect.Value) []string {
	var names []string
	for _, name := range m.MapKeys() {
		names = append(names, name.String())
	}
	slices.Sort(names)
	return names
}

// inherited returns what the limits of a tenant take from [limits]; not nil for
// every tenant's limits, so that it also tells these from [limits] itself.
func (d *dumper) inherited(key string) []string {
	for name := range d.config.Tenant {
		if key == joinKey("tenant", name)+".limits" {
			return append([]string{}, d.config.from[name]...)
		}
	}
	return nil
}

func isTable(v reflect.Value) bool {
	elem := v.Kind() == reflect.Slice || v.Kind() == reflect.Map
	return v.Kind() == reflect.Struct || elem && v.Type().Elem().Kind() == reflect.Struct
}

func (d *dumper) line(fd field, v reflect.Value, key string, from []string) {
	mark := "default"
	switch {
	case slices.Contains(from, fd.key):
		mark = "from limits"
	case d.config.set[key]:
		mark = "set"
	}
	fmt.Fprintf(&d.out, "%-48s # %s\n", fd.key+" = "+format(fd, v), mark)
}

// format writes a value so that Parse reads the same one.
func format(fd field, v reflect.Value) string {
	switch {
	case v.Type() == secretType:
		return quote(Secret(v.String()).String())
	case v.Kind() == reflect.String:
		return quote(v.String())
	case v.Kind() == reflect.Bool:
		return strconv.FormatBool(v.Bool())
	case v.Kind() == reflect.Slice:
		list := make([]string, v.Len())
		for i := range list {
			list[i] = quote(v.Index(i).String())
		}
		return "[" + strings.Join(list, ", ") + "]"
	case v.Kind() == reflect.Map:
		var list []string
		for _, k := range v.MapKeys() {
			list = append(list, quoteKey(k.String())+" = "+format(fd, v.MapIndex(k)))
		}
		slices.Sort(list)
		if list == nil {
			return "{}"
		}
		return "{ " + strings.Join(list, ", ") + " }"
	}
	n := max(v.Int(), 0) // off is -1 inside and 0 in the file
	switch {
	case n == 0:
		return "0"
	case v.Type() == durationType:
		return quote(formatDuration(time.Duration(n)))
	case fd.size():
		return formatSize(n)
	}
	return strconv.FormatInt(n, 10)
}

// formatDuration is Duration.String without the zeros: "10m" for "10m0s".
func formatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func formatSize(n int64) string {
	for _, u := range []struct {
		name   string
		factor int64
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n%u.factor == 0 {
			return quote(fmt.Sprintf("%d %s", n/u.factor, u.name))
		}
	}
	return strconv.FormatInt(n, 10)
}

func quoteKey(s string) string {
	if bareKey.MatchString(s) {
		return s
	}
	return quoteText(s)
}

// quote writes a value; ${ is escaped, or Parse would expand it.
func quote(s string) string { return quoteText(strings.ReplaceAll(s, "${", "$${")) }

func quoteText(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range strings.ToValidUTF8(s, "\uFFFD") {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < 0x20 || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
