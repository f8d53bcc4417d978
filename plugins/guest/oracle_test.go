package weir

import (
	"bytes"
	"encoding/hex"
	"math"
	"math/rand"
	"reflect"
	"testing"
	"testing/quick"
	"time"
	"unsafe"

	"weir/abi"
)

// wide is everything that a plan can move both ways.
type wide struct {
	A  bool
	B  int
	C  int8
	D  int16
	E  int32
	F  int64
	G  uint
	H  uint8
	I  uint16
	J  uint32
	K  uint64
	L  float32
	M  float64
	N  string
	O  [16]byte
	P  JSON
	Q  named
	R  *int8
	S  *string
	T  *[16]byte
	U  *inner
	W  []int32
	X  []string
	Y  []inner
	Z  []*inner
	AA [][]uint16
	AB inner
	AC *[]bool
	AD moment
	AE *moment
	AF []byte
}

type named int32

type inner struct {
	Name string
	At   *moment
	Deep []deep
}

type deep struct{ X, Y float64 }

// moment is an embedded struct around a time, so that quick can make one.
type moment struct{ T stamp }

type stamp struct{ time.Time }

// Generate makes a time as PostgreSQL has it: microseconds, UTC.
func (stamp) Generate(r *rand.Rand, _ int) reflect.Value {
	return reflect.ValueOf(stamp{time.UnixMicro(r.Int63n(4e15) - 2e15).UTC()})
}

// oracle is the slow, plain way: what a value is in CBOR, by reflection.
func oracle(v reflect.Value, s shape) abi.Value {
	if v.Type() == timeType {
		t := v.Interface().(time.Time)
		return abi.Text(t.UTC().Format("2006-01-02T15:04:05.000000Z07:00"))
	}
	switch v.Kind() {
	case reflect.Bool:
		return abi.Bool(v.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return abi.Int(v.Int())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return abi.Uint(v.Uint())
	case reflect.Float32, reflect.Float64:
		return abi.Float(v.Float())
	case reflect.String:
		return abi.Text(v.String())
	case reflect.Pointer:
		if v.IsNil() {
			return abi.Null()
		}
		return oracle(v.Elem(), s)
	case reflect.Array:
		var b []byte
		for i := range v.Len() {
			b = append(b, byte(v.Index(i).Uint()))
		}
		h := hex.EncodeToString(b)
		return abi.Text(h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:])
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return abi.Bytes(v.Bytes())
		}
		items := make([]abi.Value, v.Len())
		for i := range items {
			items[i] = oracle(v.Index(i), s)
		}
		return abi.Array(items...)
	case reflect.Struct:
		var names []string
		var values []abi.Value
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if f.Type == reflect.TypeFor[stamp]() {
				// A stamp is a struct with a time of its own name.
				inner := abi.Array(oracle(v.Field(i).Field(0), s))
				if s == asMap {
					inner = abi.Map([]string{"time"}, []abi.Value{oracle(v.Field(i).Field(0), s)})
				}
				names, values = append(names, snake(f.Name)), append(values, inner)
				continue
			}
			names, values = append(names, snake(f.Name)), append(values, oracle(v.Field(i), s))
		}
		if s == asMap {
			return abi.Map(names, values)
		}
		return abi.Array(values...)
	}
	panic("no oracle for " + v.Type().String())
}

// normal makes nil slices empty, as reading does.
func normal(v reflect.Value) {
	switch v.Kind() {
	case reflect.Slice:
		if v.IsNil() {
			v.Set(reflect.MakeSlice(v.Type(), 0, 0))
		}
		if v.Type().Elem().Kind() != reflect.Uint8 {
			for i := range v.Len() {
				normal(v.Index(i))
			}
		}
	case reflect.Pointer:
		if !v.IsNil() {
			normal(v.Elem())
		}
	case reflect.Struct:
		if v.Type() == timeType {
			return
		}
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				normal(v.Field(i))
			}
		}
	}
}

func plan(t *testing.T, s shape) codec {
	t.Helper()
	c, err := newCodec(reflect.TypeFor[wide](), s, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func quickConfig(t *testing.T) *quick.Config {
	seed := time.Now().UnixNano()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	})
	return &quick.Config{MaxCount: 150, Rand: rand.New(rand.NewSource(seed))}
}

func TestPlanWritesWhatReflectionWrites(t *testing.T) {
	t.Parallel()
	for _, s := range []shape{asArray, asMap} {
		c := plan(t, s)
		check := func(w wide) bool {
			got := c.append(nil, unsafe.Pointer(&w))
			want := oracle(reflect.ValueOf(w), s).AppendCBOR(nil)
			return bytes.Equal(got, want) && abi.IsDeterministic(got)
		}
		if err := quick.Check(check, quickConfig(t)); err != nil {
			t.Error(err)
		}
	}
}

func TestPlanReadsWhatReflectionWrites(t *testing.T) {
	t.Parallel()
	c := plan(t, asArray)
	check := func(w wide) bool {
		encoded := oracle(reflect.ValueOf(w), asArray).AppendCBOR(nil)
		var got wide
		d := abi.NewDecoder(encoded)
		if err := c.read(&d, unsafe.Pointer(&got)); err != nil || d.Done() != nil {
			t.Log(err)
			return false
		}
		normal(reflect.ValueOf(&w).Elem())
		return reflect.DeepEqual(got, w)
	}
	if err := quick.Check(check, quickConfig(t)); err != nil {
		t.Error(err)
	}
}

func TestFloatsThatNoNumberCarriesSurvive(t *testing.T) {
	t.Parallel()
	c := floatCodec[float64]()
	for _, f := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64, math.SmallestNonzeroFloat64, 0, math.Copysign(0, -1)} {
		d := abi.NewDecoder(c.append(nil, unsafe.Pointer(&f)))
		var got float64
		if err := c.read(&d, unsafe.Pointer(&got)); err != nil || math.Float64bits(got) != math.Float64bits(f) && !(got != got && f != f) {
			t.Errorf("%v became %v, %v", f, got, err)
		}
	}
}

// FuzzInput feeds any bytes to a plan. What it accepts must read as the value
// that abi decodes from the same bytes.
func FuzzInput(f *testing.F) {
	for seed := range 8 {
		v, _ := quick.Value(reflect.TypeFor[wide](), rand.New(rand.NewSource(int64(seed))))
		f.Add(oracle(v, asArray).AppendCBOR(nil))
	}
	f.Add([]byte{0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{0xf6})
	fields, err := inputFields(reflect.TypeFor[wide]())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var got wide
		if readInput(data, fields, unsafe.Pointer(&got)) != nil {
			return
		}
		again := oracle(reflect.ValueOf(got), asArray).AppendCBOR(nil)
		var second wide
		if err := readInput(again, fields, unsafe.Pointer(&second)); err != nil {
			t.Fatalf("what was read cannot be read again: %v", err)
		}
		normal(reflect.ValueOf(&got).Elem())
		normal(reflect.ValueOf(&second).Elem())
		if !reflect.DeepEqual(got, second) && !hasNaN(got) {
			t.Fatalf("read %+v, then %+v", got, second)
		}
	})
}

// hasNaN is for values that are not equal to themselves.
func hasNaN(w wide) bool { return !reflect.DeepEqual(w, w) || w.L != w.L || w.M != w.M }
