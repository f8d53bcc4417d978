package abi_test

import (
	"bytes"
	"errors"
	"math"
	"runtime"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"weir/abi"
)

// oracle decodes with another implementation, set as strictly as the contract.
var oracle = func() cbor.DecMode {
	simple, err := cbor.NewSimpleValueRegistryFromDefaults(rejectSimple()...)
	if err != nil {
		panic(err)
	}
	mode, err := cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden,
		UTF8: cbor.UTF8RejectInvalid, MaxNestedLevels: abi.MaxDepth, NaN: cbor.NaNDecodeForbidden, Inf: cbor.InfDecodeForbidden,
		SimpleValues: simple, IntDec: cbor.IntDecConvertNone, MaxArrayElements: 1 << 20, MaxMapPairs: 1 << 20,
	}.DecMode()
	if err != nil {
		panic(err)
	}
	return mode
}()

func rejectSimple() (all []func(*cbor.SimpleValueRegistry) error) {
	for i := range 256 {
		if i >= 24 && i < 32 || i >= 20 && i <= 22 {
			continue
		}
		all = append(all, cbor.WithRejectedSimpleValue(cbor.SimpleValue(i)))
	}
	return all
}

// textKeys reports whether all map keys of an oracle's value are texts, which
// it cannot be told to ask for.
func textKeys(v any) bool {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			if !textKeys(item) {
				return false
			}
		}
	case map[any]any:
		for k, item := range v {
			if _, ok := k.(string); !ok || !textKeys(item) {
				return false
			}
		}
	}
	return true
}

// FuzzCodecAgreesWithOracle checks that both accept the same data, and that the
// oracle's deterministic encoding of what it read is ours.
// Cases: 29.
func FuzzCodecAgreesWithOracle(f *testing.F) {
	for _, seed := range []string{"f6", "\x83\x01\x02\x03", "\xa2aa\x01ab\x82\x02\x03", "\xf9\x3c\x00", "\xfb\x3f\xf1\x99\x99\x99\x99\x99\x9a", "\xa2ab\x01aa\x02", "\x9b\xff\xff\xff\xff\xff\xff\xff\xff"} {
		f.Add([]byte(seed))
	}
	enc, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := abi.DecodeCBOR(data)
		var v any
		oracleErr := oracle.Unmarshal(data, &v)
		if oracleErr == nil && !textKeys(v) {
			oracleErr = errors.New("a key that is not a text")
		}
		if (err == nil) != (oracleErr == nil) {
			t.Fatalf("%x: we say %v, the oracle %v", data, err, oracleErr)
		}
		if err != nil {
			if abi.IsDeterministic(data) {
				t.Fatalf("%x: refused and deterministic", data)
			}
			return
		}
		ours := got.AppendCBOR(nil)
		theirs, err := enc.Marshal(v)
		if err != nil || !bytes.Equal(ours, theirs) {
			t.Fatalf("%x: we encode %x, the oracle %x, %v", data, ours, theirs, err)
		}
		if abi.IsDeterministic(data) != bytes.Equal(ours, data) {
			t.Fatalf("%x: IsDeterministic is %v, the encoding %x", data, abi.IsDeterministic(data), ours)
		}
		if again, err := abi.DecodeCBOR(ours); err != nil || !again.Equal(got) {
			t.Fatalf("%x: comes back as %v, %v", data, again, err)
		}
		d := abi.NewDecoder(data)
		if raw, err := d.Raw(); err != nil || !bytes.Equal(raw, data) || d.Done() != nil {
			t.Fatalf("%x: Raw is %x, %v", data, raw, err)
		}
	})
}

// FuzzDecoder pulls whatever is next; nothing that the data says may crash it.
// Cases: 29.
func FuzzDecoder(f *testing.F) {
	f.Add([]byte("\x83\x01aa\xf6"), []byte{0, 2, 5, 7})
	f.Add([]byte("\xa1aa\xf9\x3c\x00"), []byte{1, 5, 4})
	f.Fuzz(func(t *testing.T, data, script []byte) {
		d := abi.NewDecoder(data)
		for _, op := range script {
			at := d.Offset()
			if err := pull(&d, op); err != nil && d.Offset() != at {
				t.Fatalf("%x: op %d failed with %v and consumed %d bytes", data, op%12, err, d.Offset()-at)
			}
			if d.Offset() > len(data) {
				t.Fatalf("%x: read past the end", data)
			}
		}
	})
}

func pull(d *abi.Decoder, op byte) (err error) {
	switch op % 12 {
	case 0:
		_, err = d.Array()
	case 1:
		_, err = d.Map()
	case 2:
		_, err = d.Int()
	case 3:
		_, err = d.Uint()
	case 4:
		_, err = d.Float()
	case 5:
		_, err = d.Text()
	case 6:
		_, err = d.Bytes()
	case 7:
		d.Null()
	case 8:
		err = d.Skip()
	case 9:
		_, err = d.Value()
	case 10:
		_, err = d.Bool()
	case 11:
		d.Peek()
	}
	return err
}

