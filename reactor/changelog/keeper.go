package changelog

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"

	"weir/reactor"
)

// keeper looks after the log beside the reading, over a connection of its own:
// it rotates, watches definitions and triggers, and repairs. Owned by one
// goroutine of Listener.Run.
type keeper struct {
	l        *Listener
	rotating bool   // this session holds the rotation lock
	print    string // last catalog fingerprint
}

func newKeeper(l *Listener) *keeper { return &keeper{l: l} }

// run works until ctx ends. Its failures are told by the reader's, which meets
// the same server; alone they only delay.
func (k *keeper) run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := k.session(ctx); err != nil && ctx.Err() == nil {
			k.l.cfg.Logger.Debug("change log is not looked after", "err", err)
		}
		k.l.sleep(ctx, k.l.cfg.Catalog/2+rand.N(k.l.cfg.Catalog))
	}
}

func (k *keeper) session(ctx context.Context) error {
	connecting, cancel := context.WithTimeout(ctx, 2*k.l.cfg.Heartbeat)
	defer cancel()
	conn, err := connect(connecting, k.l.cfg.URL, k.l.dialer)
	if err != nil {
		return err
	}
	defer func() {
		closeConn(conn)
		<-conn.PgConn().CleanupDone()
	}()
	k.rotating = false
	epoch, err := k.compare(ctx, conn)
	if err != nil {
		return err
	}
	for began := time.Now(); ; {
		if e := k.l.Stats().Epoch; e != "" && e != epoch || time.Since(began) > k.l.cfg.Renew {
			return errMoved // this connection may lead to a server of before
		}
		if err := k.tick(ctx, conn); err != nil {
			return err
		}
		timer := time.NewTimer(k.l.cfg.Catalog)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-k.l.look:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// compare returns the epoch of the server that a new connection leads to. The
// reader's may lead to the primary of before, which lives and answers; nothing in
// it would ever tell (C4). A reader that is right finds that out soon.
func (k *keeper) compare(ctx context.Context, conn *pgx.Conn) (reactor.Epoch, error) {
	ctx, cancel := context.WithTimeout(ctx, max(10*k.l.cfg.Heartbeat, 10*time.Second))
	defer cancel()
	var epoch string
	if err := conn.QueryRow(ctx, `select `+EpochExpr(serverVersion(conn))).Scan(&epoch); err != nil {
		return "", err
	}
	if s := k.l.Stats(); s.Healthy && s.Epoch != "" && string(s.Epoch) != epoch {
		k.l.cfg.Logger.Warn("the change log may be read from a server that is no longer the primary: connecting anew")
		k.l.Redial()
	}
	return reactor.Epoch(epoch), nil
}

func (k *keeper) tick(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, max(10*k.l.cfg.Heartbeat, 10*time.Second))
	defer cancel()
	if err := k.definitions(ctx, conn); err != nil {
		return err
	}
	if err := k.triggers(ctx, conn); err != nil {
		return err
	}
	return k.rotate(ctx, conn)
}

// definitions compares the catalog's fingerprint (C11). A difference becomes a
// DDL change whose number is taken after the look: no result that lacks what was
// found sees it.
func (k *keeper) definitions(ctx context.Context, conn *pgx.Conn) error {
	print, err := fingerprint(ctx, conn, k.l.cfg.Roles())
	if err != nil {
		return err
	}
	if k.print != "" && print != k.print {
		xid, err := burn(ctx, conn)
		if err != nil {
			return err
		}
		if err := k.l.cfg.Capture.load(ctx, conn); err != nil {
			return err
		}
		k.l.addPending(reactor.Change{XID: xid, Op: reactor.DDL})
		k.l.Poke()
	}
	k.print = print
	return nil
}

// triggers repairs what it may and tells the rest.
func (k *keeper) triggers(ctx context.Context, conn *pgx.Conn) error {
	missing, err := uncaptured(ctx, conn)
	if err != nil {
		return err
	}
	stale, err := staleTables(ctx, conn)
	if err != nil {
		return err
	}
	for _, root := range stale {
		if _, ok := missing[root]; ok {
			continue // below
		}
		// Its results are right meanwhile, only less narrow: nobody is told.
		short, cancel := context.WithTimeout(ctx, 2*time.Second)
		err := k.l.cfg.Capture.watch(short, conn, []Watch{{Table: root}})
		cancel()
		if err != nil && conn.IsClosed() {
			return err
		}
	}
	repaired := false
	for root, d := range missing {
		// A trigger that somebody disabled stays so; it is told.
		if !d.repairable {
			continue
		}
		short, cancel := context.WithTimeout(ctx, 2*time.Second)
		err := k.l.cfg.Capture.watch(short, conn, []Watch{{Table: root}})
		cancel()
		if err != nil && conn.IsClosed() {
			return err
		}
		repaired = true
	}
	if repaired {
		if missing, err = uncaptured(ctx, conn); err != nil {
			return err
		}
	}
	k.tell(missing)
	return nil
}

func (k *keeper) tell(missing map[uint32]drift) {
	var told map[uint32]string
	for root, d := range missing {
		if told == nil {
			told = map[uint32]string{}
		}
		told[root] = d.why
	}
	k.l.setState(func(s *Stats) bool {
		news := len(told) != len(s.Uncaptured)
		for root, why := range told {
			news = news || s.Uncaptured[root] != why
		}
		s.Uncaptured = told
		return news
	})
}
