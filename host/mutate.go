package host

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"weir/abi"
	"weir/host/calls"
	"weir/host/db"
	"weir/host/plugin"
	"weir/host/policy"
	"weir/host/serve"
	"weir/host/wasm"
	"weir/reactor"
)

// mutation is one try of a mutation: its policies and its function in one write
// transaction. It implements policy.Runner for those policies, so that they are
// never answered from anything older (F11).
type mutation struct {
	host  *Host
	space *space
	tx    *db.WriteTx
	now   time.Time
}

var _ policy.Runner = (*mutation)(nil)

// mutator is who calls a mutation, and how.
type mutator struct {
	policy.Caller
	principal string // "" for nobody in particular
	key       string // the idempotency key, "" if there is none
}

// answer is what came of a mutation.
type answer struct {
	result []byte // one JSON value
	tx     reactor.Stamp
}

// mutate runs a mutation: up to three tries on a serialization failure, then
// conflict, and on what has spoilt the transaction through no fault of its own
// (R4, R9, C4). It commits only if the function succeeds.
func (h *Host) mutate(ctx context.Context, s *space, fn *plugin.Function, args abi.Value, who mutator) (answer, error) {
	if who.key != "" {
		if err := s.calls.Ready(ctx); err != nil {
			return answer{}, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, s.tenant.Limits.WithDefaults().MutationTimeout)
	defer cancel()
	var a answer
	var err error
	for range tries {
		a, err = h.mutateOnce(ctx, s, fn, args, who)
		if !errors.Is(err, db.ErrConflict) && !errors.Is(err, db.ErrUnstable) {
			break
		}
	}
	return a, err
}

func (h *Host) mutateOnce(ctx context.Context, s *space, fn *plugin.Function, args abi.Value, who mutator) (answer, error) {
	tx, err := s.database.Write(ctx)
	if err != nil {
		return answer{}, err
	}
	defer tx.Close()
	m := &mutation{host: h, space: s, tx: tx, now: time.Now()}
	decision, err := s.guard.Decide(ctx, m, fn, args, who.Caller)
	if err != nil {
		return answer{}, err
	}
	if err := tx.Stable(ctx); err != nil { // R9: what the policies read
		return answer{}, err
	}
	if decision.Answer != reactor.Allow {
		return answer{}, serve.Denial(decision.Policy, decision.Reason)
	}
	in, err := fn.Input(args, abi.Caller{Claim: who.Claim, Scope: scopeOf(decision.Scope)})
	if err != nil {
		return answer{}, err
	}
	result, known, err := m.once(ctx, newCall(s, fn, in), who)
	if err != nil {
		return answer{}, err
	}
	if known != nil {
		return answer{result: known.Result, tx: known.Tx}, nil // and nothing is committed
	}
	xid, err := tx.Commit(ctx)
	if err != nil {
		return answer{}, err
	}
	a := answer{result: result}
	if xid != 0 {
		a.tx = reactor.TxStamp(tx.Epoch(), xid) // F11: opaque, and of one history only
	}
	return a, nil
}

// once runs the function, unless the call has an idempotency key and was answered
// before: then that answer is returned. Policies have been asked either way.
func (m *mutation) once(ctx context.Context, c *call, who mutator) ([]byte, *calls.Answer, error) {
	if who.key == "" {
		result, err := m.run(ctx, c)
		return result, nil, err
	}
	log := m.space.calls
	// Claims and scope may change between two tries; what the client sent does not.
	args := abi.Array(c.input.Values[:len(c.fn.Fields)]...).AppendCBOR(nil)
	keyed := calls.NewCall(who.principal, c.fn.Name, who.key, args)
	known, err := log.Begin(ctx, m.tx, keyed)
	if err != nil || known != nil {
		return nil, known, err
	}
	result, err := m.run(ctx, c)
	if err == nil {
		err = log.End(ctx, m.tx, keyed, result)
	}
	return result, nil, err
}

// run runs the function and renders its result, before the commit: a result that
// cannot be shown undoes the mutation.
func (m *mutation) run(ctx context.Context, c *call) ([]byte, error) {
	limit := int(m.space.tenant.Limits.WithDefaults().MaxResultBytes)
	if c.waves() {
		a, err := m.tx.Exec(ctx, c.query(m.now))
		if err != nil {
			return nil, err
		}
		if a.Rows == nil || a.Rows.Columns() == 0 {
			return strconv.AppendInt(nil, a.Affected, 10), nil
		}
		result := a.Rows.AppendJSON(nil)
		return result, within(len(result), limit)
	}
	out, err := m.guest(ctx, c)
	if err != nil {
		return nil, err
	}
	switch out.Kind {
	case wasm.OutputRows:
		return out.View.AppendJSON(nil, limit)
	case wasm.OutputValue:
		v, err := abi.DecodeCBOR(out.Value)
		if err != nil {
			return nil, fmt.Errorf("result: %w", err)
		}
		result := v.AppendJSON(nil)
		return result, within(len(result), limit)
	}
	return []byte("null"), nil
}

// guest runs a guest function in the mutation's transaction.
func (m *mutation) guest(ctx context.Context, c *call) (*wasm.Output, error) {
	kind := db.Write
	if c.fn.Kind == abi.Policy {
		kind = db.Read // its statements were prepared for reading
	}
	s := &statements{
		call: c, checker: m.host.checker(m.space), now: m.now, kind: kind,
		begin: func(context.Context) (transaction, error) { return m.tx, nil },
	}
	out, err := c.fn.Call(ctx, c.guest(m.now, s, m.host))
	if s.spoilt != nil {
		return nil, s.spoilt
	}
	if err == nil {
		err = s.refused(out)
	}
	if err != nil {
		return nil, err
	}
	if out.Kind == wasm.OutputError {
		return nil, outputError(c, out)
	}
	return out, s.finish(ctx, out)
}

// RunPolicy implements policy.Runner inside the mutation's transaction.
func (m *mutation) RunPolicy(ctx context.Context, fn *plugin.Function, in abi.Input) (policy.Outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, m.space.tenant.Limits.WithDefaults().PolicyTimeout)
	defer cancel()
	c := newCall(m.space, fn, in)
	if c.waves() {
		a, err := m.tx.Exec(ctx, c.query(m.now))
		if err != nil {
			return policy.Outcome{}, err
		}
		return policy.Outcome{Rows: a.Rows}, nil
	}
	out, err := m.guest(ctx, c)
	if err != nil {
		return policy.Outcome{}, err
	}
	return policy.Outcome{Value: out.Value}, nil
}
