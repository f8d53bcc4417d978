package devdb

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// retryEvery is the pause between two tries to start a server while the last one
// is still going away.
const retryEvery = 20 * time.Millisecond

// bringUp attaches to the running server or starts one, and returns when it
// answers. The turn is held; the lock keeps other starters away (DB2).
func (c *Cluster) bringUp(ctx context.Context) error {
	if !c.place.temporary {
		l, err := takeLock(ctx, c.place.lock())
		if err != nil {
			return err
		}
		defer l.release()
	}
	if c.place.who.name == "" {
		if err := c.place.settle(c.log); err != nil {
			return err
		}
	}
	var last error
	prepared := false
	deadline := time.NewTimer(startTimeout)
	defer deadline.Stop()
	tick := time.NewTicker(retryEvery)
	defer tick.Stop()
	for {
		pf, running := readPidFile(c.place.data())
		running = running && exists(pf.pid)
		switch {
		case running && !isServer(pf.pid, c.place.data()):
			if err := disown(c.place.data()); err != nil {
				return err
			}
			continue
		case running && answers(ctx, pf.socket()):
			return c.attach(pf)
		case running:
			last = fmt.Errorf("process %d has the database but does not answer: stop it, or look into %s", pf.pid, c.place.log())
		default:
			if !prepared {
				// A download or initdb has its own bounds.
				if err := c.prepare(ctx); err != nil {
					return err
				}
				deadline.Reset(startTimeout)
				prepared = true
			}
			if last = c.startServer(ctx); last == nil || !isLeaving(last) {
				return last
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("start the database: %w", ctx.Err())
		case <-deadline.C:
			return last
		case <-tick.C:
		}
	}
}

// attach remembers a server that another process started.
func (c *Cluster) attach(pf pidFile) error {
	major, err := majorOf(c.place.data())
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.server, c.peer, c.sockets, c.major, c.wanted = nil, pf.pid, pf.sockets, major, true
	c.mu.Unlock()
	c.log.Info("attached to a running database", "pid", pf.pid, "version", major)
	return nil
}

// startServer starts the server and waits until it answers.
func (c *Cluster) startServer(ctx context.Context) error {
	began := time.Now()
	s, err := c.launch(c.prog)
	if err != nil {
		return err
	}
	if err := c.awaitReady(ctx, s); err != nil {
		now, cancel := context.WithCancel(context.Background())
		cancel() // no long goodbye for a server that nobody has used
		s.stop(now)
		return err
	}
	c.mu.Lock()
	c.server, c.peer, c.sockets, c.major, c.wanted = s, 0, c.place.sockets, c.prog.major, true
	c.mu.Unlock()
	c.log.Info("started a private database", "pid", s.process.Pid, "version", c.prog.major,
		"took", time.Since(began).Round(time.Millisecond))
	return nil
}

// prepare finds the programs, once, and sees to the data and socket directories.
func (c *Cluster) prepare(ctx context.Context) error {
	major, err := majorOf(c.place.data())
	if err != nil {
		return err
	}
	if c.prog.dir == "" {
		if c.prog, err = c.find(ctx, major); err != nil {
			return err
		}
	}
	if major == 0 {
		if err := c.initialise(ctx, c.prog); err != nil {
			return err
		}
	}
	return c.place.findSockets()
}

// awaitReady waits until s answers, has ended, or takes too long.
func (c *Cluster) awaitReady(ctx context.Context, s *server) error {
	deadline := time.NewTimer(startTimeout)
	defer deadline.Stop()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		// The number guards against a stale file that still says "ready".
		pf, ok := readPidFile(c.place.data())
		if ok && pf.pid == s.process.Pid && pf.status == "ready" && answers(ctx, pf.socket()) {
			return nil
		}
		select {
		case <-s.done:
			return fmt.Errorf("start the database: %w",
				&ExitError{Program: "postgres", Err: s.err, LogPath: c.place.log(), Tail: c.logTail(s)})
		case <-ctx.Done():
			return fmt.Errorf("start the database: %w", ctx.Err())
		case <-deadline.C:
			return fmt.Errorf("the database did not answer within %v: look into %s", startTimeout, c.place.log())
		case <-tick.C:
		}
	}
}

// isLeaving reports whether a server refused to start because another one of the
// same data, or a backend that outlived it, has not gone yet.
func isLeaving(err error) bool {
	exit := (*ExitError)(nil)
	if !errors.As(err, &exit) {
		return false
	}
	text := exit.Tail
	return strings.Contains(text, "pre-existing shared memory block") ||
		strings.Contains(text, "lock file \"postmaster.pid\" already exists") ||
		strings.Contains(text, "is another postmaster")
}
