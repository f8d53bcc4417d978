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

// Program says which program a child is. It gets an empty environment, pipes as
// its standard streams, and nothing else that is open here.
type Program struct {
	// Command is the program and its arguments.
	Command []string
	// Dir is the directory that it starts in. Empty is the root.
	Dir string
	// Hello is its first frame, sent when it is ready and confined.
	Hello string
	// Timeout bounds the time until then.
	Timeout time.Duration
}

// Process is a child as its parent sees it. It is owned by one goroutine; only
// Kill may be called by others.
type Process struct {
	process *exec.Cmd
	in, out *os.File // ours: we write to in
	stderr  *tail
	done    chan struct{} // closed when the process has ended
}

// StartProcess starts the program and waits until it is ready. An error means
// that nothing runs.
func StartProcess(p Program) (*Process, error) {
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
	c := &Process{in: in, out: out, stderr: &tail{}, done: make(chan struct{})}
	c.process = exec.Command(p.Command[0], p.Command[1:]...)
	c.process.Env = []string{} // nil would be ours
	c.process.Dir = cmp.Or(p.Dir, "/")
	c.process.Stdin, c.process.Stdout, c.process.Stderr = theirIn, theirOut, c.stderr
	// What it started, where nothing forbids that, may hold the standard error open.
	c.process.WaitDelay = 2 * time.Second
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
	_ = out.SetReadDeadline(time.Now().Add(p.Timeout)) // a pipe has deadlines
	greeting, err := ReadFrame(out, len(p.Hello))
	if err == nil && string(greeting) != p.Hello {
		err = fmt.Errorf("it says %q, not %q", greeting, p.Hello)
	}
	if err != nil {
		c.Kill()
		return nil, c.quote(err)
	}
	return c, nil
}

// pipe returns a pipe, the writing end first.
func pipe() (w, r *os.File, err error) {
	r, w, err = os.Pipe()
	return w, r, err
}

// Ask exchanges one question for an answer of at most limit bytes. After an
// error, a *CrashError, the process is gone.
func (p *Process) Ask(question []byte, limit int, deadline time.Time) ([]byte, error) {
	_ = p.in.SetWriteDeadline(deadline)
	_ = p.out.SetReadDeadline(deadline)
	if err := WriteFrame(p.in, question); err != nil {
		return nil, p.crash(err)
	}
	answer, err := ReadFrame(p.out, limit)
	if err != nil {
		return nil, p.crash(err)
	}
	return answer, nil
}

// crash says how an exchange failed, and ends the process.
func (p *Process) crash(err error) error {
	kind := CrashExit
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		kind = CrashTimeout
	case errors.Is(err, errWire):
		kind = CrashGarbage
	}
	p.Kill()
	return &CrashError{Kind: kind, Err: p.quote(err)}
}

// quote adds what the process said to an error.
func (p *Process) quote(err error) error {
	if said := p.Said(); said != "" {
		return fmt.Errorf("%w: %s", err, said)
	}
	return err
}

// Pid returns the number of the process, for a log.
func (p *Process) Pid() int { return p.process.Process.Pid }

// Said returns the first line that it wrote to its standard error, as text that
// nobody should trust.
func (p *Process) Said() string { return p.stderr.note() }

// Kill ends the process at once and returns when it has ended. It may be called
// twice, and by any goroutine.
func (p *Process) Kill() {
	_ = p.process.Process.Kill() // it may be gone already
	<-p.done
	p.in.Close()
	p.out.Close()
}

// Stop lets the process end by itself, and ends it if it does not.
func (p *Process) Stop() {
	p.in.Close()
	timer := time.NewTimer(2 * time.Second)
	defer timer.Stop()
	select {
	case <-p.done:
		p.out.Close()
	case <-timer.C:
		p.Kill()
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
	return string(bytes.ToValidUTF8(line, nil))
}
