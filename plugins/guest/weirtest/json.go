package weirtest

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	weir "weir/plugins/guest"
	"weir/plugins/guest/internal/door"
)

// JSON outside has the names that the SDK gives to fields, which encoding/json
// does not know, and times and bytes as SQL's types have them.

var (
	timeType = reflect.TypeFor[time.Time]()
	jsonType = reflect.TypeFor[weir.JSON]()
	uuidType = reflect.TypeFor[[16]byte]()
)

// encodeArgs writes arguments as a client would: nil is an empty object, fields
// that a client cannot set are left out, and so are zero pointers and zeros that
// have a default.
func encodeArgs(args any) ([]byte, error) {
	if args == nil {
		return []byte("{}"), nil
	}
	return json.Marshal(plain(reflect.ValueOf(args), true))
}

// plain is a value that encoding/json writes as weir reads it.
func plain(v reflect.Value, arguments bool) any {
	switch {
	case v.Kind() == reflect.Pointer && v.IsNil(), v.Kind() == reflect.Interface && v.IsNil():
		return nil
	case v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface:
		return plain(v.Elem(), arguments)
	case v.Type() == timeType:
		return v.Interface()
	case v.Type() == jsonType:
		return json.RawMessage(v.String())
	case v.Kind() == reflect.Array && v.Type().ConvertibleTo(uuidType):
		return uuidText(v.Convert(uuidType).Interface().([16]byte))
	case v.Kind() == reflect.Struct:
		object := map[string]any{}
		eachField(v, func(f reflect.StructField, field reflect.Value) {
			name, settable := door.Field(f)
			omitted := !settable || field.Kind() == reflect.Pointer && field.IsNil() ||
				field.IsZero() && strings.Contains(f.Tag.Get("weir"), "default=")
			if name != "" && !(arguments && omitted) {
				object[name] = plain(field, false)
			}
		})
		return object
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() != reflect.Uint8:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = plain(v.Index(i), false)
		}
		return list
	}
	return v.Interface()
}

// eachField visits the fields of a struct, those of embedded structs as its own.
func eachField(v reflect.Value, visit func(reflect.StructField, reflect.Value)) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		switch {
		case f.Anonymous && f.Type.Kind() == reflect.Struct && f.Type != timeType && f.Tag == "":
			eachField(v.Field(i), visit)
		case f.IsExported():
			visit(f, v.Field(i))
		}
	}
}

// decodeInto reads JSON into the value that into points to.
func decodeInto(text []byte, into any) error {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return fmt.Errorf("it can be read into a pointer only, not into %T", into)
	}
	return decode(text, v.Elem())
}

func decode(text []byte, v reflect.Value) error {
	text = bytes.TrimSpace(text)
	null := string(text) == "null"
	switch {
	case v.Type() == jsonType:
		v.SetString(string(text))
		return nil
	case v.Type() == timeType:
		return decodeTime(text, v)
	case v.Kind() == reflect.Pointer:
		if null {
			v.SetZero()
			return nil
		}
		v.Set(reflect.New(v.Type().Elem()))
		return decode(text, v.Elem())
	case v.Kind() == reflect.Array && v.Type().ConvertibleTo(uuidType):
		return decodeUUID(text, v)
	case v.Kind() == reflect.Struct:
		return decodeStruct(text, v)
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() != reflect.Uint8:
		var parts []json.RawMessage
		if err := json.Unmarshal(text, &parts); err != nil {
			return mismatch(text, v)
		}
		v.Set(reflect.MakeSlice(v.Type(), len(parts), len(parts)))
		for i := range parts {
			if err := decode(parts[i], v.Index(i)); err != nil {
				return fmt.Errorf("element %d: %w", i, err)
			}
		}
		return nil
	}
	if json.Unmarshal(text, v.Addr().Interface()) != nil {
		return mismatch(text, v)
	}
	return nil
}

func decodeStruct(text []byte, v reflect.Value) error {
	var parts map[string]json.RawMessage
	if err := json.Unmarshal(text, &parts); err != nil {
		return mismatch(text, v)
	}
	var fault error
	eachField(v, func(f reflect.StructField, field reflect.Value) {
		name, _ := door.Field(f)
		part, ok := parts[name]
		if !ok || fault != nil {
			return
		}
		if err := decode(part, field); err != nil {
			fault = fmt.Errorf("%s: %w", name, err)
		}
	})
	return fault
}

func decodeTime(text []byte, v reflect.Value) error {
	var s string
	if string(text) == "null" || json.Unmarshal(text, &s) != nil {
		return mismatch(text, v)
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if at, err := time.Parse(layout, s); err == nil {
			v.Set(reflect.ValueOf(at))
			return nil
		}
	}
	return mismatch(text, v)
}

func decodeUUID(text []byte, v reflect.Value) error {
	var s string
	raw, err := []byte(nil), errors.New("no text")
	if json.Unmarshal(text, &s) == nil {
		raw, err = hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	}
	if err != nil || len(raw) != 16 {
		return mismatch(text, v)
	}
	v.Set(reflect.ValueOf([16]byte(raw)).Convert(v.Type()))
	return nil
}

func uuidText(id [16]byte) string {
	s := hex.EncodeToString(id[:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

func mismatch(text []byte, v reflect.Value) error {
	return fmt.Errorf("%s does not fit the Go type %s", text, v.Type())
}
