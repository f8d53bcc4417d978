package changelog

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// dialer opens connections that it can cut hard. A half-open connection would
// otherwise keep its closing goroutine for many seconds.
type dialer struct {
	net.Dialer
	mu     sync.Mutex // protects the fields below
	conns  map[net.Conn]struct{}
	closed bool
}

func newDialer(timeout time.Duration) *dialer {
	return &dialer{
		Dialer: net.Dialer{Timeout: timeout, KeepAliveConfig: net.KeepAliveConfig{
			Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 3,
		}},
		conns: map[net.Conn]struct{}{},
	}
}

func (d *dialer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	tracked := &trackedConn{Conn: conn, owner: d}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		_ = conn.Close() // never used
		return nil, net.ErrClosed
	}
	d.conns[tracked] = struct{}{}
	return tracked, nil
}

// cut closes all connections at once, for good.
func (d *dialer) cut() {
	d.mu.Lock()
	d.closed = true
	conns := make([]net.Conn, 0, len(d.conns))
	for c := range d.conns {
		conns = append(conns, c)
	}
	d.mu.Unlock()
	for _, c := range conns {
		_ = c.Close() // that it is gone is all we want
	}
}

type trackedConn struct {
	net.Conn
	owner *dialer
}

func (c *trackedConn) Close() error {
	c.owner.mu.Lock()
	delete(c.owner.conns, c)
	c.owner.mu.Unlock()
	return c.Conn.Close()
}

// connect opens weir's session. All settings that its statements rely on are
// pinned, whatever the role or database sets.
func connect(ctx context.Context, url string, d *dialer) (*pgx.Conn, error) {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("database URL: %w", err)
	}
	cfg.DialFunc = d.dial
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if err := prepareSession(ctx, conn); err != nil {
		closeConn(conn)
		return nil, err
	}
	return conn, nil
}

// prepareSession refuses what cannot work and pins the session's settings. They
// are set by a statement, not at start-up: a pooler would answer unknown start
// parameters with a riddle.
func prepareSession(ctx context.Context, conn *pgx.Conn) error {
	var pid uint32
	var standby bool
	err := conn.QueryRow(ctx, `select pg_catalog.pg_backend_pid(), pg_catalog.pg_is_in_recovery()`,
		pgx.QueryExecModeSimpleProtocol).Scan(&pid, &standby)
	switch {
	case err != nil:
		return err
	case pid != conn.PgConn().PID():
		// C14: a pooler makes up the process id of its greeting.
		return fmt.Errorf("%w (the server's process is %d, the connection names %d)", ErrPooler, pid, conn.PgConn().PID())
	case standby:
		return ErrStandby
	}
	_, err = conn.Exec(ctx, `set application_name = 'weir';
		set search_path = pg_catalog, pg_temp; set TimeZone = 'UTC'; set DateStyle = 'ISO';
		set enable_seqscan = off; set jit = off; set plan_cache_mode = force_generic_plan;
		set default_transaction_isolation = 'read committed'; set default_transaction_read_only = off;
		set statement_timeout = '30s'; set idle_in_transaction_session_timeout = '30s';
		set lock_timeout = 0; set tcp_user_timeout = '10s'; set tcp_keepalives_idle = 10;
		set tcp_keepalives_interval = 5; set tcp_keepalives_count = 3`)
	return err
}

// closeConn says goodbye without waiting for long.
func closeConn(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx) // nothing depends on the goodbye
}

// serverVersion returns server_version_num.
func serverVersion(conn *pgx.Conn) int {
	text := conn.PgConn().ParameterStatus("server_version")
	end := 0
	for end < len(text) && text[end] >= '0' && text[end] <= '9' {
		end++
	}
	major, err := strconv.Atoi(text[:end])
	if err != nil {
		return 150000
	}
	return major * 10000
}

// withConn runs f on a short connection.
func withConn(ctx context.Context, url string, f func(*pgx.Conn) error) error {
	conn, err := connect(ctx, url, newDialer(10*time.Second))
	if err != nil {
		return err
	}
	defer closeConn(conn)
	return f(conn)
}
