package host

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"weir/abi"
	"weir/host/plugin"
	"weir/host/tenant"
	"weir/reactor"
)

// sharing makes calls that are nearly the same, in many spellings. What a call
// means is written down beside it, in a form that is made without any code of
// weir, so that it can be told which calls may share a group and which must (W4).
type sharing struct {
	rand  *rand.Rand // chooses what is meant
	style *rand.Rand // chooses how it is spelt
	space [2]*space
	fn    [2]*plugin.Function
}

// Values that look alike.
var (
	alikeTexts  = []string{"", "1", "1.0", "null", "a", "ab", "\u00e9", "e\u0301", "ＡＢ", "\x01", "[]", "{\"a\":1}", "true"}
	alikeInts   = []string{"0", "1", "-1", "10", "9007199254740992", "9007199254740993", "9223372036854775807"}
	alikeFloats = []string{"0.5", "1.5", "-1.5", "1e300", "10.25"}
)

func newSharing(seed, style uint64) *sharing {
	s := &sharing{rand: rand.New(rand.NewPCG(seed, 7)), style: rand.New(rand.NewPCG(style, 8))}
	minimum := 0.0
	fn := func(name string) *plugin.Function {
		return &plugin.Function{
			Function: &abi.Function{
				Name: name, Kind: abi.Query,
				Fields: []abi.Field{
					{Name: "i", Schema: abi.Schema{Type: "integer"}},
					{Name: "f", Schema: abi.Schema{Type: "number"}},
					{Name: "s", Schema: abi.Schema{Type: "string"}},
					{Name: "ss", Schema: abi.Schema{Type: "string", Optional: true}},
					{Name: "any", Schema: abi.Schema{Optional: true}},
					{Name: "d", Schema: abi.Schema{Type: "integer", Default: ptr(abi.Int(7)), Min: &minimum}},
					{Name: "list", Schema: abi.Schema{Type: "array", Optional: true, Items: &abi.Schema{Type: "string"}}},
				},
				Claims: []abi.Claim{{Name: "org", Claim: "org", Schema: abi.Schema{Type: "string"}}},
				Scope:  []abi.Field{{Name: "team", Schema: abi.Schema{}}},
			},
			Plugin: &plugin.Plugin{Digest: [32]byte{byte(len(name))}, Manifest: &abi.Manifest{Name: "p"}},
		}
	}
	s.fn = [2]*plugin.Function{fn("q"), fn("qq")}
	for i, name := range []string{"a", "ab"} {
		s.space[i] = &space{tenant: &tenant.Tenant{Name: name}, rooms: &rooms{role: "r"}, version: "v"}
	}
	return s
}

func ptr[T any](v T) *T { return &v }

func (s *sharing) pick(list ...string) string { return list[s.rand.IntN(len(list))] }

func (s *sharing) spelling(list ...string) string { return list[s.style.IntN(len(list))] }

// member is one JSON value: one of its spellings, and what it means.
type member struct{ text, meaning string }

// spell writes a text in one of its spellings.
func (s *sharing) spell(text string) string {
	b, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	if s.style.IntN(2) == 0 {
		return string(b)
	}
	out := `"`
	for _, r := range text {
		if r < 0x10000 {
			out += fmt.Sprintf(`\u%04x`, r)
		} else {
			out += string(r)
		}
	}
	return out + `"`
}

func (s *sharing) text() member {
	t := s.pick(alikeTexts...)
	return member{s.spell(t), "text " + strconv.Quote(t)}
}

// float is the value of a field of type number: 1, 1.0 and 1e0 are one.
func (s *sharing) float() member {
	switch s.rand.IntN(4) {
	case 0:
		n := s.spelling("1", "1.0", "1e0", "10E-1")
		return member{n, "float 1"}
	case 1:
		n := s.spelling("100", "100.0", "1e2")
		return member{n, "float 100"}
	}
	f := s.pick(alikeFloats...)
	return member{f, "float " + f}
}

