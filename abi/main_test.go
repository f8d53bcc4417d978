package abi_test

import (
	"math"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"weir/abi"
)

func mustJSON(t testing.TB, text string) abi.Value {
	t.Helper()
	v, err := abi.ParseJSON([]byte(text), 0)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

// anyValue generates values of every type, nested at most three deep.
func anyValue() *rapid.Generator[abi.Value] { return valueOf(3) }

func valueOf(depth int) *rapid.Generator[abi.Value] {
	return rapid.Custom(func(t *rapid.T) abi.Value {
		most := 7
		if depth == 0 {
			most = 5
		}
		switch rapid.IntRange(0, most).Draw(t, "type") {
		case 0:
			return abi.Null()
		case 1:
			return abi.Bool(rapid.Bool().Draw(t, "bool"))
		case 2:
			if rapid.Bool().Draw(t, "sign") {
				return abi.Int(rapid.Int64().Draw(t, "int"))
			}
			return abi.Uint(rapid.Uint64().Draw(t, "uint"))
		case 3:
			if rapid.Bool().Draw(t, "single") {
				return abi.Float(float64(rapid.Float32().Draw(t, "float32")))
			}
			return abi.Float(rapid.Float64().Draw(t, "float"))
		case 4:
			return abi.Text(rapid.String().Draw(t, "text"))
		case 5:
			return abi.Bytes(rapid.SliceOfN(rapid.Byte(), 0, 8).Draw(t, "bytes"))
		case 6:
			return abi.Array(rapid.SliceOfN(valueOf(depth-1), 0, 4).Draw(t, "items")...)
		}
		keys := rapid.SliceOfNDistinct(rapid.StringN(0, 4, -1), 0, 4, rapid.ID[string]).Draw(t, "keys")
		return abi.Map(keys, rapid.SliceOfN(valueOf(depth-1), len(keys), len(keys)).Draw(t, "values"))
	})
}

// nearMisses are values that are easily taken for each other.
func nearMisses() []abi.Value {
	return []abi.Value{
		abi.Null(), abi.Bool(false), abi.Int(0), abi.Float(0), abi.Float(math.Copysign(0, -1)), abi.Text(""), abi.Text("0"),
		abi.Bytes(nil), abi.Array(), abi.Map(nil, nil), abi.Text("null"), abi.Array(abi.Null()), abi.Bool(true), abi.Int(1),
		abi.Float(1), abi.Text("1"), abi.Bytes([]byte("1")), abi.Array(abi.Int(1)), abi.Int(-1), abi.Float(-1),
		abi.Uint(1 << 53), abi.Uint(1<<53 + 1), abi.Float(1 << 53), abi.Int(math.MaxInt64), abi.Uint(math.MaxInt64 + 1),
		abi.Uint(math.MaxUint64), abi.Int(math.MinInt64), abi.Float(1.1), abi.Float(float64(float32(1.1))),
		abi.Text("a"), abi.Text("a\x00"), abi.Array(abi.Text("a"), abi.Text("b")), abi.Array(abi.Text("ab")),
		abi.Array(abi.Array(abi.Int(1)), abi.Int(2)), abi.Array(abi.Array(abi.Int(1), abi.Int(2))),
		abi.Map([]string{"a"}, []abi.Value{abi.Null()}), abi.Map([]string{"a"}, []abi.Value{abi.Int(0)}),
	}
}

// W4: unequal values never encode equal, equal ones always do.
// Cases: 80.
func TestEncodingIsEqualExactlyWhenValuesAre(t *testing.T) {
	t.Parallel()
	check := func(v, w abi.Value) bool {
		return v.Equal(w) == (string(v.AppendCBOR(nil)) == string(w.AppendCBOR(nil)))
	}
	for i, v := range nearMisses() {
		for j, w := range nearMisses() {
			if !check(v, w) || v.Equal(w) != (i == j) {
				t.Errorf("%v and %v: Equal is %v, encodings %x and %x", v, w, v.Equal(w), v.AppendCBOR(nil), w.AppendCBOR(nil))
			}
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		v, w := anyValue().Draw(t, "v"), anyValue().Draw(t, "w")
		if !check(v, w) {
			t.Fatalf("%v and %v: Equal is %v", v, w, v.Equal(w))
		}
		if back, err := abi.DecodeCBOR(v.AppendCBOR(nil)); err != nil || !back.Equal(v) || !v.Equal(back) {
			t.Fatalf("%v comes back as %v, %v", v, back, err)
		}
		if !abi.IsDeterministic(v.AppendCBOR(nil)) {
			t.Fatalf("%v does not encode deterministically", v)
		}
	})
}

func TestMapDoesNotDependOnTheOrderGiven(t *testing.T) {
	t.Parallel()
	keys := []string{"b", "aa", "a", "", "ab", "c", "abc"}
	values := make([]abi.Value, len(keys))
	for i, k := range keys {
		values[i] = abi.Text("of " + k)
	}
	want := abi.Map(keys, values)
	for range 20 {
		rand.Shuffle(len(keys), func(i, j int) {
			keys[i], keys[j] = keys[j], keys[i]
			values[i], values[j] = values[j], values[i]
		})
		got := abi.Map(keys, values)
		if !got.Equal(want) {
			t.Fatalf("got %v, want %v", got, want)
		}
		for i, k := range keys {
			if v, ok := got.Get(k); !ok || !v.Equal(values[i]) {
				t.Errorf("Get(%q) = %v, %v", k, v, ok)
			}
		}
	}
	if v := abi.Map([]string{"a", "a"}, []abi.Value{abi.Int(1), abi.Int(2)}); v.String() != `{"a":2}` {
		t.Errorf("of equal keys the last counts, got %v", v)
	}
}

func TestValueAccessorsRefuseOtherTypes(t *testing.T) {
	t.Parallel()
	for _, v := range nearMisses() {
		_, isBool := v.AsBool()
		_, isInt := v.AsInt()
		_, isUint := v.AsUint()
		_, isFloat := v.AsFloat()
		_, isText := v.AsText()
		_, isBytes := v.AsBytes()
		typ := v.Type()
		if isBool != (typ == abi.TypeBool) || (isInt || isUint) != (typ == abi.TypeInt) || isFloat != (typ == abi.TypeFloat) ||
			isText != (typ == abi.TypeText) || isBytes != (typ == abi.TypeBytes) || v.IsNull() != (typ == abi.TypeNull) {
			t.Errorf("%v is %v: %v %v %v %v %v %v", v, typ, isBool, isInt, isUint, isFloat, isText, isBytes)
		}
	}
	if i, ok := abi.Int(math.MinInt64).AsInt(); !ok || i != math.MinInt64 {
		t.Errorf("got %d, %v", i, ok)
	}
	if _, ok := abi.Uint(math.MaxUint64).AsInt(); ok {
		t.Error("2^64-1 does not fit int64")
	}
	if _, ok := abi.Int(-1).AsUint(); ok {
		t.Error("-1 does not fit uint64")
	}
}

func TestFloatsWithoutANumberBecomeTheirText(t *testing.T) {
	t.Parallel()
	f := func(x float64, want string) {
		t.Helper()
		if got, _ := abi.Float(x).AsText(); got != want {
			t.Errorf("Float(%v) = %q, want %q", x, got, want)
		}
		d := abi.NewDecoder(abi.AppendFloat(nil, x))
		if got, err := d.Float(); err != nil || got != x && (got == got || x == x) {
			t.Errorf("%v comes back as %v, %v", x, got, err)
		}
	}
	f(math.NaN(), "NaN")
	f(math.Inf(1), "Infinity")
	f(math.Inf(-1), "-Infinity")
}

// Guests compile this package: it must stay small and build for wasip1.
func TestPackageBuildsForGuestsWithoutHeavyImports(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("runs the go command")
	}
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", ".")
	cmd.Env = append(cmd.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, dep := range strings.Fields(string(out)) {
		switch dep {
		case "reflect", "fmt", "os", "net", "encoding/json", "encoding/binary":
			t.Errorf("abi must not need %s: it would be linked into every guest", dep)
		}
	}
}
