package weir

import (
	"reflect"
	"strings"
)

// fieldName is the name of a struct field outside Go: its json tag, else its
// name in lower snake case. "-" leaves the field out.
func fieldName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	if name == "" {
		return snake(f.Name)
	}
	return name
}

// snake writes a Go name in lower snake case: SentAt is sent_at, RoomID is
// room_id, HTTPServer is http_server, Line2 is line2.
func snake(name string) string {
	out := make([]byte, 0, len(name)+4)
	for i := 0; i < len(name); i++ {
		b := name[i]
		if upper(b) {
			afterLower := i > 0 && !upper(name[i-1]) && name[i-1] != '_'
			// The last capital of a run begins the next word: HTTPServer.
			endOfRun := i > 0 && upper(name[i-1]) && i+1 < len(name) && lower(name[i+1])
			if afterLower || endOfRun {
				out = append(out, '_')
			}
			b += 'a' - 'A'
		}
		out = append(out, b)
	}
	return string(out)
}

func upper(b byte) bool { return 'A' <= b && b <= 'Z' }
func lower(b byte) bool { return 'a' <= b && b <= 'z' }
