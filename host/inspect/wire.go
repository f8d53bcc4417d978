package inspect

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The child is asked and answers in frames: the length in four bytes, then that
// many. A question carries one text; the answer repeats the question's digest,
// so that an answer to something else is noticed.
const (
	maxQuestion = 512 << 10
	maxAnswer   = 8 << 10
	// hello is the child's first frame, sent when it is ready and confined.
	hello = "weir inspect 1"
)

var errWire = errors.New("malformed frame")

// WriteFrame writes one frame in one call.
func WriteFrame(out io.Writer, body []byte) error {
	frame := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(body)), uint32(len(body)))
	_, err := out.Write(append(frame, body...))
	return err
}

// ReadFrame reads one frame of at most limit bytes. The end of the stream before
// a frame is io.EOF.
func ReadFrame(in io.Reader, limit int) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > uint32(limit) {
		return nil, fmt.Errorf("%w: %d bytes", errWire, n)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(in, body); err != nil {
		return nil, fmt.Errorf("%w: %w", errWire, err)
	}
	return body, nil
}

// appendQuestion encodes a text and its rules.
func appendQuestion(dst []byte, rules *Rules, text string) []byte {
	part := func(s string) {
		dst = binary.AppendUvarint(dst, uint64(len(s)))
		dst = append(dst, s...)
	}
	dst = append(dst, byte(rules.Kind))
	part(rules.Schema)
	dst = binary.AppendUvarint(dst, uint64(len(rules.Functions)))
	for _, f := range rules.Functions {
		part(f)
	}
	part(text)
	return dst
}

// parseQuestion decodes what appendQuestion made, and nothing else.
func parseQuestion(b []byte) (rules Rules, text string, err error) {
	number := func() uint64 {
		v, n := binary.Uvarint(b)
		if n <= 0 || v > uint64(len(b)-n) {
			err = errWire
			return 0
		}
		b = b[n:]
		return v
	}
	part := func() string {
		n := number()
		s := string(b[:n])
		b = b[n:]
		return s
	}
	if len(b) == 0 || Kind(b[0]) != Read && Kind(b[0]) != Write {
		return Rules{}, "", errWire
	}
	rules.Kind, b = Kind(b[0]), b[1:]
	rules.Schema = part()
	for range number() {
		if err != nil {
			break
		}
		rules.Functions = append(rules.Functions, part())
	}
	text = part()
	if err == nil && len(b) > 0 {
		err = errWire
	}
	return rules, text, err
}

// verdict is what came of an inspection.
type verdict struct {
	allowed bool
	what    string // why not
}

func (v verdict) err() error {
	if v.allowed {
		return nil
	}
	return &RefusedError{What: v.what}
}

// The first byte of a verdict. They differ in many bits.
const (
	verdictAllowed = 0xA5
	verdictRefused = 0x5A
)

func appendVerdict(dst []byte, v verdict) []byte {
	if v.allowed {
		return append(dst, verdictAllowed)
	}
	return append(append(dst, verdictRefused), v.what...)
}

func parseVerdict(b []byte) (verdict, bool) {
	switch {
	case len(b) == 1 && b[0] == verdictAllowed:
		return verdict{allowed: true}, true
	case len(b) > 1 && b[0] == verdictRefused:
		return verdict{what: string(b[1:])}, true
	}
	return verdict{}, false
}

// appendAnswer encodes the verdict about a question.
func appendAnswer(dst, question []byte, v verdict) []byte {
	sum := sha256.Sum256(question)
	return appendVerdict(append(dst, sum[:]...), v)
}

// parseAnswer decodes the answer to a question.
func parseAnswer(b, question []byte) (verdict, bool) {
	sum := sha256.Sum256(question)
	if len(b) < len(sum) || [32]byte(b[:32]) != sum {
		return verdict{}, false
	}
	return parseVerdict(b[32:])
}
