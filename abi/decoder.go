package abi

import (
	"math"
	"unicode/utf8"
)

// Decoder pulls items out of encoded data without building Values, for guests
// and for the host's hot paths. It reads what is asked for: a wrong type is an
// error and consumes nothing. It allocates only for Text, Value and errors.
//
// Array and Map hand out a count, and the caller reads that many items: the
// decoder does not watch depth or duplicate keys of containers that are read in
// this way. Skip, Raw and Value check everything of the item that they pass.
//
// A Decoder is a value to be kept in a local variable; it is not safe for
// concurrent use, and the data must not change while it reads.
type Decoder struct {
	data []byte
	off  int
}

// NewDecoder returns a decoder at the start of data, which it does not copy.
func NewDecoder(data []byte) Decoder { return Decoder{data: data} }

// Array reads the head of an array and returns the number of its items, at most
// the number of bytes left.
func (d *Decoder) Array() (n int, err error) { return d.count(majorArray, 1) }

// Map reads the head of a map and returns the number of its pairs. Keys are
// texts.
func (d *Decoder) Map() (n int, err error) { return d.count(majorMap, 2) }

// Int reads an integer that fits int64.
func (d *Decoder) Int() (int64, error) {
	if n, ok := d.short(majorUint); ok {
		d.off++
		return int64(n), nil
	}
	h, err := d.head()
	if err != nil {
		return 0, err
	}
	switch {
	case h.major != majorUint && h.major != majorNegint:
		return 0, d.fault("want an integer, found " + d.Peek().String())
	case h.arg > math.MaxInt64:
		return 0, d.fault("the integer does not fit 64 bits with a sign")
	}
	d.off = h.next
	if h.major == majorNegint {
		return ^int64(h.arg), nil
	}
	return int64(h.arg), nil
}

// Uint reads an integer that fits uint64.
func (d *Decoder) Uint() (uint64, error) {
	h, err := d.head()
	if err != nil {
		return 0, err
	}
	if h.major != majorUint {
		return 0, d.fault("want a positive integer, found " + d.Peek().String())
	}
	d.off = h.next
	return h.arg, nil
}

// Float reads a float, an integer of at most 53 bits, or the text of what no
// number can carry ("NaN", "Infinity", "-Infinity").
func (d *Decoder) Float() (float64, error) {
	h, err := d.head()
	if err != nil {
		return 0, err
	}
	switch {
	case h.isFloat():
		f := h.float()
		if notFinite(f) != "" {
			return 0, d.fault("not a finite number")
		}
		d.off = h.next
		return f, nil
	case h.major == majorUint && h.arg <= 1<<53:
		d.off = h.next
		return float64(h.arg), nil
	case h.major == majorNegint && h.arg < 1<<53:
		d.off = h.next
		return -1 - float64(h.arg), nil
	case h.major == majorText:
		if f, ok := special(d.data[h.next:], h.arg); ok {
			d.off = h.next + int(h.arg)
			return f, nil
		}
	}
	return 0, d.fault("want a number, found " + d.Peek().String())
}

// Bool reads a boolean.
func (d *Decoder) Bool() (bool, error) {
	switch d.first() {
	case cborTrue, cborFalse:
		d.off++
		return d.data[d.off-1] == cborTrue, nil
	}
	return false, d.fault("want a boolean, found " + d.Peek().String())
}

// Null consumes a null if it is next, and reports whether it was.
func (d *Decoder) Null() bool {
	if d.first() != cborNull {
		return false
	}
	d.off++
	return true
}

// Text reads a string.
func (d *Decoder) Text() (string, error) {
	b, err := d.TextBytes()
	return string(b), err
}

// TextBytes reads a string and returns its bytes inside the data: valid UTF-8,
// not to be changed.
func (d *Decoder) TextBytes() ([]byte, error) {
	if n, ok := d.short(majorText); ok && n < len(d.data)-d.off {
		from := d.off + 1
		b := d.data[from : from+n : from+n]
		all := byte(0)
		for _, c := range b {
			all |= c
		}
		if all < utf8.RuneSelf {
			d.off = from + n
			return b, nil
		}
	}
	at := d.off
	b, err := d.chunk(majorText, "want a string, found ")
	if err == nil && !utf8.Valid(b) {
		d.off = at
		return nil, d.fault("the text is not valid UTF-8")
	}
	return b, err
}

// Bytes reads a byte string and returns the part of the data that holds it; the
// caller copies what it keeps or changes.
func (d *Decoder) Bytes() ([]byte, error) {
	return d.chunk(majorBytes, "want a byte string, found ")
}

// Skip passes one item, having checked it.
func (d *Decoder) Skip() error {
	at := d.off
	c := checker{d: d}
	if err := c.item(0); err != nil {
		d.off = at
		return err
	}
	return nil
}

// Raw returns the encoding of the next item, checked, inside the data.
func (d *Decoder) Raw() ([]byte, error) {
	at := d.off
	if err := d.Skip(); err != nil {
		return nil, err
	}
	return d.data[at:d.off:d.off], nil
}

