package host

import (
	"context"
	"errors"
	"time"

	"weir/host/db"
	"weir/host/plugin"
	"weir/host/wasm"
	"weir/reactor"
)

// reading is what a guest's statements saw.
type reading struct {
	epoch    reactor.Epoch
	snapshot reactor.Snapshot
	answers  []db.Answer
}

// read runs a guest function in a read transaction of its own, again if tables
// were rewritten under it (R9) or its plugin was loaded anew meanwhile.
func (h *Host) read(ctx context.Context, c *call, now time.Time) (out *wasm.Output, r *reading, err error) {
	for range tries {
		out, r, err = h.readOnce(ctx, c, now)
		switch {
		case errors.Is(err, plugin.ErrRetired):
			c = c.current()
		case !errors.Is(err, db.ErrUnstable):
			return out, r, err
		}
	}
	return nil, nil, err
}

// readOnce is one try. The transaction begins with the first statement whose
// rows the guest looks at. A call that looked at none runs as a wave (G13); the
// error that it returned instead of a result needs not even that.
func (h *Host) readOnce(ctx context.Context, c *call, now time.Time) (*wasm.Output, *reading, error) {
	var tx *db.ReadTx
	defer func() {
		if tx != nil {
			tx.Close()
		}
	}()
	open := func(ctx context.Context) (transaction, error) {
		var err error
		tx, err = c.space.database.Read(ctx)
		return tx, err
	}
	s := &statements{call: c, checker: h.checker(c.space), now: now, kind: db.Read, begin: open}
	out, err := c.fn.Call(ctx, c.guest(now, s, h))
	if s.spoilt != nil {
		return nil, nil, s.spoilt
	}
	if err == nil {
		err = s.refused(out)
	}
	switch {
	case err != nil:
		return nil, nil, err
	case s.lost != nil && out.Kind != wasm.OutputError:
		return nil, nil, s.lost
	case tx == nil && out.Kind == wasm.OutputError:
		return out, &reading{}, nil
	case tx == nil:
		w, err := s.wave(ctx, out)
		if err != nil {
			return nil, nil, err
		}
		return out, &reading{w.Epoch, w.Snapshot, s.answers}, nil
	}
	if err := s.finish(ctx, out); err != nil {
		return nil, nil, err
	}
	if err := tx.Finish(ctx); err != nil {
		return nil, nil, err
	}
	return out, &reading{tx.Epoch(), tx.Snapshot(), s.answers}, nil
}
