package weir

import (
	"errors"
	"reflect"
	"unsafe"

	"weir/abi"
)

// QueryBody is what Query registers: a *Statement, or a Func.
type QueryBody interface {
	body() *body
	readsOnly()
}

// MutationBody is what Mutation registers: a *Command, a *Statement, or a Func.
type MutationBody interface{ body() *body }

// Function is a handler made by Func.
type Function struct{ b *body }

// body is what a function does: a statement, or run.
type body struct {
	statement *statement
	argType   reflect.Type
	args      []field
	result    *abi.Schema
	// run decodes the input, calls the handler and encodes into dst.
	run     func(c *Call, input, dst []byte) reply
	problem error
}

// reply is what a run gives back.
type reply struct {
	tag    abi.Tag
	handle int32
	data   []byte
}

// Func makes a function of a handler. A is the input: arguments, and fields
// tagged claim or scope, which are all that the handler sees of its caller. O is
// the result: a struct, a slice, a scalar, None, or Rows to pass rows on
// unread.
//
// An error made by Fail reaches the client; any other is "internal" to it.
// A panic ends the call and the instance.
//
//	func summary(c *weir.Call, a MineArgs) (Summary, error) {
//		rooms, err := mine.All(c, a)
//		return Summary{Rooms: len(rooms)}, err
//	}
func Func[A, O any](handler func(*Call, A) (O, error)) *Function {
	var zero O
	b := newBody[A]()
	rows, isRows := any(zero).(interface{ rowSchema() (abi.Schema, error) })
	if isRows {
		b.setResult(rows.rowSchema())
		b.run = runner(b, handler, func(dst []byte, out *O) reply {
			// Rows of all types lie alike in memory. An interface that tells what
			// they are would be made anew at each call.
			return (*held)(unsafe.Pointer(out)).reply(dst)
		})
		return &Function{b}
	}
	if reflect.TypeFor[O]() == reflect.TypeFor[None]() {
		b.run = runner(b, handler, func([]byte, *O) reply { return reply{tag: abi.TagNone} })
		return &Function{b}
	}
	result, err := newCodec(reflect.TypeFor[O](), asMap, "", 0)
	if err != nil {
		err = errors.New("its result " + err.Error())
	}
	b.setResult(result.schema, err)
	b.run = runner(b, handler, func(dst []byte, out *O) reply {
		return reply{tag: abi.TagValue, data: result.append(dst, unsafe.Pointer(out))}
	})
	return &Function{b}
}

func (b *body) setResult(s abi.Schema, err error) {
	b.result = &s
	if b.problem == nil {
		b.problem = err
	}
}

// newBody plans the input of type A.
func newBody[A any]() *body {
	b := &body{argType: reflect.TypeFor[A]()}
	b.args, b.problem = inputFields(b.argType)
	return b
}

// runner is the path of every call: decode, handle, encode.
func runner[A, O any](b *body, handler func(*Call, A) (O, error), encode func(dst []byte, out *O) reply) func(*Call, []byte, []byte) reply {
	// One frame is kept from call to call: an allocation costs a guest more than the
	// rest of a small call. It is taken out while in use, as the spare buffers are.
	// zero is never written. To copy it is faster than to clear a frame, because
	// wazero fills memory by many copies.
	var spare *frame[A, O]
	zero := new(frame[A, O])
	return func(c *Call, input, dst []byte) reply {
		if b.problem != nil {
			return failure(dst, b.problem)
		}
		f := spare
		if keepsFrames {
			spare = nil
		}
		if f == nil {
			f = new(frame[A, O])
		}
		f.decoder = abi.NewDecoder(input)
		err := readInput(&f.decoder, b.args, unsafe.Pointer(&f.args))
		if err == nil {
			f.out, err = handler(c, f.args)
		}
		var r reply
		if err == nil {
			r = encode(dst, &f.out)
		} else {
			r = failure(dst, err)
		}
		if keepsFrames {
			*f = *zero // a call leaves nothing behind
			spare = f
		}
		return r
	}
}

// frame is what a call's codecs are given pointers to. They are called through
// variables, so that it must lie in the heap.
type frame[A, O any] struct {
	decoder abi.Decoder
	args    A
	out     O
}

// readInput decodes a function's input into the struct at p.
func readInput(d *abi.Decoder, args []field, p unsafe.Pointer) error {
	if err := readFields(d, args, p); err != nil {
		return &Error{Code: abi.GuestContract, Message: "input " + err.Error()}
	}
	return d.Done()
}

// failure encodes an error value.
func failure(dst []byte, err error) reply {
	e := *publicError(err)
	e.Code, e.Message = abi.Code(cut(string(e.Code), 200)), cut(e.Message, maxMessage)
	return reply{tag: abi.TagError, data: abi.AppendError(dst, &e)}
}

// inputFields plans a struct as an input: arguments, claims, scope, action,
// function, each in declaration order.
func inputFields(t reflect.Type) ([]field, error) {
	fields, err := fieldsOf(t, asArray, 0)
	if err != nil {
		return nil, err
	}
	sorted := make([]field, 0, len(fields))
	for from := fromCaller; from <= fromFunction; from++ {
		for _, f := range fields {
			if f.source == from {
				sorted = append(sorted, f)
			}
		}
	}
	return sorted, nil
}

func (s *Statement[A, R]) body() *body { return s.s.body() }
func (s *Command[A, R]) body() *body   { return s.s.body() }
func (f *Function) body() *body        { return f.b }

func (*Statement[A, R]) readsOnly() {}
func (*Function) readsOnly()        {}

// body makes a statement a function. The host runs it, so there is no run.
func (s *statement) body() *body {
	b := &body{statement: s, argType: s.argType, problem: s.problem}
	if b.problem == nil {
		b.args, b.problem = inputFields(s.argType)
	}
	b.result = s.result()
	return b
}

// rowSchema is the schema of a result of such rows.
func (Rows[R]) rowSchema() (abi.Schema, error) {
	row, err := newCodec(reflect.TypeFor[R](), asMap, "", 0)
	if err != nil {
		return abi.Schema{}, err
	}
	return abi.Schema{Type: "array", Items: &row.schema}, nil
}