// Value reads one item of any type.
func (d *Decoder) Value() (Value, error) {
	at := d.off
	// The item is checked before anything is built, so that every count is
	// true and the memory for it is paid for by bytes that exist.
	if err := d.Skip(); err != nil {
		return Value{}, err
	}
	d.off = at
	return d.build(), nil
}

// Peek returns the type of the next item, or TypeNone at the end and before
// what the contract refuses by its first byte.
func (d *Decoder) Peek() Type {
	b := d.first()
	switch b {
	case cborNull:
		return TypeNull
	case cborFalse, cborTrue:
		return TypeBool
	case cborF16, cborF32, cborF64:
		return TypeFloat
	}
	if b < 0 || b&0x1f > 27 {
		return TypeNone
	}
	switch b &^ 0x1f {
	case majorUint, majorNegint:
		return TypeInt
	case majorBytes:
		return TypeBytes
	case majorText:
		return TypeText
	case majorArray:
		return TypeArray
	case majorMap:
		return TypeMap
	}
	return TypeNone
}

// Offset returns how many bytes were read.
func (d *Decoder) Offset() int { return d.off }

// Done returns an error if there are bytes left.
func (d *Decoder) Done() error {
	if d.off != len(d.data) {
		return d.fault("more bytes after the end of the item")
	}
	return nil
}

// head is the decoded start of an item.
type head struct {
	major byte
	info  byte // the low five bits: what form the argument has
	arg   uint64
	next  int // offset after the head
}

func (h head) isFloat() bool { return h.major == majorSimple && h.info >= 25 && h.info <= 27 }

// float returns the value of a float item.
func (h head) float() float64 {
	switch h.info {
	case 25:
		return fromHalf(uint16(h.arg))
	case 26:
		return float64(math.Float32frombits(uint32(h.arg)))
	}
	return math.Float64frombits(h.arg)
}

// head reads the next head without consuming it.
func (d *Decoder) head() (head, error) {
	if d.off >= len(d.data) {
		return head{}, d.fault("the data ends where an item is wanted")
	}
	b, rest := d.data[d.off], d.data[d.off+1:]
	h := head{major: b &^ 0x1f, info: b & 0x1f}
	size := 0
	switch {
	case h.info < 24:
		h.arg = uint64(h.info)
	case h.info <= 27:
		size = 1 << (h.info - 24)
	case h.info == 31:
		return head{}, d.fault("an item without a length, which the contract does not allow")
	default:
		return head{}, d.fault("a reserved form of a head")
	}
	if len(rest) < size {
		return head{}, d.fault("the data ends inside an item")
	}
	for _, b := range rest[:size] {
		h.arg = h.arg<<8 | uint64(b)
	}
	h.next = d.off + 1 + size
	return h, nil
}

// short returns the argument of the next head if the head is of that major type
// and of one byte, as most are. It is what the compiler can put in place, and
// spares a guest, where calls are dear, most of head.
func (d *Decoder) short(major byte) (arg int, ok bool) {
	if d.off >= len(d.data) {
		return 0, false
	}
	arg = int(d.data[d.off] ^ major)
	return arg, arg < 24
}

// count reads the head of a container whose members need at least each bytes.
func (d *Decoder) count(major byte, each uint64) (int, error) {
	if n, ok := d.short(major); ok && n*int(each) < len(d.data)-d.off {
		d.off++
		return n, nil
	}
	h, err := d.head()
	if err != nil {
		return 0, err
	}
	if h.major != major {
		want := "want an array, found "
		if major == majorMap {
			want = "want a map, found "
		}
		return 0, d.fault(want + d.Peek().String())
	}
	if h.arg > uint64(len(d.data)-h.next)/each {
		return 0, d.fault("a count of more members than there are bytes")
	}
	d.off = h.next
	return int(h.arg), nil
}

// chunk reads a text or byte string.
func (d *Decoder) chunk(major byte, want string) ([]byte, error) {
	h, err := d.head()
	if err != nil {
		return nil, err
	}
	if h.major != major {
		return nil, d.fault(want + d.Peek().String())
	}
	if h.arg > uint64(len(d.data)-h.next) {
		return nil, d.fault("a string longer than the data")
	}
	d.off = h.next + int(h.arg)
	return d.data[h.next:d.off:d.off], nil
}

// first returns the next byte, or -1 at the end.
func (d *Decoder) first() int {
	if d.off >= len(d.data) {
		return -1
	}
	return int(d.data[d.off])
}

func (d *Decoder) fault(what string) error { return &CodecError{Offset: d.off, What: what} }