func TestDecoderReadsAnInputWithoutAllocating(t *testing.T) {
	input := abi.Array(abi.Int(7), abi.Null(), abi.Float(1.5), abi.Bool(true), abi.Text("ann"), abi.Bytes([]byte("b")), abi.Array(abi.Int(1))).AppendCBOR(nil)
	read := func() {
		d := abi.NewDecoder(input)
		n, err1 := d.Array()
		i, err2 := d.Int()
		null := d.Null()
		f, err3 := d.Float()
		b, err4 := d.Bool()
		s, err5 := d.TextBytes()
		raw, err6 := d.Bytes()
		err7 := d.Skip()
		if err := errors.Join(err1, err2, err3, err4, err5, err6, err7, d.Done()); err != nil {
			t.Fatal(err)
		}
		if n != 7 || i != 7 || !null || f != 1.5 || !b || string(s) != "ann" || string(raw) != "b" {
			t.Fatal(n, i, null, f, b, s, raw)
		}
	}
	if got := testing.AllocsPerRun(100, read); got > 0 {
		t.Errorf("got %v allocations, want 0", got)
	}
	dst := make([]byte, 0, 64)
	v := abi.Array(abi.Int(7), abi.Text("ann"), abi.Float(1.1))
	if got := testing.AllocsPerRun(100, func() { dst = v.AppendCBOR(dst[:0]) }); got > 0 {
		t.Errorf("encoding: got %v allocations, want 0", got)
	}
}

func TestLyingCountAllocatesNothing(t *testing.T) {
	for _, data := range []string{
		"\x9b\x00\x00\x00\x00\xff\xff\xff\xff", "\xbb\x00\x00\x00\x00\xff\xff\xff\xff", "\x7b\x7f\xff\xff\xff\xff\xff\xff\xff",
		"\x5b\xff\xff\xff\xff\xff\xff\xff\xff", "\x9a\x00\x10\x00\x00" + string(make([]byte, 1<<10)),
		"\x99\x10\x00\x99\x0f\x00\x99\x0e\x00" + string(make([]byte, 1<<12)),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := abi.DecodeCBOR([]byte(data)); err == nil {
			t.Errorf("%x is accepted", data[:9])
		}
		runtime.ReadMemStats(&after)
		// The copy of the data, the error, and what else runs.
		if grown := after.TotalAlloc - before.TotalAlloc; grown > uint64(2*len(data)+4<<10) {
			t.Errorf("%x: %d bytes allocated for %d of data", data[:9], grown, len(data))
		}
	}
}

// Checks of map keys inside checks of map keys would double the work with each
// level.
func TestNestedUnsortedMapsTakeLinearTime(t *testing.T) {
	t.Parallel()
	data := []byte{0xf6}
	for range abi.MaxDepth {
		next := append([]byte{0xa2, 0x61, 'b'}, data...)
		data = append(next, 0x61, 'a', 0xf6)
	}
	// Only finishing matters: 2^32 checks would not.
	if _, err := abi.DecodeCBOR(data); err != nil {
		t.Fatal(err)
	}
}

func TestDecoderErrorsSayWhereAndWhat(t *testing.T) {
	t.Parallel()
	f := func(data, want string) {
		t.Helper()
		_, err := abi.DecodeCBOR([]byte(data))
		var e *abi.CodecError
		if !errors.As(err, &e) || err.Error() != want {
			t.Errorf("%x: got %v, want %s", data, err, want)
		}
	}
	f("", "cbor at byte 0: the data ends where an item is wanted")
	f("\x82\x01", "cbor at byte 0: a count of more members than there are bytes")
	f("\x81\xc0", "cbor at byte 1: a tag, which the contract does not allow")
	f("\xa2aa\x01aa\x02", "cbor at byte 4: a duplicate key")
	f("\x01\x02", "cbor at byte 1: more bytes after the end of the item")
	d := abi.NewDecoder([]byte("\x61a"))
	if _, err := d.Int(); err == nil || err.Error() != "cbor at byte 0: want an integer, found a string" {
		t.Error(err)
	}
	if s, err := d.Text(); s != "a" || err != nil {
		t.Errorf("a wrong type consumed the item: %q, %v", s, err)
	}
}

func TestHalvesAgreeWithOracle(t *testing.T) {
	t.Parallel()
	for h := range 1 << 16 {
		data := []byte{0xf9, byte(h >> 8), byte(h)}
		var want float64
		err := oracle.Unmarshal(data, &want)
		v, ourErr := abi.DecodeCBOR(data)
		if (err == nil) != (ourErr == nil) {
			t.Fatalf("%x: we say %v, the oracle %v", data, ourErr, err)
		}
		if err != nil {
			continue
		}
		if got, _ := v.AsFloat(); math.Float64bits(got) != math.Float64bits(want) {
			t.Fatalf("%x: got %v, want %v", data, got, want)
		}
		if got := v.AppendCBOR(nil); !bytes.Equal(got, data) {
			t.Fatalf("%x encodes to %x", data, got)
		}
	}
}
