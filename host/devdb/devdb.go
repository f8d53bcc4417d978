package devdb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Config says where a cluster lives and how it runs. The zero value is a
// temporary cluster on the programs of this machine.
type Config struct {
	// Dir holds the cluster, its log and its lock, for example ".weir/pg". It is
	// made when missing. Empty means a temporary directory that Close removes.
	Dir string
	// BinDir holds initdb and postgres. Empty means a search: $WEIR_PG_BIN, PATH,
	// the packagers' usual places, an earlier download; the newest wins, and data
	// that exists asks for its own version.
	BinDir string
	// Download allows fetching a pinned PostgreSQL (23 MB) when none is found.
	Download bool
	// Major asks for one major version, as 16. Zero means any. Data of another
	// version is refused.
	Major int
	// Settings are server settings, as in postgresql.conf. They count when Start
	// starts the server, not when it attaches. What decides who can connect
	// (listen_addresses, unix_socket_…) is weir's and stays.
	Settings map[string]string
	// Logger hears life events: made, started, attached, ended. Nil discards.
	Logger *slog.Logger
}

// Cluster is a private PostgreSQL that answers. It is safe for concurrent use.
// Close it.
type Cluster struct {
	cfg   Config
	log   *slog.Logger
	turn  chan struct{} // holds one token: Start, Stop, Restart and Close take turns
	place *place        // owned by the turn, except sockets below
	prog  programs      // owned by the turn; found when first needed
	life  *fileLock     // owned by the turn; a temporary cluster's lock

	mu      sync.Mutex // protects the fields below
	server  *server    // ours, nil when attached or stopped
	peer    int        // process number of the server we attached to, 0 if none
	sockets string     // directory of the socket in use
	major   int
	wanted  bool // the server should run: Run brings it back
	closed  bool
}

// Start finds PostgreSQL, makes the cluster when there is none, and attaches to
// its running server or starts one. It returns when the server answers, or with
// an error that says what to do. The end of ctx stops the start, not the server.
func Start(ctx context.Context, cfg Config) (*Cluster, error) {
	log := cfg.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	p, err := newPlace(cfg.Dir)
	if err != nil {
		return nil, err
	}
	c := &Cluster{cfg: cfg, log: log, place: p, turn: make(chan struct{}, 1)}
	if err := c.start(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// URL returns the superuser's URL of a database, of "postgres" when empty.
func (c *Cluster) URL(database string) string { return c.UserURL(superuser, database) }

// UserURL returns the URL of a database for a login role. No password is asked
// for: the socket's directory keeps strangers out.
func (c *Cluster) UserURL(user, database string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if database == "" {
		database = "postgres"
	}
	// Slashes stay as they are: a person reads and copies this.
	host := strings.ReplaceAll(url.QueryEscape(c.sockets), "%2F", "/")
	return fmt.Sprintf("postgres://%s@/%s?host=%s&port=%s", url.PathEscape(user), url.PathEscape(database), host, port)
}

// Attached reports whether the server was started by another process, which
// then alone stops it.
func (c *Cluster) Attached() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.peer != 0
}

// PID returns the server's process number, 0 when it does not run.
func (c *Cluster) PID() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.server != nil && !c.server.ended():
		return c.server.process.Pid
	case c.peer != 0:
		return c.peer
	}
	return 0
}

// Version returns PostgreSQL's major version, for example 17.
func (c *Cluster) Version() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.major
}

// DataDir returns the data directory. It lies outside Config.Dir when the
// server's user cannot reach that.
func (c *Cluster) DataDir() string { return c.place.data() }

// LogPath returns the path of the server's log.
func (c *Cluster) LogPath() string { return c.place.log() }

// Restart stops the server and starts it again. A server of another process is
// not touched (ErrAttached), but one that has gone is replaced by our own.
func (c *Cluster) Restart(ctx context.Context) error {
	if err := c.enter(ctx); err != nil {
		return err
	}
	defer c.leave()
	if c.peerAlive() {
		return ErrAttached
	}
	c.halt(ctx)
	return c.bringUp(ctx)
}

