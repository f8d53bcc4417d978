package soak

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"weir/host"
	"weir/host/config"
)

// figures are what the server tells of itself, after it has collected its garbage.
type figures struct {
	RSS, Heap   int64
	Goroutines  int
	Descriptors int
	Children    int // processes that it has started and not waited for
	Stacks      string
}

// serve is the server: serve FILE STATEDIR. It says where it listens, then answers
// each line of its input with figures until the input ends.
func serve(args []string) error {
	if len(args) != 2 {
		return errors.New("say the configuration and the directory of compiled code")
	}
	file, err := config.Load(args[0])
	if err != nil {
		return err
	}
	cfg := host.Config{
		File: file, Path: args[0], StateDir: args[1], Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
		Inspect: []string{os.Args[0], roleSQL}, Compile: []string{os.Args[0], roleCompile},
	}
	if cfg.Listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return err
	}
	if cfg.Admin, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return err
	}
	h, err := host.New(cfg)
	if err != nil {
		return err
	}
	ctx, end := context.WithCancel(context.Background())
	defer end()
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	select {
	case <-h.Ready():
	case err := <-done:
		return errors.Join(err, errors.New("it ended before it was ready"))
	}
	say := json.NewEncoder(os.Stdout)
	if err := say.Encode([]string{h.URL(), h.AdminURL()}); err != nil {
		return err
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		if err := say.Encode(look(lines.Text() == "stacks")); err != nil {
			return err
		}
	}
	end()
	return <-done
}

// look measures this process.
func look(stacks bool) (f figures) {
	runtime.GC() // finalizers of the first may free what the second collects
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	f.Heap, f.Goroutines = int64(m.HeapAlloc), runtime.NumGoroutine()
	if list, err := os.ReadDir("/proc/self/fd"); err == nil {
		f.Descriptors = len(list) - 1 // the directory's own
	}
	if text, err := os.ReadFile("/proc/self/statm"); err == nil {
		pages, _ := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
		f.RSS = pages * int64(os.Getpagesize())
	}
	if text, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/children", os.Getpid())); err == nil {
		f.Children = len(strings.Fields(string(text)))
	}
	if stacks {
		buf := make([]byte, 1<<20)
		f.Stacks = string(buf[:runtime.Stack(buf, true)])
	}
	return f
}

// server is the process of a server.
type server struct {
	url, admin string
	in         io.WriteCloser
	out        *json.Decoder
}

// start starts a server on a configuration. It ends with the test.
func start(t *testing.T, file, stateDir string) *server {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, roleServe, file, stateDir)
	cmd.Stderr = t.Output()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &server{in: in, out: json.NewDecoder(out)}
	t.Cleanup(func() {
		kill := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
		defer kill.Stop()
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the server: %v", err)
		}
	})
	var said []string
	if err := s.out.Decode(&said); err != nil || len(said) != 2 {
		t.Fatalf("the server did not start: %v", err)
	}
	s.url, s.admin = said[0], said[1]
	return s
}

// look asks the server for its figures.
func (s *server) look(t *testing.T, ask string) (f figures) {
	t.Helper()
	if _, err := fmt.Fprintln(s.in, ask); err != nil {
		t.Fatal(err)
	}
	if err := s.out.Decode(&f); err != nil {
		t.Fatal(err)
	}
	return f
}
