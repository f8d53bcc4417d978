package wasm

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/tetratelabs/wazero/api"

	"weir/abi"
	"weir/host/inspect"
)

// image is what an instance was after its start, before any caller's call: all
// later instances are born from it and are made it again. It is immutable, and
// belongs to one pool, so to one tenant, digest and configuration.
type image struct {
	size    uint64
	data    []byte // the memory, not to be changed
	mapping *mapping
	globals []savedGlobal

	// G6, G10: the input buffer and the clock belong to the image.
	input, inputSize uint32
	ticks            uint64

	way    *way          // how an instance is made the image again
	mapped *atomic.Int64 // mapped instances of the whole runtime
}

// savedGlobal is a mutable global by the name that the meter exports it with.
type savedGlobal struct {
	name  string
	value uint64
}

// newImage takes the image of an instance that is not used afterwards.
func newImage(i *instance) *image {
	m := &image{
		input: i.input, inputSize: i.inputSize, ticks: i.ticks, size: uint64(len(i.memory.data)),
		mapped: &i.pool.runtime.mapped,
	}
	for _, n := range i.pool.module.metered.Globals {
		name := inspect.StateGlobal + strconv.FormatUint(uint64(n), 10)
		m.globals = append(m.globals, savedGlobal{name, i.mod.ExportedGlobal(name).Get()})
	}
	if mapping, err := newMapping(i.memory.data); err == nil {
		m.mapping, m.data = mapping, mapping.data
	} else { // another system, or one that allows no such files
		m.data = bytes.Clone(i.memory.data)
	}
	m.way = &way{kind: discards}
	if m.mapping == nil {
		m.way = &way{copies, []span{{0, m.size}}}
	}
	return m
}

// born returns address space whose start is the image, or nil where memory must be
// on the heap.
func (m *image) born(limit uint64) []byte {
	if m.mapping == nil {
		return nil
	}
	if m.mapped.Add(1) > maxMapped() {
		m.mapped.Add(-1)
		return nil
	}
	space, err := m.mapping.born(limit)
	if err != nil {
		m.mapped.Add(-1)
		return nil
	}
	return space
}

// maxMapped is how many instances of a process may be mapped at once.
var maxMapped = sync.OnceValue(maxMappings)

// close frees the image. No instance is made it again.
func (m *image) close() {
	if m.mapping != nil {
		m.mapping.close()
	}
}

// imagine starts an instance, warms it up and takes its image. It also returns the
// manifest. The image is nil if instances cannot be made it again: then each call
// gets one that was just started. The caller holds a token to run.
func (p *Pool) imagine(ctx context.Context) (*image, []byte, error) {
	i, manifest, err := p.start(ctx, p.config.InitSeed, p.config.LoadedAt)
	if err != nil {
		return nil, nil, err
	}
	defer func() { i.close(ctx) }()
	if p.module.metered.Fixed != "" {
		return nil, manifest, nil
	}
	if !i.warmUp(ctx, manifest) {
		i.close(ctx)
		if i, manifest, err = p.start(ctx, p.config.InitSeed, p.config.LoadedAt); err != nil {
			return nil, nil, err
		}
	}
	return newImage(i), manifest, nil
}

// errWarmUp ends a guest that asks for something while it is warmed up.
var errWarmUp = errors.New("a guest asks for something while it is warmed up")

// maxWarmUps bounds the functions that an instance is warmed up with.
const maxWarmUps = 16

// warmUp lets the guest do what it does at its first calls only, such as to
// allocate its heap's first pages: each function gets an input of no bytes, which
// cannot be decoded, so that no code of the author's sees it. It reports whether the
// instance is still good, which it is not if the guest asked the host for anything:
// it may have remembered the answer.
func (i *instance) warmUp(ctx context.Context, manifest []byte) bool {
	m, err := abi.DecodeManifest(manifest)
	if err != nil {
		return true // there is nothing to call
	}
	budget := min(startTimeout, i.pool.config.Limits.GuestTimeout)
	for n := range m.Functions {
		if n == maxWarmUps {
			break
		}
		if m.Functions[n].Statement != nil {
			continue
		}
		c := &Call{
			Function: n, Name: m.Functions[n].Name, Kind: abi.Query, warmUp: true,
			Now: i.bornAt, Seed: func() [32]byte { return i.seed },
		}
		if err := i.guard(ctx, c, budget, func(w *watch) error {
			return i.exchange(w, c, &c.out)
		}); err != nil || i.frame.looked {
			return false
		}
	}
	// Now that the heap has its size, ask once more for the buffer (G6).
	return i.guard(ctx, nil, budget, func(w *watch) error { return i.offer(w, abi.InputBuffer) }) == nil
}

// bear makes an instance of the image, without running any of its code.
func (p *Pool) bear(ctx context.Context, m *image) (*instance, error) {
	i, err := p.newInstance()
	if err != nil {
		return nil, err
	}
	i.image, i.memory.image = m, m
	err = i.guard(ctx, nil, startTimeout, i.link)
	if err == nil {
		i.globals = make([]api.MutableGlobal, len(m.globals))
		for n, g := range m.globals {
			i.globals[n] = i.mod.ExportedGlobal(g.name).(api.MutableGlobal)
		}
		i.restoreGlobals()
	}
	if err != nil {
		i.close(ctx)
		return nil, err
	}
	return i, nil
}

// restore makes the instance the image again, and reports whether it could.
func (i *instance) restore() bool {
	m := i.image
	if m == nil || !i.memory.restore(i.mod.Memory()) {
		return false
	}
	i.restoreGlobals()
	return true
}

// restoreGlobals does so for all but the memory.
func (i *instance) restoreGlobals() {
	m := i.image
	for n, g := range i.globals {
		g.Set(m.globals[n].value)
	}
	i.input, i.inputSize, i.ticks = m.input, m.inputSize, m.ticks
}
