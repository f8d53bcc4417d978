package wasm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"weir/abi"
	"weir/abi/abitest"
	"weir/abi/conform"
	"weir/host/tenant"
)

// This host keeps the contract: every rule of the kit, with its wrong guests.
// Cases: 26, 27, 29, 34.
func TestHostPassesTheConformanceKit(t *testing.T) {
	t.Parallel()
	abitest.Hosts(t, kitHost{})
}

// kitHost is the shared runtime for the kit.
type kitHost struct{}

var _ abitest.Host = kitHost{}

// Load makes a pool and asks it to describe itself.
func (kitHost) Load(t testing.TB, code []byte, s abitest.Setup) (abitest.Loaded, error) {
	t.Helper()
	var m *Module
	var err error
	if s.Name != "" {
		m, err = shared.Compiler().CompileSource(t.Context(), code, s.Name, s.Text)
	} else {
		m, err = shared.Compile(t.Context(), code)
	}
	if err != nil {
		return nil, refusedToo(err)
	}
	t.Cleanup(func() { _ = m.Close(context.Background()) })
	limits := tenant.Limits{
		GuestTimeout: s.GuestTimeout, MaxMemoryBytes: s.MemoryBytes, MaxResultBytes: s.ResultBytes, MaxHostCalls: s.HostCalls,
		MaxStatements: s.Statements, MaxHandles: s.Handles, MaxResultRows: s.ResultRows, MaxGuestLogLines: s.Logs, MaxGuestLogBytes: s.LogBytes,
	}
	if limits.GuestTimeout == 0 {
		limits.GuestTimeout = generous.GuestTimeout
	}
	p, err := NewPool(shared, m, PoolConfig{Plugin: "kit", Limits: limits, Dynamic: s.Dynamic, Log: s.Log})
	if err != nil {
		return nil, refusedToo(err)
	}
	t.Cleanup(func() { p.Close(context.Background()) })
	ctx := t.Context()
	if s.StartTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.StartTimeout)
		defer cancel()
	}
	manifest, err := p.Describe(ctx)
	if err != nil {
		return nil, refusedToo(err)
	}
	return &kitPlugin{p, manifest}, nil
}

// refusedToo is what the kit knows a RefusedError by.
func refusedToo(err error) error {
	var refusal *RefusedError
	if errors.As(err, &refusal) {
		return fmt.Errorf("%w: %w", abitest.ErrRefused, err)
	}
	return err
}

// kitPlugin is a pool for the kit.
type kitPlugin struct {
	pool     *Pool
	manifest []byte
}

// Manifest returns what the plugin said of itself.
func (p *kitPlugin) Manifest() []byte { return p.manifest }

// Call runs a call and, for rows, what it left to the host.
func (p *kitPlugin) Call(ctx context.Context, c abitest.Call) (*abitest.Outcome, error) {
	db := &kitDatabase{answer: c.Answer}
	out := &abitest.Outcome{}
	got, err := p.pool.Call(ctx, &Call{
		Function: c.Function, Name: fmt.Sprint("case.n", c.Function), Kind: c.Kind, Input: c.Input, Statements: c.Params,
		Now: time.UnixMicro(c.Now), Seed: func() [32]byte { return [32]byte{c.Seed} }, Backend: db,
		Config: func(key string) (string, bool) {
			value, ok := c.Config[key]
			return value, ok
		},
		Log: func(level int, line string) { out.Log = append(out.Log, fmt.Sprint(level, " ", line)) },
	})
	if err != nil {
		return nil, err
	}
	out.Ran, out.Looked, out.Value, out.Err = slices.Clone(db.ran), got.Looked, got.Value, got.Err
	if !got.WakeAt.IsZero() {
		out.WakeAt = got.WakeAt.UnixMicro()
	}
	for _, q := range got.Queries {
		if !q.Ran() {
			out.Left++
		}
	}
	switch got.Kind {
	case OutputNone:
		out.Tag = abi.TagNone
	case OutputError:
		out.Tag = abi.TagError
	case OutputRows:
		out.Tag = abi.TagHandle
		for _, q := range got.View.Queries() {
			if !q.Ran() {
				if err := db.Query(ctx, []*Query{q}); err != nil {
					return nil, err
				}
			}
		}
		rows, err := got.View.AppendJSON(nil, 1<<20)
		out.Rows = string(rows)
		return out, err
	}
	return out, nil
}

// kitDatabase answers as the kit says.
type kitDatabase struct {
	answer func(context.Context, abitest.Asked) abitest.Answer
	ran    [][]abitest.Asked
}

var _ Backend = (*kitDatabase)(nil)

// Query runs statements that wait, together.
func (d *kitDatabase) Query(ctx context.Context, qs []*Query) error {
	var group []abitest.Asked
	for _, q := range qs {
		group = append(group, asked(q))
	}
	d.ran = append(d.ran, group)
	for _, q := range qs {
		if err := d.fill(ctx, q); err != nil {
			return err
		}
	}
	return nil
}

// Exec runs one statement.
func (d *kitDatabase) Exec(ctx context.Context, q *Query) error {
	d.ran = append(d.ran, []abitest.Asked{asked(q)})
	return d.fill(ctx, q)
}

func (d *kitDatabase) fill(ctx context.Context, q *Query) error {
	a := d.answer(ctx, asked(q))
	q.Err, q.Affected = a.Err, a.Affected
	if a.Err == nil {
		q.Rows = &table{a.Columns, a.Rows}
	}
	return a.Fault
}

func asked(q *Query) abitest.Asked {
	return abitest.Asked{Statement: q.Statement, SQL: q.SQL, Args: abi.Array(q.Args...), Exec: q.Exec}
}

// The kit knows the same functions as the host, with the same types.
func TestKitKnowsWhatTheHostHas(t *testing.T) {
	t.Parallel()
	var have, want []conform.Function
	for _, f := range hostFuncs {
		have = append(have, conform.Function{Module: abi.Module, Name: f.name, Type: shortTypes(f.params, f.results)})
	}
	for _, f := range wasiFuncs {
		have = append(have, conform.Function{Module: abi.WASIModule, Name: f.name, Type: shortTypes(f.params, f.results)})
	}
	want = append(conform.HostFunctions(), conform.WASIFunctions()...)
	if !slices.Equal(have, want) {
		t.Errorf("the host has\n%v\nthe kit\n%v", have, want)
	}
	required, optional := conform.GuestExports()
	for _, e := range guestExports {
		all := required
		if e.optional {
			all = optional
		}
		if !slices.ContainsFunc(all, func(f conform.Function) bool { return f.Name == e.name }) {
			t.Errorf("the kit does not know the export %s", e.name)
		}
	}
}
