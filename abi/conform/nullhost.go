package conform

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"unicode/utf8"

	"weir/abi"
)

// nullHost answers the imports of an instance without a database, and notes what
// a guest must not do. By default statements have no rows and configuration has
// no keys.
type nullHost struct {
	note func(rule, what string)

	// The script of the current call.
	fn     *abi.Function // nil: no function runs yet
	params []int         // parameters of each statement
	fails  map[string]abi.Errno
	rows   [][]byte // of every statement
	wide   int      // columns of the rows
	sloppy bool     // the input was wrong on purpose, so what is asked may be too

	now    int64 // µs
	seed   uint64
	ticks  uint64 // ns
	random *rand.ChaCha8

	calls   int
	handles []*handle
	errno   abi.Errno
	said    string // the first line on standard error
	ended   string // why the host ended the guest
}

// handle is one result that a call holds.
type handle struct {
	what   string // what was asked, for comparing
	exec   bool
	closed bool
}

// errEnded ends a guest.
var errEnded = errors.New("the host ended the guest")

// maxCalls is the default bound of a host on its functions in one call.
const maxCalls = 10_000

// begin starts a call of a function; nil is the start of the instance.
func (h *nullHost) begin(fn *abi.Function) {
	h.fn, h.calls, h.handles, h.errno, h.random = fn, 0, nil, 0, nil
}

// Answer answers one import.
func (h *nullHost) Answer(f Function, m Memory, p []uint64) (uint64, error) {
	if f.Module == abi.WASIModule {
		return h.wasi(f.Name, m, p)
	}
	if h.calls++; h.calls > maxCalls {
		return 0, h.end(fmt.Sprintf("it called more than %d host functions in one call", maxCalls))
	}
	result := h.weir(f.Name, m, p)
	if strings.HasSuffix(f.Type, ":i") {
		return uint64(uint32(int32(result))), nil
	}
	return uint64(result), nil
}

func (h *nullHost) end(why string) error {
	h.ended = why
	return errEnded
}

func (h *nullHost) fail(e abi.Errno) int64 {
	h.errno = e
	return -int64(e)
}

// view copies memory for a function, and notes an address outside.
func (h *nullHost) view(m Memory, function string, at, n uint64) ([]byte, bool) {
	b, ok := m.Read(uint32(at), uint32(n))
	if !ok {
		h.note(RuleAddresses, fmt.Sprintf("%s got %d bytes at %d of a memory of %d", function, uint32(n), uint32(at), m.Size()))
	}
	return b, ok
}

// weir answers a host function of the contract.
func (h *nullHost) weir(name string, m Memory, p []uint64) int64 {
	if h.fn == nil && name != abi.ImportLog {
		h.note(RuleEarly, "it calls "+name+" before the first call")
		return h.fail(abi.ErrnoState)
	}
	if e := h.fails[name]; e != abi.OK {
		return h.fail(e)
	}
	switch name {
	case abi.ImportQuery, abi.ImportExec:
		return h.declared(name, m, p)
	case abi.ImportQuerySQL:
		return h.dynamic(m, p)
	case abi.ImportNow:
		return h.now
	case abi.ImportWakeAt:
		return 0
	case abi.ImportRandom:
		return h.fill(m, p)
	case abi.ImportLog:
		if _, ok := h.view(m, name, p[1], p[2]); !ok {
			return h.fail(abi.ErrnoBounds)
		}
		return 0
	case abi.ImportConfig:
		key, ok := h.view(m, name, p[0], p[1])
		if _, offered := h.view(m, name, p[2], p[3]); !ok || !offered {
			return h.fail(abi.ErrnoBounds)
		}
		if len(key) > 255 {
			return h.fail(abi.ErrnoLimit)
		}
		return h.fail(abi.ErrnoMissing)
	case abi.ImportError:
		return h.give(m, name, p[0], p[1], []byte(h.reason()))
	}
	return h.result(name, m, p)
}

// reason is as long as a host's may be, when it is a scripted one.
func (h *nullHost) reason() string {
	text := h.errno.String()
	if len(h.fails) > 0 {
		text += ": " + strings.Repeat("é\n\"", 255)
	}
	return text
}

// fill fills memory with bytes of the seed.
func (h *nullHost) fill(m Memory, p []uint64) int64 {
	b, ok := h.view(m, abi.ImportRandom, p[0], p[1])
	if !ok {
		return h.fail(abi.ErrnoBounds)
	}
	if h.random == nil {
		var seed [32]byte
		binary.LittleEndian.PutUint64(seed[:], h.seed)
		h.random = rand.NewChaCha8(seed)
	}
	_, _ = h.random.Read(b)
	m.Write(uint32(p[0]), b)
	return 0
}

// give writes what fits, and tells the length.
func (h *nullHost) give(m Memory, name string, at, size uint64, data []byte) int64 {
	offered, ok := h.view(m, name, at, size)
	if !ok {
		return h.fail(abi.ErrnoBounds)
	}
	if len(data) <= len(offered) {
		m.Write(uint32(at), data)
	}
	return int64(len(data))
}

