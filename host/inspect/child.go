package inspect

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"time"
)

// child is the process that runs Serve, as its parent sees it. It is owned by
// whoever took it from the slot.
type child struct {
	process *exec.Cmd
	in, out *os.File // ours: we write to in
	stderr  *tail
	done    chan struct{} // closed when the process has ended
}

// startChild starts the program and waits until it is ready.
func startChild(config *Config) (*child, error) {
	in, theirIn, err := pipe()
	if err != nil {
		return nil, err
	}
	theirOut, out, err := pipe()
	if err != nil {
		in.Close()
		theirIn.Close()
		return nil, err
	}
	c := &child{in: in, out: out, stderr: &tail{}, done: make(chan struct{})}
	c.process = exec.Command(config.Command[0], config.Command[1:]...)
	c.process.Env = []string{} // nil would be ours
	c.process.Dir = "/"
	c.process.Stdin, c.process.Stdout, c.process.Stderr = theirIn, theirOut, c.stderr
	detach(c.process)
	err = c.process.Start()
	theirIn.Close()
	theirOut.Close()
	if err != nil {
		in.Close()
		out.Close()
		return nil, err
	}
	go func() {
		_ = c.process.Wait() // how it ended is of no use: what it said is
		close(c.done)
	}()
	_ = out.SetReadDeadline(time.Now().Add(config.StartTimeout)) // a pipe has deadlines
	greeting, err := readFrame(out, len(hello))
	if err == nil && string(greeting) != hello {
		err = fmt.Errorf("it says %q, not %q", greeting, hello)
	}
	if err != nil {
		c.kill()
		return nil, fmt.Errorf("%w%s", err, c.stderr.note())
	}
	config.Logger.Debug("the inspection of SQL runs", "pid", c.process.Process.Pid)
	return c, nil
}

// pipe returns a pipe, the writing end first.
func pipe() (w, r *os.File, err error) {
	r, w, err = os.Pipe()
	return w, r, err
}

// ask exchanges one question for its answer. After any error the child must be
// killed: what it will say is the answer to something else.
func (c *child) ask(rules *Rules, text string, timeout time.Duration) (verdict, error) {
	deadline := time.Now().Add(timeout)
	_ = c.in.SetWriteDeadline(deadline)
	_ = c.out.SetReadDeadline(deadline)
	question := appendQuestion(nil, rules, text)
	if len(question) > maxQuestion {
		return verdict{}, &CrashError{Kind: CrashGarbage, Err: fmt.Errorf("%d bytes of functions", len(question))}
	}
	if err := writeFrame(c.in, question); err != nil {
		return verdict{}, c.crash(err)
	}
	answer, err := readFrame(c.out, maxAnswer)
	if err != nil {
		return verdict{}, c.crash(err)
	}
	v, ok := parseAnswer(answer, question)
	if !ok {
		return verdict{}, c.crash(errWire)
	}
	return v, nil
}

// crash says how an exchange failed.
func (c *child) crash(err error) error {
	kind := CrashExit
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		kind = CrashTimeout
	case errors.Is(err, errWire):
		kind = CrashGarbage
	}
	c.kill()
	if note := c.stderr.note(); note != "" {
		err = fmt.Errorf("%w%s", err, note)
	}
	return &CrashError{Kind: kind, Err: err}
}

// kill ends the child at once. It may be called twice.
func (c *child) kill() {
	_ = c.process.Process.Kill() // it may be gone already
	<-c.done
	c.in.Close()
	c.out.Close()
}

// stop lets the child end by itself, and ends it if it does not.
func (c *child) stop() {
	c.in.Close()
	timer := time.NewTimer(2 * time.Second)
	defer timer.Stop()
	select {
	case <-c.done:
		c.out.Close()
	case <-timer.C:
		c.kill()
	}
}

// tail keeps the first bytes that a child says on its standard error: of a Go
// panic these are the ones that say what it was.
type tail struct {
	mu   sync.Mutex // protects the field below
	text []byte
}

// Write implements io.Writer and never fails.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	const most = 1 << 10
	t.text = append(t.text, p[:min(len(p), most-min(most, len(t.text)))]...)
	return len(p), nil
}

// note returns the first line, for an error.
func (t *tail) note() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	line, _, _ := bytes.Cut(bytes.TrimSpace(t.text), []byte("\n"))
	return cmp.Or(string(bytes.ToValidUTF8(line, nil)), "")
}
