package config

import (
	"fmt"
	"math"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// decoder puts a parsed file into the structs of this package, collecting every
// error on its way.
type decoder struct {
	*faults
	getenv   func(string) string
	set      map[string]bool
	inTenant bool
}

// table reads the keys of one table into a struct.
func (d *decoder) table(raw map[string]any, v reflect.Value, prefix string) {
	fields := fieldsOf(v.Type())
	for _, name := range sortedKeys(raw) {
		key := joinKey(prefix, name)
		i := slices.IndexFunc(fields, func(fd field) bool { return fd.key == name })
		switch {
		case i < 0 && v.Type() == pluginType:
			d.at(key, "unknown key %s: what the plugin itself reads goes into [%s.config]", key, prefix)
		case i < 0 && d.inTenant && name == "url" && v.Type() == reflect.TypeFor[Tenant]():
			d.at(key, "%s: all tenants live in the database of database.url, whose change log is one: give the tenant a schema and a guest role there, or start another weir", key)
		case i < 0:
			d.unknown(key, name, prefix, fields)
		case d.inTenant && fields[i].server:
			d.at(key, "%s bounds the whole server: set it in [limits]", key)
		default:
			d.set[key] = true
			d.value(raw[name], v.Field(fields[i].index), key, fields[i])
		}
	}
	d.twins(raw, prefix, fields)
}

// twins refuses a secret that is given twice.
func (d *decoder) twins(raw map[string]any, prefix string, fields []field) {
	for _, fd := range fields {
		plain, file := raw[fd.key], raw[fd.twin]
		given := func(v any) bool { return v != nil && v != "" }
		if fd.twin != "" && given(plain) && given(file) {
			key := joinKey(prefix, fd.twin)
			d.at(key, "%s and %s are both set: keep one of them", joinKey(prefix, fd.key), key)
		}
	}
}

// unknown refuses a key and names the one that was probably meant: first in the
// same table, then one of that name in another table.
func (d *decoder) unknown(key, name, prefix string, fields []field) {
	names := make([]string, 0, len(fields))
	for _, fd := range fields {
		if !(d.inTenant && fd.server) {
			names = append(names, fd.key)
		}
	}
	if best := nearest(name, names); best != "" {
		d.at(key, "unknown key %s: did you mean %s?", key, joinKey(prefix, best))
		return
	}
	var elsewhere []string
	for _, full := range allKeys(reflect.TypeFor[Config](), "", false) {
		if full == name || strings.HasSuffix(full, "."+name) {
			elsewhere = append(elsewhere, full)
		}
	}
	switch {
	case len(elsewhere) > 0:
		d.at(key, "unknown key %s: did you mean %s?", key, strings.Join(elsewhere[:min(3, len(elsewhere))], " or "))
	default:
		d.at(key, "unknown key %s: remove it, or use one of %s", key, strings.Join(names, ", "))
	}
}

// value reads one value into one field.
func (d *decoder) value(raw any, v reflect.Value, key string, fd field) {
	switch v.Kind() {
	case reflect.String:
		if s, ok := d.text(raw, key); ok {
			v.SetString(s)
		}
	case reflect.Bool:
		b, ok := raw.(bool)
		if !ok {
			d.wrong(raw, key, "true or false")
		}
		v.SetBool(b)
	case reflect.Int, reflect.Int64:
		d.number(raw, v, key, fd)
	case reflect.Struct:
		if v.Type() == settingType {
			v.Set(reflect.ValueOf(d.setting(raw, key)))
		} else if m, ok := raw.(map[string]any); ok {
			d.table(m, v, key)
		} else {
			d.wrong(raw, key, "a table")
		}
	case reflect.Slice:
		d.list(raw, v, key)
	case reflect.Map:
		d.mapping(raw, v, key)
	default:
		panic("BUG: config field of kind " + v.Kind().String())
	}
}

func (d *decoder) list(raw any, v reflect.Value, key string) {
	if v.Type().Elem().Kind() == reflect.String {
		if list, ok := d.texts(raw, key); ok {
			v.Set(reflect.ValueOf(list))
		}
		return
	}
	var items []any
	switch list := raw.(type) {
	case []any:
		items = list
	case []map[string]any:
		for _, m := range list {
			items = append(items, m)
		}
	default:
		d.wrong(raw, key, "a list of tables")
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(items), len(items)))
	for i, item := range items {
		at := fmt.Sprintf("%s[%d]", key, i)
		if m, ok := item.(map[string]any); ok {
			d.table(m, v.Index(i), at)
		} else {
			d.wrong(item, at, "a table")
		}
	}
}

