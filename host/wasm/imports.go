package wasm

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tetratelabs/wazero/api"

	"weir/abi"
	"weir/host/inspect"
)

const (
	i32 = api.ValueTypeI32
	i64 = api.ValueTypeI64
)

// hostFunc is a host function of the contract. It gets its parameters and
// returns its result, or a negative errno.
type hostFunc struct {
	name    string
	params  []api.ValueType
	results []api.ValueType
	run     func(f *frame, p []uint64) int64
	early   bool // also allowed while the instance starts
}

var _ api.GoModuleFunction = (*hostFunc)(nil)

// hostFuncs are all host functions. Only GoModuleFunction: reflected ones cost
// eleven times as much.
var hostFuncs = []*hostFunc{
	{name: abi.ImportQuery, params: ints(3), results: ints(1), run: (*frame).query},
	{name: abi.ImportQuerySQL, params: ints(4), results: ints(1), run: (*frame).querySQL},
	{name: abi.ImportExec, params: ints(3), results: ints(1), run: (*frame).exec},
	{name: abi.ImportRowsAffected, params: ints(1), results: []api.ValueType{i64}, run: (*frame).rowsAffected},
	{name: abi.ImportRowsLen, params: ints(1), results: ints(1), run: (*frame).rowsLen},
	{name: abi.ImportRowsRead, params: ints(4), results: ints(1), run: (*frame).rowsRead},
	{name: abi.ImportRowsColumns, params: ints(3), results: ints(1), run: (*frame).rowsColumns},
	{name: abi.ImportRowsPick, params: ints(3), results: ints(1), run: (*frame).rowsPick},
	{name: abi.ImportRowsProject, params: ints(3), results: ints(1), run: (*frame).rowsProject},
	{name: abi.ImportRowsNest, params: ints(6), results: ints(1), run: (*frame).rowsNest},
	{name: abi.ImportClose, params: ints(1), results: ints(1), run: (*frame).closeHandle},
	{name: abi.ImportNow, results: []api.ValueType{i64}, run: (*frame).hostNow},
	{name: abi.ImportWakeAt, params: []api.ValueType{i64}, results: ints(1), run: (*frame).hostWakeAt},
	{name: abi.ImportRandom, params: ints(2), results: ints(1), run: (*frame).hostRandom},
	{name: abi.ImportLog, params: ints(3), results: ints(1), run: (*frame).hostLog, early: true},
	{name: abi.ImportConfig, params: ints(4), results: ints(1), run: (*frame).hostConfig},
	{name: abi.ImportError, params: ints(2), results: ints(1), run: (*frame).hostError},
}

func ints(n int) []api.ValueType {
	types := make([]api.ValueType, n)
	for i := range types {
		types[i] = i32
	}
	return types
}

// Call runs the function for wazero.
func (h *hostFunc) Call(ctx context.Context, mod api.Module, stack []uint64) {
	f := frameOf(ctx)
	f.begin(h.name, mod.Memory())
	if f.call != nil && f.call.warmUp {
		f.stop(errWarmUp)
	}
	f.count()
	var result int64
	if f.call == nil && !h.early {
		result = f.fail(abi.ErrnoState, h.name+" works only while a function runs")
	} else {
		result = h.run(f, stack)
	}
	f.finish()
	if h.results[0] == i32 {
		stack[0] = api.EncodeI32(int32(result))
		return
	}
	stack[0] = uint64(result)
}

// link makes the host modules that every guest is linked to.
func (r *Runtime) link(ctx context.Context) error {
	host := r.wazero.NewHostModuleBuilder(abi.Module)
	for _, f := range hostFuncs {
		host.NewFunctionBuilder().WithGoModuleFunction(f, f.params, f.results).Export(f.name)
	}
	_, err := host.Instantiate(ctx)
	wasi := r.wazero.NewHostModuleBuilder(abi.WASIModule)
	for _, f := range wasiFuncs {
		wasi.NewFunctionBuilder().WithGoModuleFunction(f, f.params, f.results).Export(f.name)
	}
	_, err2 := wasi.Instantiate(ctx)
	meter := r.wazero.NewHostModuleBuilder(inspect.MeterModule)
	meter.NewFunctionBuilder().WithGoModuleFunction(ticker{}, []api.ValueType{i64}, []api.ValueType{i64}).Export(inspect.MeterTick)
	_, err3 := meter.Instantiate(ctx)
	return errors.Join(err, err2, err3)
}

func (f *frame) hostNow([]uint64) int64 {
	f.looked = true
	return f.call.Now.UnixMicro()
}

// hostWakeAt keeps the earliest time asked for, at least a second from now (D9).
func (f *frame) hostWakeAt(p []uint64) int64 {
	f.looked = true
	at := time.UnixMicro(int64(p[0]))
	if first := f.call.Now.Add(time.Second); at.Before(first) {
		at = first
	}
	if f.wakeAt.IsZero() || at.Before(f.wakeAt) {
		f.wakeAt = at
	}
	return 0
}

// maxRandom bounds what one call fills, because a host function cannot be
// interrupted.
const maxRandom = 1 << 20

func (f *frame) hostRandom(p []uint64) int64 {
	if uint32(p[1]) > maxRandom {
		return f.fail(abi.ErrnoLimit, fmt.Sprintf("more than %d random bytes at once", maxRandom))
	}
	b, ok := f.view(p[0], p[1])
	if !ok {
		return f.fail(abi.ErrnoBounds, "")
	}
	f.fill(b)
	return 0
}

func (f *frame) hostLog(p []uint64) int64 {
	b, ok := f.view(p[1], p[2])
	if !ok {
		return f.fail(abi.ErrnoBounds, "")
	}
	level := int(int32(p[0]))
	if level < abi.LogDebug || level > abi.LogError {
		return f.fail(abi.ErrnoInvalid, fmt.Sprintf("log level %d", level))
	}
	f.charge(len(b))
	f.logs.entry(level, b)
	return 0
}

// maxConfigKey bounds the name of a configuration key.
const maxConfigKey = 255

func (f *frame) hostConfig(p []uint64) int64 {
	key, errno := f.text(p[0], p[1], maxConfigKey)
	if errno != abi.OK {
		return f.fail(errno, "")
	}
	if f.call.Config != nil {
		if value, ok := f.call.Config(key); ok {
			return f.give(p[2], p[3], []byte(value))
		}
	}
	return f.fail(abi.ErrnoMissing, "no configuration key "+key)
}

func (f *frame) hostError(p []uint64) int64 { return f.give(p[0], p[1], []byte(f.failure())) }
