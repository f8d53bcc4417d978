package db

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// cancelTimeout bounds the request that stops a statement on the server.
const cancelTimeout = 3 * time.Second

// pool keeps idle connections. The newest is given out first, so that old ones
// are not kept alive for nothing.
type pool struct {
	config *pgconn.Config
	limit  int // of prepared statements per connection
	// maxMessage bounds one message of the server, which is held in memory whole.
	maxMessage int
	slots      chan struct{}
	spare      chan struct{}  // one place more, see extra
	wait       sync.WaitGroup // cancel requests

	mu     sync.Mutex // protects the fields below
	idle   []*conn
	closed bool
	dials  int64
	cancel int64
}

// take returns a connection and the duty to give it back. fresh refuses idle
// ones, which may all be dead after a restart of the server.
func (p *pool) take(ctx context.Context, fresh bool) (*conn, error) {
	return p.get(ctx, fresh, nil)
}

// extra is take for what a transaction may wait for: if all connections are
// taken there is one more. Else those who hold them would wait for each other
// until their deadlines.
func (p *pool) extra(ctx context.Context, fresh bool) (*conn, error) {
	return p.get(ctx, fresh, p.spare)
}

func (p *pool) get(ctx context.Context, fresh bool, spare chan struct{}) (*conn, error) {
	place := p.slots
	select {
	case p.slots <- struct{}{}:
	default:
		select {
		case p.slots <- struct{}{}:
		case spare <- struct{}{}:
			place = spare
		case <-ctx.Done():
			return nil, fault("wait for a database connection", ctx.Err())
		}
	}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		<-place
		return nil, fault("use the database", ErrClosed)
	}
	if fresh {
		p.dropIdleLocked()
	}
	if n := len(p.idle); n > 0 {
		c := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		c.reused, c.place = true, place
		return c, nil
	}
	p.dials++
	p.mu.Unlock()
	c, err := p.dial(ctx)
	if err != nil {
		<-place
		return nil, err
	}
	c.place = place
	return c, nil
}

func (p *pool) dial(ctx context.Context) (*conn, error) {
	raw, err := pgconn.ConnectConfig(ctx, p.config)
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
	server.Frontend.SetMaxBodyLen(p.maxMessage)
	return &conn{
		net: server.Conn, front: server.Frontend, server: server,
		prepared: map[uint64]*prepared{}, limit: p.limit,
	}, nil
}

// give takes a connection back. It must be idle and outside a transaction, or
// marked broken. One more than the bound is not kept.
func (p *pool) give(c *conn) {
	place := c.place // who takes c next sets another
	p.mu.Lock()
	keep := !c.broken && !p.closed && c.sent == c.received && c.place == p.slots
	if keep {
		p.idle = append(p.idle, c)
	}
	p.mu.Unlock()
	if !keep {
		c.net.Close()
		_ = c.written() // the write ends with the connection
	}
	<-place
}

// kill gives up a connection whose statement still runs: the statement is
// cancelled on the server, because closing the socket would not stop it.
func (p *pool) kill(c *conn) {
	c.broken = true
	p.mu.Lock()
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
	p.mu.Lock()
	defer p.mu.Unlock()
	return Stats{Dials: p.dials, Cancels: p.cancel, InUse: len(p.slots) + len(p.spare), Idle: len(p.idle)}
}