func (d *decoder) mapping(raw any, v reflect.Value, key string) {
	m, ok := raw.(map[string]any)
	switch _, text := raw.(string); {
	case text && v.Type().Elem() == pluginType:
		d.at(key, "%s is a string: the directory is %ss, and [%s.NAME.config] what a plugin reads", key, key, key)
		return
	case !ok:
		d.wrong(raw, key, "a table")
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	for _, name := range sortedKeys(m) {
		at, elem := joinKey(key, name), reflect.New(v.Type().Elem()).Elem()
		d.set[at] = true
		if elem.Type() == reflect.TypeFor[Tenant]() {
			setDefaults(elem)
			// [limits] is inherited after reading: a default here would hide it.
			elem.FieldByName("Limits").SetZero()
			d.inTenant = true
			d.value(m[name], elem, at, field{})
			d.inTenant = false
			elem.FieldByName("Name").SetString(name)
		} else {
			if elem.Type() == pluginType {
				setDefaults(elem)
			}
			d.value(m[name], elem, at, field{})
		}
		v.SetMapIndex(reflect.ValueOf(name), elem)
	}
}

// text reads a string and expands its variables.
func (d *decoder) text(raw any, key string) (string, bool) {
	s, ok := raw.(string)
	if !ok {
		d.wrong(raw, key, "a string")
		return "", false
	}
	return d.expand(s, key)
}

func (d *decoder) texts(raw any, key string) ([]string, bool) {
	items, ok := raw.([]any)
	if !ok {
		d.wrong(raw, key, `a list of strings, such as ["a", "b"]`)
		return nil, false
	}
	list := make([]string, 0, len(items))
	for i, item := range items {
		s, ok := d.text(item, fmt.Sprintf("%s[%d]", key, i))
		if !ok {
			return nil, false
		}
		list = append(list, s)
	}
	return list, true
}

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// expand replaces ${NAME}; $${ stands for ${ and any other $ for itself. What a
// variable holds is not expanded again (K3).
func (d *decoder) expand(s, key string) (string, bool) {
	var b strings.Builder
	ok := true
	for {
		before, rest, found := strings.Cut(s, "${")
		if !found {
			b.WriteString(s)
			return b.String(), ok
		}
		if strings.HasSuffix(before, "$") {
			b.WriteString(before[:len(before)-1] + "${")
			s = rest
			continue
		}
		b.WriteString(before)
		name, after, closed := strings.Cut(rest, "}")
		if !closed || !variable.MatchString(name) {
			d.at(key, "%s has a ${ without a variable's name and }: write ${NAME}, or $${ for the characters themselves", key)
			return "", false
		}
		value := d.getenv(name)
		if value == "" {
			d.at(key, "%s uses ${%s}, which is not set: set the environment variable %s", key, name, name)
			ok = false
		} else {
			d.used[key] = append(d.used[key], variableUse{name, value})
		}
		b.WriteString(value)
		s = after
	}
}

// number reads an integer, a size or a duration. 0 becomes -1 where it means off
// (K5), so that it differs from a limit that is not set.
func (d *decoder) number(raw any, v reflect.Value, key string, fd field) {
	n, ok := d.parseNumber(raw, v, key, fd)
	switch {
	case !ok:
	case n > 0:
		v.SetInt(n)
	case n == 0 && fd.off:
		v.SetInt(-1)
	case fd.off:
		d.at(key, "%s is negative: write 0 to switch it off", key)
	default:
		d.at(key, "%s must be above 0: it cannot be switched off", key)
	}
}

func (d *decoder) parseNumber(raw any, v reflect.Value, key string, fd field) (int64, bool) {
	n, isInt := raw.(int64)
	if isInt && (v.Type() != durationType || n == 0 && fd.off) {
		return n, true
	}
	s, isText := raw.(string)
	want := "a whole number"
	switch {
	case v.Type() == durationType:
		want = `a duration, such as "5s" or "200ms"`
	case fd.size():
		want = `a size, such as "4 MiB", or a number of bytes`
	}
	if !isText || v.Type() != durationType && !fd.size() {
		d.wrong(raw, key, want)
		return 0, false
	}
	s, ok := d.expand(s, key)
	if !ok {
		return 0, false
	}
	var err error
	if v.Type() == durationType {
		var dur time.Duration
		dur, err = time.ParseDuration(strings.ReplaceAll(s, " ", ""))
		n = int64(dur)
	} else {
		n, err = parseSize(s)
	}
	if err != nil {
		d.at(key, "%s is %q: write %s", key, s, want)
		return 0, false
	}
	return n, true
}

// size reports whether the key counts bytes.
func (fd field) size() bool {
	return strings.HasSuffix(fd.key, "_bytes") || fd.key == "write_rate" || fd.key == "guest_log_rate"
}

// wrong refuses a value of another type.
func (d *decoder) wrong(raw any, key, want string) {
	d.at(key, "%s is %s: write %s", key, kindOf(raw), want)
}

func kindOf(raw any) string {
	switch raw.(type) {
	case string:
		return "a string"
	case int64, float64:
		return "a number"
	case bool:
		return "true or false"
	case map[string]any:
		return "a table"
	case []any, []map[string]any:
		return "a list"
	case time.Time:
		return "a date"
	}
	return "of another type"
}

var units = []struct {
	name   string
	factor int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}, {"", 1},
}