// Stop stops the server that Start or Restart started, politely while ctx lasts.
// Restart brings it back. An attached server is left alone, without error.
func (c *Cluster) Stop(ctx context.Context) error {
	if err := c.enter(ctx); err != nil {
		return err
	}
	defer c.leave()
	c.halt(ctx)
	return nil
}

// Kill ends the server as kill -9 does and returns when it is gone; its backends
// follow by themselves. It is for fault tests. Run, where it runs, starts the
// server again.
func (c *Cluster) Kill() error {
	c.mu.Lock()
	s, attached := c.server, c.peer != 0
	c.mu.Unlock()
	if attached {
		return ErrAttached
	}
	if s != nil {
		s.kill()
	}
	return nil
}

// Run keeps the server running until ctx ends or the cluster is closed: a server
// that ends without Stop or Close is started again, at growing intervals while
// that fails. It returns nil.
func (c *Cluster) Run(ctx context.Context) error {
	const firstPause, lastPause = 100 * time.Millisecond, 10 * time.Second
	pause := firstPause
	for {
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
		err := c.revive(ctx)
		switch {
		case errors.Is(err, ErrClosed) || ctx.Err() != nil:
			return nil
		case err != nil:
			c.log.Error("the database server does not start", "err", err)
			pause = min(2*pause, lastPause)
		default:
			pause = firstPause
		}
	}
}

// Close stops what Start started and removes a temporary cluster. It leaves an
// attached server alone, may be called twice, and on a nil or zero Cluster.
func (c *Cluster) Close() error {
	if c == nil || c.turn == nil {
		return nil
	}
	if err := c.enter(context.Background()); err != nil {
		return nil // closed before
	}
	defer c.leave()
	ours := !c.Attached()
	c.halt(context.Background())
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	defer c.life.release()
	if !ours {
		return nil
	}
	return c.place.tidy()
}

// Remove closes the cluster and deletes it with all that is in it, wherever its
// data is. A cluster whose server another process started stays (ErrAttached).
func (c *Cluster) Remove() error {
	if c == nil || c.turn == nil {
		return nil
	}
	if c.Attached() {
		return ErrAttached
	}
	if err := c.Close(); err != nil {
		return err
	}
	for _, dir := range []string{c.place.home, c.place.dir} {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("remove the database: %w", err)
		}
	}
	return nil
}

// start is the first bringUp.
func (c *Cluster) start(ctx context.Context) error {
	if err := c.enter(ctx); err != nil {
		return err
	}
	defer c.leave()
	if c.place.temporary {
		// Held for life: it tells the sweep of others that this one is in use.
		l, err := tryLock(c.place.lock())
		if err != nil {
			return fmt.Errorf("lock the temporary database: %w", err)
		}
		c.life = l
	}
	return c.bringUp(ctx)
}

// enter takes the turn, unless the cluster is closed.
func (c *Cluster) enter(ctx context.Context) error {
	if c == nil || c.turn == nil {
		return ErrClosed
	}
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		<-c.turn
		return ErrClosed
	}
	return nil
}

func (c *Cluster) leave() { <-c.turn }

// halt stops our own server, if any, and forgets an attached one. The turn is
// held.
func (c *Cluster) halt(ctx context.Context) {
	c.mu.Lock()
	s := c.server
	c.wanted = false
	c.mu.Unlock()
	if s == nil {
		return
	}
	s.stop(ctx)
	c.mu.Lock()
	c.server = nil
	c.mu.Unlock()
	c.log.Info("stopped the database server", "pid", s.process.Pid)
}

// peerAlive reports whether the server we attached to still runs.
func (c *Cluster) peerAlive() bool {
	c.mu.Lock()
	peer := c.peer
	c.mu.Unlock()
	return peer != 0 && serves(peer, c.place.data())
}

// revive brings back a server that should run and does not.
func (c *Cluster) revive(ctx context.Context) error {
	if err := c.enter(ctx); err != nil {
		return err
	}
	defer c.leave()
	c.mu.Lock()
	wanted, dead := c.wanted, c.server != nil && c.server.ended()
	peer := c.peer
	c.mu.Unlock()
	if !wanted || !dead && (peer == 0 || c.peerAlive()) {
		return nil
	}
	c.log.Warn("the database server has ended, starting it again", "log", filepath.Base(c.place.log()))
	return c.bringUp(ctx)
}