// build makes the Value of the next item, which was checked.
func (d *Decoder) build() Value {
	switch d.Peek() {
	case TypeBool:
		b, _ := d.Bool()
		return Bool(b)
	case TypeInt:
		h, _ := d.head()
		d.off = h.next
		return Value{typ: TypeInt, neg: h.major == majorNegint, num: h.arg}
	case TypeFloat:
		f, _ := d.Float()
		return Float(f)
	case TypeText:
		s, _ := d.Text()
		return Text(s)
	case TypeBytes:
		b, _ := d.Bytes()
		return Bytes(b)
	case TypeArray:
		n, _ := d.Array()
		items := make([]Value, n)
		for i := range items {
			items[i] = d.build()
		}
		return Array(items...)
	case TypeMap:
		n, _ := d.Map()
		keys, items := make([]string, n), make([]Value, n)
		sorted := true
		for i := range items {
			keys[i], _ = d.Text()
			items[i] = d.build()
			sorted = sorted && (i == 0 || compareKeys(keys[i-1], keys[i]) < 0)
		}
		if !sorted {
			return Map(keys, items)
		}
		return Value{typ: TypeMap, keys: keys, list: items}
	}
	d.off++
	return Value{}
}

// special returns the float that the first n bytes of b spell, if they are the
// text of one that is not finite.
func special(b []byte, n uint64) (float64, bool) {
	if n > uint64(len(b)) {
		return 0, false
	}
	switch string(b[:n]) {
	case "NaN":
		return math.NaN(), true
	case "Infinity":
		return math.Inf(1), true
	case "-Infinity":
		return math.Inf(-1), true
	}
	return 0, false
}

// checker passes items and checks all that the contract asks of them (A3). If
// strict, it also asks for the core deterministic encoding.
type checker struct {
	d      *Decoder
	strict bool
}

func (c *checker) item(depth int) error {
	d := c.d
	h, err := d.head()
	if err != nil {
		return err
	}
	if c.strict && !h.isShortest() {
		return d.fault("not in the shortest form")
	}
	switch h.major {
	case majorUint, majorNegint:
		d.off = h.next
		return nil
	case majorBytes:
		_, err := d.Bytes()
		return err
	case majorText:
		_, err := d.TextBytes()
		return err
	case majorArray, majorMap:
		if depth >= MaxDepth {
			return d.fault("nested too deeply")
		}
		if h.major == majorMap {
			return c.pairs(depth)
		}
		n, err := d.Array()
		for i := 0; i < n && err == nil; i++ {
			err = c.item(depth + 1)
		}
		return err
	case majorTag:
		return d.fault("a tag, which the contract does not allow")
	}
	switch {
	case h.isFloat() && notFinite(h.float()) != "":
		return d.fault("not a finite number")
	case !h.isFloat() && (h.info < cborFalse&0x1f || h.info > cborNull&0x1f):
		return d.fault("a simple value other than false, true and null")
	}
	d.off = h.next
	return nil
}

// pairs checks a map. Keys that ascend cannot repeat; only for others are they
// remembered, which costs memory in proportion to bytes that were read.
func (c *checker) pairs(depth int) error {
	d := c.d
	n, err := d.Map()
	if err != nil {
		return err
	}
	var last []byte
	var seen map[string]struct{}
	first := d.off
	for i := range n {
		at := d.off
		if h, err := d.head(); err == nil && c.strict && !h.isShortest() {
			return d.fault("not in the shortest form")
		}
		key, err := d.TextBytes()
		if err != nil {
			return err
		}
		if i > 0 && seen == nil && !keysAscend(last, key) {
			if c.strict {
				return &CodecError{Offset: at, What: "map keys out of order"}
			}
			seen = d.keys(first, i)
		}
		if seen != nil {
			if _, ok := seen[string(key)]; ok {
				return &CodecError{Offset: at, What: "a duplicate key"}
			}
			seen[string(key)] = struct{}{}
		}
		last = key
		if err := c.item(depth + 1); err != nil {
			return err
		}
	}
	return nil
}

// keys returns the first n keys of the map whose pairs start at off; all of
// them were checked. It must not check again what it passes: checks inside
// checks would take time exponential in the depth.
func (d *Decoder) keys(off, n int) map[string]struct{} {
	seen := make(map[string]struct{}, n+1)
	at := Decoder{data: d.data, off: off}
	for range n {
		key, _ := at.TextBytes()
		seen[string(key)] = struct{}{}
		at.pass()
	}
	return seen
}

// pass skips one item that was checked.
func (d *Decoder) pass() {
	for left := uint64(1); left > 0; left-- {
		h, err := d.head()
		if err != nil {
			return
		}
		d.off = h.next
		switch h.major {
		case majorBytes, majorText:
			d.off += int(h.arg)
		case majorArray:
			left += h.arg
		case majorMap:
			left += 2 * h.arg
		}
	}
}

// keysAscend reports whether a comes before b in deterministic order.
func keysAscend(a, b []byte) bool {
	if len(a) != len(b) {
		return len(a) < len(b)
	}
	return string(a) < string(b)
}

// isShortest reports whether no shorter head says the same.
func (h head) isShortest() bool {
	if h.isFloat() {
		return h.info == 25 || len(AppendFloat(make([]byte, 0, 9), h.float())) == 1+1<<(h.info-24)
	}
	switch h.info {
	case 24:
		return h.arg >= 24
	case 25:
		return h.arg > math.MaxUint8
	case 26:
		return h.arg > math.MaxUint16
	case 27:
		return h.arg > math.MaxUint32
	}
	return true
}
