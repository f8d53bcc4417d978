package main

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
	"path/filepath"
	"strings"
	"time"

	"weir/host"
)

// childBench is the child that is the server of weir bench: a process of its own,
// so that its CPU and memory are nobody else's.
const childBench = "bench"

// benchListening is what the child says when it serves.
type benchListening struct{ URL, Admin, Error string }

// serveBench serves a configuration on an address until standard input ends.
func (m *Main) serveBench(ctx context.Context, file, address string) error {
	say := json.NewEncoder(m.Stdout)
	ctx, end := context.WithCancel(ctx)
	defer end()
	go func() {
		_, _ = io.Copy(io.Discard, m.Stdin) // ends with the process that started this one
		end()
	}()
	p, err := m.openProject(file)
	if err != nil {
		return say.Encode(benchListening{Error: m.sentence(err)})
	}
	log := slog.New(slog.NewTextHandler(m.Stderr, nil))
	cfg := host.Config{File: p.config, Path: p.file, StateDir: filepath.Join(p.dir, "state"), Inspect: commandOf(childSQL), Compile: commandOf(childCompile), Logger: log, Event: eventLog(log)}
	if cfg.Listener, err = net.Listen("tcp", address); err != nil {
		return say.Encode(benchListening{Error: m.sentence(err)})
	}
	if cfg.Admin, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return errors.Join(cfg.Listener.Close(), say.Encode(benchListening{Error: m.sentence(err)}))
	}
	h, err := host.New(cfg)
	if err != nil {
		return say.Encode(benchListening{Error: m.sentence(err)})
	}
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	select {
	case <-h.Ready():
		if err := say.Encode(benchListening{URL: h.URL(), Admin: h.AdminURL()}); err != nil {
			end()
		}
		return <-done
	case err := <-done:
		return errors.Join(err, say.Encode(benchListening{Error: "it ended before it was ready"}))
	}
}

// benchServer is a child that serves.
type benchServer struct {
	benchListening
	cmd   *exec.Cmd
	input io.Closer
}

// startBenchServer starts the child and waits until it serves.
func startBenchServer(ctx context.Context, file, address, logFile string) (*benchServer, error) {
	command := commandOf(childBench)
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	s := &benchServer{cmd: exec.Command(command[0], append(command[1:], file, address)...)}
	s.cmd.Stderr = log
	if s.input, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}
	heard := make(chan error, 1)
	go func() {
		line, err := bufio.NewReader(out).ReadBytes('\n')
		if err == nil {
			err = json.Unmarshal(line, &s.benchListening)
		}
		heard <- err
	}()
	select {
	case err = <-heard:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err == nil && s.Error != "" {
		err = errors.New(s.Error)
	}
	if err != nil {
		s.kill()
		return nil, fmt.Errorf("the server did not start: %w: its log ends with %q", err, lastLine(logFile))
	}
	return s, nil
}

func lastLine(path string) string {
	text, _ := os.ReadFile(path)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return shortened(oneLine(lines[len(lines)-1]), 300)
}

// kill ends the server at once, as a crash would.
func (s *benchServer) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait() // it says that it was killed
}

// benchPatience is how long the server may take to end in order.
const benchPatience = 5 * time.Second

// stop ends the server in order, or else at once.
func (s *benchServer) stop() {
	timer := time.AfterFunc(benchPatience, func() { _ = s.cmd.Process.Kill() })
	defer timer.Stop()
	_ = s.input.Close()
	_ = s.cmd.Wait()
}