// parseSize reads "4 MiB", "4MiB" or "4096".
func parseSize(s string) (int64, error) {
	for _, u := range units {
		digits, ok := strings.CutSuffix(s, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil {
			return 0, err
		}
		if n > math.MaxInt64/u.factor {
			return 0, strconv.ErrRange
		}
		return n * u.factor, nil
	}
	return 0, strconv.ErrSyntax
}

func sortedKeys(m map[string]any) []string {
	list := make([]string, 0, len(m))
	for k := range m {
		list = append(list, k)
	}
	slices.Sort(list)
	return list
}

// resolve fills in what depends on other values: paths against the file's
// directory, the tenants' limits, schemas and, without any tenant, the plugins
// of the only one.
func (c *Config) resolve(dir string) {
	if c.Plugins == "" && len(c.Tenant) == 0 {
		c.Plugins = "plugins"
	}
	resolvePaths(reflect.ValueOf(c).Elem(), dir)
	for name, t := range c.Tenant {
		resolvePaths(reflect.ValueOf(&t).Elem(), dir)
		c.inherit(&t)
		if t.Schema == "" {
			t.Schema = name
		}
		c.Tenant[name] = t
	}
}

// inherit copies the limits that a tenant does not set.
func (c *Config) inherit(t *Tenant) {
	own, all := reflect.ValueOf(&t.Limits).Elem(), reflect.ValueOf(c.Limits)
	for _, fd := range fieldsOf(own.Type()) {
		if own.Field(fd.index).IsZero() {
			own.Field(fd.index).Set(all.Field(fd.index))
			c.from[t.Name] = append(c.from[t.Name], fd.key)
		}
	}
}

func resolvePaths(v reflect.Value, dir string) {
	for _, fd := range fieldsOf(v.Type()) {
		fv := v.Field(fd.index)
		switch {
		case fv.Kind() == reflect.Struct:
			resolvePaths(fv, dir)
		case fv.Kind() == reflect.Slice && fv.Type().Elem().Kind() == reflect.Struct:
			for i := range fv.Len() {
				resolvePaths(fv.Index(i), dir)
			}
		case fd.path && fv.Kind() == reflect.Slice:
			for i := range fv.Len() {
				fv.Index(i).SetString(resolvePath(dir, fv.Index(i).String()))
			}
		case fd.path:
			fv.SetString(resolvePath(dir, fv.String()))
		}
	}
}

func resolvePath(dir, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}
