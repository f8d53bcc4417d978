package inspect

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"
)

// Config says how statements are inspected. Command is required.
type Config struct {
	// Command is the program and the arguments that make it call Serve on its
	// standard input and output, and end. A program that does something else with
	// these arguments must not be named here. Empty: nothing can be inspected.
	Command []string
	// Dir keeps verdicts between starts, with mode 0700. Empty keeps them in
	// memory only.
	Dir string
	// IdleTimeout is how long the child is kept without work. Default 30 s.
	IdleTimeout time.Duration
	// StartTimeout bounds the start of the child, most of which is compiling the
	// parser. Default 60 s.
	StartTimeout time.Duration
	// Timeout bounds the inspection of one text; the child is killed and the
	// statement refused. Default 5 s.
	Timeout time.Duration
	// MaxVerdicts bounds the verdicts kept; the oldest go first. Default 8192.
	MaxVerdicts int
	// Logger gets one line for each child and each crash; nil discards.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	c.IdleTimeout = cmp.Or(max(c.IdleTimeout, 0), 30*time.Second)
	c.StartTimeout = cmp.Or(max(c.StartTimeout, 0), time.Minute)
	c.Timeout = cmp.Or(max(c.Timeout, 0), 5*time.Second)
	c.MaxVerdicts = cmp.Or(max(c.MaxVerdicts, 0), 8192)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Inspector judges statements. It is safe for concurrent use.
type Inspector struct {
	config   Config
	verdicts *verdicts
	crashes  *crashes
	wait     sync.WaitGroup // exchanges under way
	slot     chan *child    // holds the child, or nil, while nobody talks to it
	idle     *time.Timer
	ended    func() // told when an idle child has ended; tests

	mu      sync.Mutex // protects the fields below
	program *[32]byte  // digest of who judges, once it was read
	closed  bool
	keep    bool // a child is kept, idle or not
	stats   Stats
}

// Stats counts what an Inspector did.
type Stats struct {
	Asked   uint64 `help:"Statements that were inspected, their verdicts not being known yet."`
	Known   uint64 `help:"Statements whose verdicts were known."`
	Refused uint64 `help:"Statements that were refused, known or not."`
	Crashed uint64 `help:"Statements that ended their inspection; they are refused."`
	Started uint64 `help:"Inspection children that were started."`
}

// New makes an Inspector. It starts nothing.
func New(config Config) (*Inspector, error) {
	config = config.withDefaults()
	v, err := openVerdicts(config.Dir, config.MaxVerdicts)
	if err != nil {
		return nil, err
	}
	i := &Inspector{config: config, verdicts: v, crashes: newCrashes(time.Now), slot: make(chan *child, 1), ended: func() {}}
	i.slot <- nil
	i.idle = time.AfterFunc(time.Hour, i.rest)
	i.idle.Stop()
	return i, nil
}

// judging returns the digest of the program that judges: verdicts of another one
// say nothing. What cannot be read is tried again.
func (i *Inspector) judging() ([32]byte, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.program == nil {
		sum, err := fileDigest(i.config.Command)
		if err != nil {
			return sum, err
		}
		i.program = &sum
	}
	return *i.program, nil
}

func fileDigest(command []string) (sum [32]byte, err error) {
	if len(command) == 0 {
		return sum, errors.New("no program is named that inspects")
	}
	f, err := os.Open(command[0])
	if err != nil {
		return sum, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return sum, err
	}
	return [32]byte(h.Sum(nil)), nil
}

// Check returns nil if all texts of a statement may be run. The errors are
// *RefusedError and *CrashError, which are final, and *FaultError, which is not.
// The end of ctx ends the waiting; what was begun is finished and kept.
func (i *Inspector) Check(ctx context.Context, s Statement) error {
	for _, text := range s.Texts {
		if err := textRefusal(text); err != nil {
			return i.count(err)
		}
	}
	if len(s.Texts) == 0 {
		return i.count(refuse("has no text: write %s", forms[s.Kind]))
	}
	program, err := i.judging()
	if err != nil {
		return &FaultError{What: "inspect SQL", Err: err}
	}
	digest := s.digest(program)
	if v, ok := i.verdicts.get(digest); ok {
		i.note(func(s *Stats) { s.Known++ })
		return i.count(v.err())
	}
	if err := i.crashes.refusal(digest, s.Tenant); err != nil {
		return i.count(err)
	}
	var c *child
	select {
	case c = <-i.slot:
	case <-ctx.Done():
		return &FaultError{What: "wait for the inspection", Err: ctx.Err()}
	}
	if !i.begin(func() bool { return true }) {
		i.slot <- c
		return &FaultError{What: "inspect SQL", Err: ErrClosed}
	}
	// On its own, so that a caller who leaves does not leave half an exchange.
	done := make(chan error, 1)
	go func() {
		defer i.wait.Done()
		c, err := i.judge(c, &s, digest)
		i.idle.Reset(i.config.IdleTimeout)
		i.slot <- c
		done <- err
		if c == nil && i.begin(func() bool { return i.keep }) {
			i.warm()
		}
	}()
	select {
	case err := <-done:
		return i.count(err)
	case <-ctx.Done():
		return &FaultError{What: "inspect SQL", Err: ctx.Err()}
	}
}

// begin counts work that Close must wait for, if cond holds under the lock and
// Close was not called.
func (i *Inspector) begin(cond func() bool) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed || !cond() {
		return false
	}
	i.wait.Add(1)
	return true
}

