package wasm

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"weir/abi"
)

// maxArgs bounds the encoded arguments of one statement.
const maxArgs = 1 << 20

// maxReason bounds the text of an error that a guest may read.
const maxReason = 1 << 10

// query records a statement (G13): it validates, and nothing runs yet.
func (f *frame) query(p []uint64) int64 {
	q, errno := f.declared(p)
	if q == nil {
		return errno
	}
	return f.record(q)
}

// querySQL records SQL that the plugin did not declare.
func (f *frame) querySQL(p []uint64) int64 {
	if !f.inst.pool.config.Dynamic {
		return f.fail(abi.ErrnoGrant, "the capability sql.dynamic is not granted")
	}
	sql, errno := f.text(p[0], p[1], abi.MaxStatementText)
	if errno != abi.OK {
		return f.fail(errno, "")
	}
	if !utf8.ValidString(sql) || strings.ContainsRune(sql, 0) {
		return f.fail(abi.ErrnoInvalid, "the SQL is not valid UTF-8 text")
	}
	args, refused := f.args(p[2], p[3])
	switch {
	case refused != 0:
		return refused
	case len(args) > abi.MaxParameters:
		return f.fail(abi.ErrnoLimit, fmt.Sprintf("more than %d arguments", abi.MaxParameters))
	}
	return f.record(&Query{Statement: -1, SQL: sql, Args: args})
}

// exec runs a statement of a mutation, after all that was asked before it.
func (f *frame) exec(p []uint64) int64 {
	if f.call.Kind != abi.Mutation {
		return f.fail(abi.ErrnoState, "only a mutation may exec")
	}
	q, errno := f.declared(p)
	if q == nil {
		return errno
	}
	q.Exec = true
	if errno := f.flush(); errno != 0 {
		return errno
	}
	h := f.record(q)
	if h < 0 {
		return h
	}
	f.looked = true
	f.ran = len(f.queries)
	f.outside(func(ctx context.Context) error {
		if f.call.Backend == nil {
			return errNoBackend
		}
		return f.call.Backend.Exec(ctx, q)
	})
	if q.Err != nil {
		return f.refused(q.Err)
	}
	return h
}

// errNoBackend is a bug of the caller: a function with statements was called
// without what runs them.
var errNoBackend = errors.New("BUG: a call without a backend ran a statement")

// declared reads the statement and arguments of query and exec.
func (f *frame) declared(p []uint64) (*Query, int64) {
	index := int(uint32(p[0]))
	params, ok := f.call.Statements[index]
	if !ok {
		return nil, f.fail(abi.ErrnoGrant, fmt.Sprintf("statement %d is not among the function's uses", index))
	}
	args, refused := f.args(p[1], p[2])
	switch {
	case refused != 0:
		return nil, refused
	case len(args) != params:
		return nil, f.fail(abi.ErrnoInvalid, fmt.Sprintf("statement %d has %d parameters, not %d", index, params, len(args)))
	}
	return &Query{Statement: index, Args: args}, 0
}

// args decodes an array of arguments; no bytes are no arguments.
func (f *frame) args(ptr, n uint64) ([]abi.Value, int64) {
	if uint32(n) > maxArgs {
		return nil, f.fail(abi.ErrnoLimit, fmt.Sprintf("more than %d bytes of arguments", maxArgs))
	}
	data, ok := f.view(ptr, n)
	if !ok {
		return nil, f.fail(abi.ErrnoBounds, "")
	}
	if len(data) == 0 {
		return nil, 0
	}
	f.charge(8 * len(data))
	d := abi.NewDecoder(data)
	count, err := d.Array()
	if err != nil {
		return nil, f.fail(abi.ErrnoInvalid, "arguments: "+err.Error())
	}
	// A count is at most the bytes left, so this allocation is paid for, but a
	// Value is larger than a byte: grow with what is there.
	args := make([]abi.Value, 0, min(count, abi.MaxParameters))
	for range count {
		v, err := d.Value()
		if err != nil {
			return nil, f.fail(abi.ErrnoInvalid, "arguments: "+err.Error())
		}
		args = append(args, v)
	}
	if err := d.Done(); err != nil {
		return nil, f.fail(abi.ErrnoInvalid, "arguments: "+err.Error())
	}
	return args, 0
}

// record keeps a query and returns its handle.
func (f *frame) record(q *Query) int64 {
	if limit := f.inst.pool.config.Limits.MaxStatements; len(f.queries) >= limit {
		return f.limited("statements", fmt.Sprintf("more than %d statements in one call", limit))
	}
	h := f.hold(&View{query: q})
	if h >= 0 {
		f.queries = append(f.queries, q)
	}
	return h
}

// flush runs all queries that were recorded and have not run, together. It
// returns the errno of the first that failed.
func (f *frame) flush() int64 {
	pending := f.queries[f.ran:]
	if len(pending) == 0 {
		return 0
	}
	f.ran = len(f.queries)
	f.outside(func(ctx context.Context) error {
		if f.call.Backend == nil {
			return errNoBackend
		}
		return f.call.Backend.Query(ctx, pending)
	})
	for _, q := range pending {
		if !q.Ran() {
			f.stop(&HostError{Where: f.where(), Func: f.hosting, Err: errors.New("BUG: the backend left a query without an outcome")})
		}
		if q.Err != nil {
			return f.refused(q.Err)
		}
	}
	return 0
}

// refused tells the guest of a statement's error. Only errors that are about
// the plugin's own statement keep their text.
func (f *frame) refused(err error) int64 {
	var errno abi.Errno
	if errors.As(err, &errno) {
		return f.fail(errno, cut(err.Error()))
	}
	switch codeOf(err) {
	case abi.SQLError, abi.Conflict:
		return f.fail(abi.ErrnoSQL, cut(err.Error()))
	case abi.BadRequest:
		return f.fail(abi.ErrnoType, cut(err.Error()))
	case abi.ResultTooLarge:
		return f.fail(abi.ErrnoLimit, cut(err.Error()))
	}
	return f.fail(abi.ErrnoHost, "")
}

func cut(s string) string {
	if len(s) <= maxReason {
		return s
	}
	return strings.ToValidUTF8(s[:maxReason], "")
}
