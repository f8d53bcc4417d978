package weirtest

import (
	"bytes"
	"time"

	"weir/abi"
	"weir/plugins/guest/internal/door"
)

// host is a fake of the host functions. Handle n is results[n-1].
type host struct {
	now     time.Time
	config  map[string]string
	answers map[int32]*answer
	runs    []run
	results []*result
	logs    []Entry
	wake    time.Time
	problem string // text of the last errno
}

var _ door.Host = (*host)(nil)

// answer is what a statement was told to say.
type answer struct {
	rows     func(args []byte) ([][]byte, error)
	affected *int64
}

// run is one use of a statement.
type run struct {
	statement int32
	args      []byte
}

// result is a handle. Its rows are there once it ran.
type result struct {
	run
	ran      bool
	problem  string
	rows     [][]byte
	affected int64
}

func (h *host) answer(s door.Statement) *answer {
	if h.answers[s.Index] == nil {
		h.answers[s.Index] = &answer{}
	}
	return h.answers[s.Index]
}

// Query records the statement; like the host, it runs nothing yet.
func (h *host) Query(statement int32, args []byte) int32 {
	r := &result{run: run{statement, bytes.Clone(args)}}
	h.runs = append(h.runs, r.run)
	h.results = append(h.results, r)
	return int32(len(h.results))
}

// Exec runs at once.
func (h *host) Exec(statement int32, args []byte) int32 {
	handle := h.Query(statement, args)
	if _, errno := h.result(handle); errno < 0 {
		return errno
	}
	return handle
}

// result returns a result that ran, or a negated errno.
func (h *host) result(handle int32) (*result, int32) {
	if handle < 1 || int(handle) > len(h.results) {
		return nil, h.refuse(abi.ErrnoHandle, "no such handle")
	}
	r := h.results[handle-1]
	if !r.ran {
		h.execute(r)
	}
	if r.problem != "" {
		return nil, h.refuse(abi.ErrnoSQL, r.problem)
	}
	return r, 0
}

func (h *host) execute(r *result) {
	r.ran = true
	a := h.answers[r.statement]
	if a == nil {
		r.problem = "the test has no answer for it: add weirtest.Fake(statement, rows...)"
		return
	}
	if a.rows != nil {
		rows, err := a.rows(r.args)
		if err != nil {
			r.problem = err.Error()
			return
		}
		r.rows, r.affected = rows, int64(len(rows))
	}
	if a.affected != nil {
		r.affected = *a.affected
	}
}

func (h *host) RowsAffected(handle int32) int64 {
	r, errno := h.result(handle)
	if errno < 0 {
		return int64(errno)
	}
	return r.affected
}

func (h *host) RowsLen(handle int32) int32 {
	r, errno := h.result(handle)
	if errno < 0 {
		return errno
	}
	return int32(len(r.rows))
}

func (h *host) RowsRead(handle, from int32, buf []byte) int32 {
	r, errno := h.result(handle)
	if errno < 0 {
		return errno
	}
	n := 0
	for _, row := range r.rows[min(int(from), len(r.rows)):] {
		if n+len(row) > len(buf) {
			if n == 0 {
				return int32(len(row))
			}
			break
		}
		n += copy(buf[n:], row)
	}
	return int32(n)
}

func (h *host) RowsPick(handle int32, indexes []uint32) int32 {
	r, errno := h.result(handle)
	if errno < 0 {
		return errno
	}
	picked := &result{run: r.run, ran: true}
	for _, i := range indexes {
		if int(i) >= len(r.rows) {
			return h.refuse(abi.ErrnoInvalid, "no row with that index")
		}
		picked.rows = append(picked.rows, r.rows[i])
	}
	h.results = append(h.results, picked)
	return int32(len(h.results))
}

func (h *host) Close(int32) int32 { return 0 }

func (h *host) Now() int64 { return h.now.UnixMicro() }

func (h *host) WakeAt(micros int64) int32 {
	if t := time.UnixMicro(micros).UTC(); h.wake.IsZero() || t.Before(h.wake) {
		h.wake = t
	}
	return 0
}

func (h *host) Log(level int32, text string) int32 {
	h.logs = append(h.logs, Entry{int(level), text})
	return 0
}

func (h *host) Config(key string, buf []byte) int32 {
	value, ok := h.config[key]
	if !ok {
		return h.refuse(abi.ErrnoMissing, "no such key")
	}
	if len(value) <= len(buf) {
		copy(buf, value)
	}
	return int32(len(value))
}

func (h *host) Error(buf []byte) int32 { return int32(copy(buf, h.problem)) }

func (h *host) refuse(errno abi.Errno, text string) int32 {
	h.problem = text
	return -int32(errno)
}
