package faults

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"weir/host/devdb/devdbtest"
	"weir/host/wasm/wasmtest"
)

// built is the binary of weir, made once.
var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "weir-built")
	if err != nil {
		return "", err
	}
	devdbtest.AtExit(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "weir")
	if out, err := exec.Command("go", "build", "-o", path, "weir/cmd/weir").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build weir: %w\n%s", err, out)
	}
	return path, nil
})

// binary is the path of the real weir.
func binary(t testing.TB) string {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// environ keeps what weir compiles for other runs, and nothing of the user's own.
func environ() []string {
	cache := wasmtest.CacheHome()
	if cache == "" {
		cache = filepath.Join(os.TempDir(), "cache")
	}
	return append(os.Environ(), "XDG_CACHE_HOME="+cache)
}

// command runs a command of weir that ends by itself.
func command(t testing.TB, dir string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary(t), args...)
	cmd.Dir, cmd.Env = dir, environ()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("weir %v: %v\n%s", args, err, out)
	}
}

// node is weir as a process, which is started anew after each end.
type node struct {
	t     testing.TB
	dir   string
	shell string // a shell line that runs "$0" "$@", or none
	front *wire  // clients come through it

	cmd   *exec.Cmd
	url   string // past the wire
	admin string
	ended chan struct{} // closed when the process has ended
	log   *journal
	first figures // of this process, at rest
}

// journal keeps what a process logs.
type journal struct {
	mu      sync.Mutex // protects the fields below
	text    strings.Builder
	changed chan struct{}
}

// Write appends, and wakes who waits.
func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.text.Write(p)
	close(j.changed)
	j.changed = make(chan struct{})
	return len(p), nil
}

func (j *journal) now() (string, <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String(), j.changed
}

var serving = regexp.MustCompile(`url=(http://[^ ]+) admin=(http://[^ ]+)`)

// start starts the process and returns when it serves, whether or not its
// database is there.
func (n *node) start() {
	n.t.Helper()
	cmd := exec.Command(binary(n.t), "serve")
	if n.shell != "" {
		cmd = exec.Command("sh", "-c", n.shell, binary(n.t), "serve")
	}
	n.log = &journal{changed: make(chan struct{})}
	cmd.Dir, cmd.Env, cmd.Stderr = n.dir, environ(), n.log
	cmd.WaitDelay = time.Second // children may keep the pipe of a killed one
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	ended := make(chan struct{})
	n.cmd, n.ended, n.first = cmd, ended, figures{}
	go func() {
		_ = cmd.Wait() // how it ended is read from the state
		close(ended)
	}()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		text, changed := n.log.now()
		if found := serving.FindStringSubmatch(text); found != nil {
			n.url, n.admin = found[1], found[2]
			n.front.lead("tcp", strings.TrimPrefix(n.url, "http://"))
			return
		}
		select {
		case <-changed:
		case <-ended:
			text, _ = n.log.now()
			n.t.Fatalf("weir does not start:\n%s", text)
		case <-timer.C:
			n.t.Fatalf("weir does not serve:\n%s", text)
		}
	}
}

// logged waits until the process has logged a text.
func (n *node) logged(part string) {
	n.t.Helper()
	n.loggedMore(part, 0)
}

// loggedMore waits until it has logged a text more than n times.
func (n *node) loggedMore(part string, times int) {
	n.t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		text, changed := n.log.now()
		if strings.Count(text, part) > times {
			return
		}
		select {
		case <-changed:
		case <-timer.C:
			n.t.Fatalf("weir does not log %q:\n%s", part, tail(text))
		}
	}
}

// kill is kill -9. What the process has started must end with it.
func (n *node) kill() {
	n.t.Helper()
	children := childrenOf(n.cmd.Process.Pid)
	n.judge()
	_ = n.cmd.Process.Kill() // it is waited for
	<-n.ended
	if err := persist(n.t, func(context.Context) error {
		for _, s := range processes() {
			for _, child := range children {
				if s.pid == child {
					return fmt.Errorf("process %d has outlived weir", child)
				}
			}
		}
		return nil
	}); err != nil {
		n.t.Error(err)
	}
}

// stop ends the process at the end of the test, however it is.
func (n *node) stop() {
	if n.cmd == nil {
		return
	}
	n.judge()
	_ = n.cmd.Process.Signal(syscall.SIGCONT)
	_ = n.cmd.Process.Kill()
	<-n.ended
}

// judge is I6: weir has not ended by itself, and has not met a bug of its own.
func (n *node) judge() {
	n.t.Helper()
	text, _ := n.log.now()
	select {
	case <-n.ended:
		n.t.Errorf("I6: weir has ended by itself: %v\n%s", n.cmd.ProcessState, tail(text))
	default:
	}
	for _, bad := range []string{"BUG", "panic", "fatal error", "DATA RACE"} {
		if i := strings.Index(text, bad); i >= 0 {
			n.t.Errorf("I6: weir's log says %q:\n%s", bad, tail(text[i:]))
		}
	}
}

func tail(text string) string {
	const most = 4000
	if len(text) > most {
		return text[len(text)-most:]
	}
	return text
}

// figures are what /metrics tells of the process.
type figures struct{ fds, goroutines, rss float64 }

// measure reads /metrics.
func (n *node) measure(ctx context.Context) (figures, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.admin+"/metrics", nil)
	if err != nil {
		return figures{}, err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return figures{}, err
	}
	defer resp.Body.Close()
	var f figures
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		number, _ := strconv.ParseFloat(value, 64)
		switch name {
		case "process_open_fds":
			f.fds = number
		case "go_goroutines":
			f.goroutines = number
		case "process_resident_memory_bytes":
			f.rss = number
		}
	}
	if f.fds == 0 || f.goroutines == 0 {
		return f, fmt.Errorf("/metrics of weir: status %d without figures", resp.StatusCode)
	}
	return f, nil
}

// bounded is I5: what the process holds at rest is no more than it held at its
// first rest, but for what a few connections and a heap may move. It may take a
// moment: connections that are given up are closed by deadlines.
func (n *node) bounded() {
	n.t.Helper()
	err := persist(n.t, func(ctx context.Context) error {
		now, err := n.measure(ctx)
		if err != nil {
			return err
		}
		if n.first == (figures{}) {
			n.first = now
		}
		if f := n.first; now.fds > f.fds+40 || now.goroutines > f.goroutines+80 || now.rss > 2*f.rss+64<<20 {
			return fmt.Errorf("I5: weir holds %+v, at first it held %+v", now, f)
		}
		return nil
	})
	if err != nil {
		n.t.Error(err)
	}
}

// ready asks /readyz.
func (n *node) ready(ctx context.Context) (status int, text string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.admin+"/readyz", nil)
	if err != nil {
		return 0, "", err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// awaitReady waits until weir says that it is well.
func (n *node) awaitReady() {
	n.t.Helper()
	if err := persist(n.t, func(ctx context.Context) error {
		status, text, err := n.ready(ctx)
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("/readyz: %d %s", status, text)
		}
		return err
	}); err != nil {
		text, _ := n.log.now()
		n.t.Fatalf("%v\n%s", err, tail(text))
	}
}