// Keep says whether a child must be there at any time, because a statement that
// nobody has seen may come with a caller who waits for its result. It is started
// beside, and again when it ends. Without it, which is the default, the first text
// after a pause pays for the start.
func (i *Inspector) Keep(keep bool) {
	if len(i.config.Command) == 0 {
		return
	}
	started := i.begin(func() bool {
		was := i.keep
		i.keep = keep
		return keep && !was
	})
	if started {
		go i.warm()
	} else if !keep {
		i.idle.Reset(i.config.IdleTimeout)
	}
}

// warm starts the child if there is none. Its caller has called begin.
func (i *Inspector) warm() {
	defer i.wait.Done()
	c := <-i.slot
	if c == nil {
		var err error
		if c, err = startChild(&i.config); err != nil {
			c = nil
			i.config.Logger.Warn("the inspection of SQL cannot be started", "err", err)
		} else {
			i.note(func(s *Stats) { s.Started++ })
		}
	}
	i.slot <- c
}

// judge asks the child about all texts of a statement, and starts one if there is
// none. It returns the child that is left, or nil.
func (i *Inspector) judge(c *child, s *Statement, digest [32]byte) (*child, error) {
	i.note(func(s *Stats) { s.Asked++ })
	if v, ok := i.verdicts.get(digest); ok { // who had the slot before asked the same
		return c, v.err()
	}
	if err := i.crashes.refusal(digest, s.Tenant); err != nil {
		return c, err
	}
	v := verdict{allowed: true}
	for _, text := range s.Texts {
		var err error
		if v, c, err = i.ask(c, &s.Rules, text); err != nil {
			var crash *CrashError
			if errors.As(err, &crash) {
				i.note(func(s *Stats) { s.Crashed++ })
				i.crashes.add(digest, s.Tenant)
				i.config.Logger.Warn("a statement ended its inspection", "tenant", s.Tenant, "err", err)
			}
			return c, err
		}
		if !v.allowed {
			break
		}
	}
	if err := i.verdicts.put(digest, v); err != nil {
		i.config.Logger.Warn("a verdict about SQL is not kept", "err", err)
	}
	return c, v.err()
}

// ask asks about one text. A child that has answered before may have ended for
// reasons of its own; one that is fresh has not.
func (i *Inspector) ask(c *child, rules *Rules, text string) (verdict, *child, error) {
	for {
		fresh := c == nil
		if fresh {
			var err error
			if c, err = startChild(&i.config); err != nil {
				return verdict{}, nil, &FaultError{What: "start the inspection of SQL", Err: err}
			}
			i.note(func(s *Stats) { s.Started++ })
		}
		v, err := c.ask(rules, text, i.config.Timeout)
		if err == nil {
			return v, c, nil
		}
		c.Kill()
		c = nil
		if fresh {
			return verdict{}, nil, err
		}
	}
}

// rest ends a child that has nothing to do.
func (i *Inspector) rest() {
	i.mu.Lock()
	keep := i.keep
	i.mu.Unlock()
	if keep {
		i.ended()
		return
	}
	select {
	case c := <-i.slot:
		if c != nil {
			c.Stop()
		}
		i.slot <- nil
		i.ended()
	default: // it works: the timer is set again afterwards
	}
}

func (i *Inspector) count(err error) error {
	var refused *RefusedError
	if errors.As(err, &refused) {
		i.note(func(s *Stats) { s.Refused++ })
	}
	return err
}

func (i *Inspector) note(f func(*Stats)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	f(&i.stats)
}

// Stats returns counters.
func (i *Inspector) Stats() Stats {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.stats
}

// Close ends the child, after what it is doing. It may be called twice.
func (i *Inspector) Close() error {
	i.mu.Lock()
	closed := i.closed
	i.closed = true
	i.mu.Unlock()
	if closed {
		return nil
	}
	i.wait.Wait()
	i.idle.Stop()
	c := <-i.slot
	if c != nil {
		c.Stop()
	}
	i.slot <- nil
	return nil
}