// declared answers query and exec.
func (h *nullHost) declared(name string, m Memory, p []uint64) int64 {
	index := int(uint32(p[0]))
	if name == abi.ImportExec && h.fn.Kind != abi.Mutation {
		h.note(RuleUses, fmt.Sprintf("%s is a %s and calls exec", h.fn.Name, h.fn.Kind))
		return h.fail(abi.ErrnoState)
	}
	uses := false
	for _, s := range h.fn.Uses {
		uses = uses || s == index
	}
	if !uses {
		h.note(RuleUses, fmt.Sprintf("%s asks for statement %d, which is not in its uses", h.fn.Name, int32(index)))
		return h.fail(abi.ErrnoGrant)
	}
	args, errno := h.arguments(name, m, p[1], p[2], h.params[index])
	if errno != abi.OK {
		return h.fail(errno)
	}
	return h.hold(&handle{what: fmt.Sprintf("%s %d %s", name, index, args), exec: name == abi.ImportExec})
}

func (h *nullHost) dynamic(m Memory, p []uint64) int64 {
	sql, ok := h.view(m, abi.ImportQuerySQL, p[0], p[1])
	if !ok {
		return h.fail(abi.ErrnoBounds)
	}
	if !utf8.Valid(sql) || len(sql) > abi.MaxStatementText {
		h.note(RuleArguments, "the SQL of query_sql is no text of UTF-8, or too long")
		return h.fail(abi.ErrnoInvalid)
	}
	args, errno := h.arguments(abi.ImportQuerySQL, m, p[2], p[3], -1)
	if errno != abi.OK {
		return h.fail(errno)
	}
	return h.hold(&handle{what: fmt.Sprintf("sql %q %s", sql, args)})
}

// arguments decodes the arguments of a statement with a number of parameters;
// -1 is any number.
func (h *nullHost) arguments(name string, m Memory, at, n uint64, params int) (abi.Value, abi.Errno) {
	data, ok := h.view(m, name, at, n)
	if !ok {
		return abi.Value{}, abi.ErrnoBounds
	}
	args, err := abi.Array(), error(nil)
	if len(data) > 0 {
		args, err = abi.DecodeCBOR(data)
	}
	why := ""
	switch {
	case err != nil:
		why = "they are " + fmt.Sprintf("%.40x", data) + ", which is no CBOR: " + err.Error()
	case args.Type() != abi.TypeArray:
		why = "they are no array"
	case params >= 0 && args.Len() != params:
		why = fmt.Sprintf("they are %d, and the statement has %d parameters", args.Len(), params)
	}
	if why == "" {
		return args, abi.OK
	}
	if !h.sloppy {
		h.note(RuleArguments, fmt.Sprintf("the arguments that %s gives to %s: %s", h.fn.Name, name, why))
	}
	return abi.Value{}, abi.ErrnoInvalid
}

func (h *nullHost) hold(r *handle) int64 {
	h.handles = append(h.handles, r)
	return int64(len(h.handles))
}

// held returns what a handle names.
func (h *nullHost) held(name string, p uint64) *handle {
	at := int32(uint32(p))
	switch {
	case at <= 0:
		h.note(RuleErrnos, fmt.Sprintf("it gives %d to %s as a handle: it has not looked at what came back", at, name))
	case int(at) > len(h.handles):
		h.note(RuleForgets, fmt.Sprintf("it gives handle %d to %s, which is not of this call", at, name))
	case h.handles[at-1].closed:
		h.note(RuleErrnos, fmt.Sprintf("it gives the closed handle %d to %s", at, name))
	default:
		return h.handles[at-1]
	}
	return nil
}

// result answers the functions of a result.
func (h *nullHost) result(name string, m Memory, p []uint64) int64 {
	r := h.held(name, p[0])
	if r == nil {
		return h.fail(abi.ErrnoHandle)
	}
	switch name {
	case abi.ImportRowsAffected:
		if !r.exec {
			h.note(RuleUses, "it asks rows_affected of a query")
			return h.fail(abi.ErrnoState)
		}
		return 0
	case abi.ImportRowsLen:
		return int64(len(h.rows))
	case abi.ImportRowsRead:
		return h.read(m, p)
	case abi.ImportRowsColumns:
		names := abi.AppendArray(nil, h.wide)
		for i := range h.wide {
			names = abi.AppendText(names, fmt.Sprintf("c%d", i))
		}
		return h.give(m, name, p[1], p[2], names)
	case abi.ImportRowsPick, abi.ImportRowsProject:
		list, ok := h.view(m, name, p[1], 4*uint64(uint32(p[2])))
		if !ok {
			return h.fail(abi.ErrnoBounds)
		}
		return h.hold(&handle{what: fmt.Sprintf("%s of (%s) %x", name, r.what, list)})
	case abi.ImportRowsNest:
		under, ok := h.view(m, name, p[1], p[2])
		child := h.held(name, p[3])
		switch {
		case !ok:
			return h.fail(abi.ErrnoBounds)
		case child == nil:
			return h.fail(abi.ErrnoHandle)
		}
		return h.hold(&handle{what: fmt.Sprintf("nest (%s) in (%s) as %q by %d and %d", child.what, r.what, under, uint32(p[4]), uint32(p[5]))})
	case abi.ImportClose:
		r.closed = true
	}
	return 0
}

// read writes whole rows, or tells how much one needs.
func (h *nullHost) read(m Memory, p []uint64) int64 {
	offered, ok := h.view(m, abi.ImportRowsRead, p[2], p[3])
	if !ok {
		return h.fail(abi.ErrnoBounds)
	}
	var page []byte
	for i := uint64(uint32(p[1])); i < uint64(len(h.rows)); i++ {
		if len(page)+len(h.rows[i]) > len(offered) {
			if len(page) == 0 {
				return -int64(max(len(h.rows[i]), 64))
			}
			break
		}
		page = append(page, h.rows[i]...)
	}
	m.Write(uint32(p[2]), page)
	return int64(len(page))
}
