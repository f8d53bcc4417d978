package db

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// cancelTimeout bounds the request that stops a statement on the server.
const cancelTimeout = 3 * time.Second

// pool keeps idle connections. The newest is given out first, so that old ones
// are not kept alive for nothing.
type pool struct {
	limit int // of prepared statements per connection
	slots slots
	wait  sync.WaitGroup // cancel requests

	mu     sync.Mutex // protects the fields below
	config *pgconn.Config
	// maxMessage bounds one message of the server, which is held in memory whole.
	maxMessage int
	idle       []*conn
	closed     bool
	dials      int64
	cancel     int64
}

// take returns a connection and the duty to give it back. fresh refuses idle
// ones, which may all be dead after a restart of the server.
func (p *pool) take(ctx context.Context, fresh bool) (*conn, error) {
	return p.get(ctx, fresh, false)
}

// extra is take for what a transaction may wait for: if all connections are
// taken there is one more. Else those who hold them would wait for each other
// until their deadlines.
func (p *pool) extra(ctx context.Context, fresh bool) (*conn, error) {
	return p.get(ctx, fresh, true)
}

func (p *pool) get(ctx context.Context, fresh, spare bool) (*conn, error) {
	extra, err := p.slots.take(ctx, spare)
	if err != nil {
		return nil, fault("wait for a database connection", err)
	}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		p.slots.give(extra)
		return nil, fault("use the database", ErrClosed)
	}
	if fresh {
		p.dropIdleLocked()
	}
	if n := len(p.idle); n > 0 {
		c := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		c.reused, c.extra, c.taken = true, extra, time.Now()
		return c, nil
	}
	p.dials++
	config, maxMessage := p.config, p.maxMessage
	p.mu.Unlock()
	c, err := p.dial(ctx, config, maxMessage)
	if err != nil {
		p.slots.give(extra)
		return nil, err
	}
	c.extra, c.taken = extra, time.Now()
	return c, nil
}

func (p *pool) dial(ctx context.Context, config *pgconn.Config, maxMessage int) (*conn, error) {
	raw, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		var refusal *pgconn.PgError
		if !errors.As(err, &refusal) && ctx.Err() == nil {
			return nil, fault("connect to the database", fmt.Errorf("%w: %w", ErrUnavailable, err))
		}
		return nil, fault("connect to the database", err)
	}
	server, err := raw.Hijack()
	if err != nil {
		return nil, fault("connect to the database", err)
	}
	server.Frontend.SetMaxBodyLen(maxMessage)
	return &conn{
		net: server.Conn, front: server.Frontend, server: server,
		prepared: map[uint64]*prepared{}, limit: p.limit, config: config,
	}, nil
}

// give takes a connection back. It must be idle and outside a transaction, or
// marked broken. One more than the bound is not kept.
func (p *pool) give(c *conn) {
	extra := c.extra // who takes c next sets another
	p.mu.Lock()
	keep := !c.broken && !p.closed && c.sent == c.received && !extra && c.config == p.config
	if keep {
		c.returned = time.Now()
		p.idle = append(p.idle, c)
	}
	p.mu.Unlock()
	if !keep {
		c.net.Close()
		_ = c.written() // the write ends with the connection
	}
	p.slots.give(extra)
}

// kill gives up a connection whose statement still runs: the statement is
// cancelled on the server, because closing the socket would not stop it.
func (p *pool) kill(c *conn) {
	c.broken = true
	p.mu.Lock()
	p.doubtLocked(c.taken)
	p.cancel++
	closed := p.closed
	if !closed {
		p.wait.Add(1)
	}
	p.mu.Unlock()
	if closed {
		p.give(c)
		return
	}
	go func() {
		defer p.wait.Done()
		defer p.give(c)
		ctx, cancel := context.WithTimeout(context.Background(), cancelTimeout)
		defer cancel()
		if raw, err := pgconn.Construct(c.server); err == nil {
			_ = raw.CancelRequest(ctx) // the server may be gone; statement_timeout is the backstop
		}
	}()
}

// configure makes connections in another way from now on. Those in use are
// closed when they are given back.
func (p *pool) configure(config *pgconn.Config, maxMessage int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.config, p.maxMessage = config, maxMessage
	p.dropIdleLocked()
}

// renew lets no connection that is there now be used again: what is idle is closed,
// what is in use when it is given back.
func (p *pool) renew() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.config = p.config.Copy() // another one: give does not keep what was made with the old
	p.dropIdleLocked()
}

// server is how connections are made now. It is not to be changed.
func (p *pool) server() *pgconn.Config {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.config
}

func (p *pool) largest() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.maxMessage
}

// doubtLocked closes the idle connections that were not answered since one was taken
// that had no answer up to its deadline. They may be as dead as that one, half-open
// after the network lost them, and each would cost another deadline. If it was only a
// slow statement, those that work were used meanwhile, and stay.
func (p *pool) doubtLocked(since time.Time) {
	p.idle = slices.DeleteFunc(p.idle, func(c *conn) bool {
		doubted := c.returned.Before(since)
		if doubted {
			c.net.Close()
		}
		return doubted
	})
}

func (p *pool) dropIdleLocked() {
	for _, c := range p.idle {
		c.net.Close()
	}
	p.idle = nil
}

// close ends idle connections and waits for cancel requests. Connections in use
// are closed when they are given back.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	p.dropIdleLocked()
	p.mu.Unlock()
	p.wait.Wait()
}

func (p *pool) stats() Stats {
	used, waits := p.slots.counts()
	p.mu.Lock()
	defer p.mu.Unlock()
	return Stats{Dials: p.dials, Cancels: p.cancel, InUse: used, Waits: waits, Idle: len(p.idle)}
}
