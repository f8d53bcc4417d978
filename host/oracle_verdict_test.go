package host

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// refusals count the statements that were not accepted, by reason. A generator
// whose statements are refused proves nothing.
type refusals struct {
	asked, accepted int
	invalid         int            // PostgreSQL itself does not take it
	because         map[string]int // why weir does not
	masked          []string       // statements over a materialized view that were accepted
}

// reasons are what sentences of refusal say, and the class of each.
var reasons = [][2]string{
	{"materialized view", "materialized view"},
	{"LIMIT", "no total order"},
	{"OFFSET", "no total order"},
	{"order", "no total order"},
	{"volatile", "volatile function"},
	{"out of sight", "function that reads"},
	{"clock", "clock"},
	{"catalog", "catalog or session"},
	{"two columns", "column names"},
	{"too many", "a limit"},
}

// note counts what came of a statement.
func (r *refusals) note(sql string, err error) {
	r.asked++
	if err == nil {
		if r.accepted++; strings.Contains(sql, " mv ") || strings.Contains(sql, " overmv ") {
			r.masked = append(r.masked, sql)
		}
		return
	}
	text := err.Error()
	if strings.Contains(text, "is refused by PostgreSQL") {
		r.invalid++
		return
	}
	if r.because == nil {
		r.because = map[string]int{}
	}
	for _, reason := range reasons {
		if strings.Contains(text, reason[0]) {
			r.because[reason[1]]++
			return
		}
	}
	r.because[text[:min(len(text), 90)]]++
}

func (r *refusals) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d statements drawn, %d are no SQL for PostgreSQL, %d %% of the others accepted", r.asked, r.invalid, r.share())
	for _, why := range slices.Sorted(maps.Keys(r.because)) {
		fmt.Fprintf(&b, "\n  refused %d times: %s", r.because[why], why)
	}
	return b.String()
}

// share is how many of a hundred valid statements weir takes.
func (r *refusals) share() int { return 100 * r.accepted / max(1, r.asked-r.invalid) }

// Check says whether the generator draws what weir takes (W10: and nothing else).
func (r *refusals) Check(t *testing.T) {
	t.Helper()
	if r.share() < 60 || r.invalid > r.asked/2 {
		t.Errorf("this proves too little: %v", r)
	}
	if len(r.masked) > 0 {
		t.Errorf("W10: accepted, though a refresh cannot be seen: %s", r.masked[0])
	}
}

// canonical is one text for a value that PostgreSQL printed.
func canonical(oid uint32, null bool, text string) string {
	if null {
		return "NULL"
	}
	switch oid {
	case 16:
		return text[:1]
	case 25: // which of equal ones DISTINCT shows is open
		if text == "P" {
			text = "p"
		}
	case 701:
		if f, err := strconv.ParseFloat(text, 64); err == nil {
			return fmt.Sprint(f + 0) // -0 + 0 is 0
		}
	case 869:
		text = strings.TrimSuffix(text, "/32")
	case 1042:
		text = strings.TrimRight(text, " ")
	case 1186:
		text = strings.NewReplacer("24:00:00", "1 day", "30 days", "1 mon").Replace(text)
	case 1700:
		text = strings.TrimSuffix(text, ".0")
	case 114, 3802:
		return canonicalDocument([]byte(text))
	case 1184:
		for _, layout := range []string{"2006-01-02 15:04:05.999999-07", time.RFC3339Nano} {
			if at, err := time.Parse(layout, text); err == nil {
				return at.UTC().Format(time.RFC3339Nano)
			}
		}
	}
	if item := arrays[oid]; item != 0 {
		var out []string
		for _, element := range elements(text) {
			out = append(out, canonical(item, element == nil, deref(element)))
		}
		return "{" + strings.Join(out, ",") + "}"
	}
	return fmt.Sprintf("%q", text)
}

// canonicalJSON is the text that canonical gives for a value, of the value in a frame.
func canonicalJSON(oid uint32, v any) string {
	switch {
	case v == nil && oid != 114 && oid != 3802:
		return "NULL"
	case oid == 114 || oid == 3802:
		if v == nil {
			return "NULL" // and the null of JSON too
		}
		text, err := json.Marshal(v)
		if err != nil {
			return err.Error()
		}
		return canonicalDocument(text)
	}
	if list, ok := v.([]any); ok {
		var out []string
		for _, element := range list {
			out = append(out, canonicalJSON(arrays[oid], element))
		}
		return "{" + strings.Join(out, ",") + "}"
	}
	return canonical(oid, false, fmt.Sprint(v))
}

// canonicalDocument is one text for equal JSON.
func canonicalDocument(text []byte) string {
	var v any
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		return fmt.Sprintf("%s: %v", text, err)
	}
	if v == nil {
		return "NULL"
	}
	out, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(out)
}

// arrays are the types of arrays that queries show, with those of their elements.
var arrays = map[uint32]uint32{1000: 16, 1005: 21, 1007: 23, 1009: 25, 1016: 20, 1015: 1043, 1231: 1700, 2951: 2950, 1182: 1082, 1185: 1184}

// elements splits the text of an array of one dimension. NULL is nil.
func elements(text string) (out []*string) {
	text = strings.TrimSuffix(strings.TrimPrefix(text, "{"), "}")
	var b strings.Builder
	quoted, inside := false, false
	end := func() {
		s := b.String()
		if !quoted && s == "NULL" {
			out = append(out, nil)
		} else if quoted || s != "" {
			out = append(out, &s)
		}
		b.Reset()
		quoted = false
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\':
			i++
			b.WriteByte(text[i])
		case c == '"':
			inside, quoted = !inside, true
		case c == ',' && !inside:
			end()
		default:
			b.WriteByte(c)
		}
	}
	end()
	return out
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// TestOracleReadsArraysAsPostgresWritesThem: the oracle's own reading, which two
// sides are compared by.
func TestOracleReadsArraysAsPostgresWritesThem(t *testing.T) {
	f := func(oid uint32, text, shown string) {
		t.Helper()
		var v any
		dec := json.NewDecoder(strings.NewReader(shown))
		dec.UseNumber()
		if err := dec.Decode(&v); err != nil {
			t.Fatal(err)
		}
		if got, want := canonicalJSON(oid, v), canonical(oid, false, text); got != want {
			t.Errorf("%s is %s, and %s is %s", shown, got, text, want)
		}
	}
	f(1007, `{1,NULL,-3}`, `[1,null,-3]`)
	f(1007, `{}`, `[]`)
	f(1009, `{x,"a,b","q\"\\z",NULL,"NULL",""}`, `["x","a,b","q\"\\z",null,"NULL",""]`)
	f(3802, `{"k": 1.0, "t": [true, null]}`, `{"t":[true,null],"k":1.0}`)
	f(25, `x`, `"x"`)
}
