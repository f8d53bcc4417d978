package config

import (
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// field is one key of a table: what the tags of a struct field say.
type field struct {
	key    string
	index  int
	deflt  string
	off    bool   // 0 is allowed and means off
	path   bool   // resolved against the file's directory
	server bool   // not allowed in a tenant
	twin   string // the key of the _file that may hold the value
}

// fieldsOf returns the keys of a struct in the order of its fields.
func fieldsOf(t reflect.Type) []field {
	list := make([]field, 0, t.NumField())
	for i := range t.NumField() {
		tag := t.Field(i).Tag
		key := tag.Get("toml")
		if key == "" || key == "-" {
			continue
		}
		list = append(list, field{
			key: key, index: i, deflt: tag.Get("default"), off: tag.Get("off") != "",
			path: tag.Get("path") != "", server: tag.Get("scope") == "server", twin: tag.Get("file"),
		})
	}
	return list
}

func fieldNamed(t reflect.Type, key string) field {
	list := fieldsOf(t)
	i := slices.IndexFunc(list, func(fd field) bool { return fd.key == key })
	if i < 0 {
		panic("BUG: no field for key " + key)
	}
	return list[i]
}

var bareKey = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// joinKey appends a name to a key path as one would write it in the file.
func joinKey(prefix, name string) string {
	if !bareKey.MatchString(name) {
		name = strconv.Quote(name)
	}
	if prefix == "" {
		return name
	}
	return prefix + "." + name
}

// setDefaults fills in the defaults of a struct and of the structs in it.
func setDefaults(v reflect.Value) {
	for _, fd := range fieldsOf(v.Type()) {
		fv := v.Field(fd.index)
		if fv.Kind() == reflect.Struct {
			setDefaults(fv)
			continue
		}
		if fd.deflt == "" {
			continue
		}
		switch {
		case fd.deflt == "cores":
			fv.SetInt(int64(max(1, runtime.GOMAXPROCS(0)-1)))
		case fv.Kind() == reflect.String:
			fv.SetString(fd.deflt)
		case fv.Type() == durationType:
			fv.SetInt(int64(must(time.ParseDuration(fd.deflt))))
		default:
			fv.SetInt(must(parseSize(fd.deflt)))
		}
	}
}

// must is for the tags of this package: a wrong one is our own bug.
func must[T any](v T, err error) T {
	if err != nil {
		panic("BUG: default of a config field: " + err.Error())
	}
	return v
}

var (
	durationType = reflect.TypeFor[time.Duration]()
	secretType   = reflect.TypeFor[Secret]()
)

// allKeys lists every key path of the file, for nearest names. A tenant's name
// is not known here and stands as NAME.
func allKeys(t reflect.Type, prefix string, inTenant bool) []string {
	var list []string
	for _, fd := range fieldsOf(t) {
		key, ft := joinKey(prefix, fd.key), t.Field(fd.index).Type
		if inTenant && fd.server {
			continue
		}
		list = append(list, key)
		switch {
		case ft.Kind() == reflect.Struct:
			list = append(list, allKeys(ft, key, inTenant)...)
		case ft.Kind() == reflect.Map && ft.Elem().Kind() == reflect.Struct:
			list = append(list, allKeys(ft.Elem(), key+".NAME", true)...)
		}
	}
	return list
}

// nearest returns the candidate that name was probably meant to be, or "".
func nearest(name string, candidates []string) string {
	best, bestDistance := "", len(name)/3+1
	for _, c := range candidates {
		if d := distance(strings.ToLower(name), strings.ToLower(c), bestDistance); d <= bestDistance && (best == "" || d < bestDistance) {
			best, bestDistance = c, d
		}
	}
	return best
}

// distance counts the letters to insert, remove, replace or swap to turn a into
// b. Over limit it returns limit+1, so that a long key costs nothing.
func distance(a, b string, limit int) int {
	if len(a)-len(b) > limit || len(b)-len(a) > limit {
		return limit + 1
	}
	before, prev, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(prev[j]+1, row[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, prev, row = prev, row, before
	}
	return min(prev[len(b)], limit+1)
}