// any is a value without a schema: integers and floats differ, members of an
// object have no order.
func (s *sharing) any(depth int) member {
	k := s.rand.IntN(8)
	if depth == 0 {
		k = s.rand.IntN(6)
	}
	switch k {
	case 0:
		return member{"null", "null"}
	case 1:
		b := strconv.FormatBool(s.rand.IntN(2) == 0)
		return member{b, b}
	case 2:
		i := s.pick(alikeInts...)
		return member{i, "int " + i}
	case 3:
		return member{s.spelling("1.0", "1e0"), "float 1"}
	case 4, 5:
		return s.text()
	case 6:
		var list, means []string
		for range s.rand.IntN(3) {
			m := s.any(depth - 1)
			list, means = append(list, m.text), append(means, m.meaning)
		}
		return member{"[" + strings.Join(list, s.spelling(",", " , ")) + "]", "[" + strings.Join(means, "|") + "]"}
	}
	var list, means []string
	for _, name := range []string{"a", "ab", "b"} {
		if s.rand.IntN(2) == 0 {
			m := s.any(depth - 1)
			list, means = append(list, s.spell(name)+":"+m.text), append(means, strconv.Quote(name)+"="+m.meaning)
		}
	}
	s.style.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return member{"{" + strings.Join(list, ",") + "}", "{" + strings.Join(means, "|") + "}"}
}

// optional leaves a field away, or says null, which is the same, or gives it.
func (s *sharing) optional(absent string, give func() member) (m member, there bool) {
	if s.rand.IntN(3) > 0 {
		return give(), true
	}
	return member{"null", absent}, s.style.IntN(2) == 0
}

// call makes one call: its key, and what it means.
func (s *sharing) call(t *testing.T) (key reactor.Key, meaning string) {
	t.Helper()
	var members, means []string
	put := func(name string, m member, there bool) {
		if there {
			members = append(members, s.spell(name)+s.spelling(":", " : ")+m.text)
		}
		means = append(means, name+"="+m.meaning)
	}
	i := s.pick(alikeInts...)
	put("i", member{i, "int " + i}, true)
	put("f", s.float(), true)
	put("s", s.text(), true)
	m, there := s.optional("null", s.text)
	put("ss", m, there)
	m, there = s.optional("null", func() member { return s.any(2) })
	put("any", m, there)
	m, there = s.optional("int 7", func() member {
		d := s.pick("7", "0", "70")
		return member{d, "int " + d}
	})
	put("d", m, there)
	m, there = s.optional("null", func() member {
		var list, means []string
		for range s.rand.IntN(3) {
			v := s.text()
			list, means = append(list, v.text), append(means, v.meaning)
		}
		return member{"[" + strings.Join(list, ",") + "]", "[" + strings.Join(means, "|") + "]"}
	})
	put("list", m, there)
	s.style.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })

	text := "{" + strings.Join(members, ",") + "}"
	args, err := abi.ParseJSON([]byte(text), abi.MaxDepth)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	org, team, f, where := s.pick("1", "11", ""), s.pick("1", "text"), s.rand.IntN(2), s.rand.IntN(2)
	scope := abi.Text("1")
	if team == "1" {
		scope = abi.Int(1)
	}
	in, err := s.fn[f].Input(args, abi.Caller{
		Claim: func(string) (abi.Value, bool) { return abi.Text(org), true },
		Scope: func(string) (abi.Value, bool) { return scope, true },
	})
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	means = append(means, "org="+strconv.Quote(org), "team="+team, "fn="+strconv.Itoa(f), "tenant="+strconv.Itoa(where))
	return newCall(s.space[where], s.fn[f], in).key, strings.Join(means, "\n")
}

// W4, F13: calls share a group exactly when no function could tell them apart.
// Each call is compared with all that came before: 20 000 are 2·10⁸ pairs.
// WEIR_KEYS sets another number.
// Cases: 80, 81, 83.
func TestCallsShareAGroupExactlyWhenTheyMeanTheSame(t *testing.T) {
	t.Parallel()
	n := 20_000
	if text := os.Getenv("WEIR_KEYS"); text != "" {
		n, _ = strconv.Atoi(text)
	}
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("WEIR_SEED"); text != "" {
		seed, _ = strconv.ParseUint(text, 10, 64)
	}
	s := newSharing(seed, seed)
	byMeaning, byKey := map[string]reactor.Key{}, map[reactor.Key]string{}
	for range n {
		key, meaning := s.call(t)
		if other, known := byMeaning[meaning]; known && other != key {
			t.Fatalf("seed %d: two keys for one meaning:\n%s\n%x\n%x", seed, meaning, other, key)
		}
		if other, known := byKey[key]; known && other != meaning {
			t.Fatalf("seed %d: one key for two meanings:\n%s\n\n%s", seed, other, meaning)
		}
		byMeaning[meaning], byKey[key] = key, meaning
	}
	// Equal meanings are rare among so many fields: spell some of them again.
	for i := range uint64(n / 4) {
		one, meaning := newSharing(seed+i, i).call(t)
		two, _ := newSharing(seed+i, i+1).call(t)
		if one != two {
			t.Fatalf("seed %d: two spellings, two keys: %s", seed+i, meaning)
		}
	}
}
