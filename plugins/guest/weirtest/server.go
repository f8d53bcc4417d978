package weirtest

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Server is a weir that serves one test: the program itself, on a random port of
// this machine, with the project's plugins and a database of its own. It is safe
// for concurrent use.
type Server struct {
	// URL is where it listens, for what the methods do not do.
	URL string

	t      testing.TB
	client *http.Client

	mu      sync.Mutex // held while a request and its answer pass
	in      io.WriteCloser
	out     *bufio.Reader
	faults  *tail
	process *exec.Cmd
}

// patience is how long Start waits for weir, and Want for a result. It is far
// above what either takes, and reached only by what would never come.
const (
	startPatience = 2 * time.Minute
	patience      = 15 * time.Second
)

// Start builds the project's plugins and starts a weir with them, for this test
// alone. The database is made of the named SQL files, relative to the project, or
// of [dev] schema and seed in weir.toml if none is named; what the test writes is
// gone when it ends. Tests that Start may run in parallel.
//
// The program is $WEIR_BIN, which weir test sets, else weir on PATH. The server of
// the database is the project's private one, or the one that $WEIR_TEST_URL names
// as a role that may make databases and roles.
func Start(t testing.TB, files ...string) *Server {
	t.Helper()
	dir, err := projectDir()
	if err != nil {
		t.Fatal(err)
	}
	program, err := weirProgram()
	if err != nil {
		t.Fatal(err)
	}
	depend(dir, files)
	s := &Server{t: t, client: &http.Client{Transport: &http.Transport{}}, faults: &tail{}}
	s.process = exec.Command(program, append([]string{"child", "test", dir}, files...)...)
	s.process.Stderr = s.faults
	s.process.WaitDelay = 10 * time.Second
	out, err := s.process.StdoutPipe()
	if err == nil {
		s.in, err = s.process.StdinPipe()
	}
	if err == nil {
		err = s.process.Start()
	}
	if err != nil {
		t.Fatalf("start %s: %v", program, err)
	}
	t.Cleanup(s.stop)
	s.out = bufio.NewReader(out)
	patient := time.AfterFunc(startPatience, func() { _ = s.process.Process.Kill() }) // it ends the read below
	defer patient.Stop()
	var hello struct{ URL, Error string }
	if err := s.read(&hello); err != nil {
		t.Fatal(err)
	}
	if hello.Error != "" {
		t.Fatal(hello.Error)
	}
	s.URL = hello.URL
	return s
}

// stop ends the process, which drops its database.
func (s *Server) stop() {
	s.client.CloseIdleConnections()
	_ = s.in.Close() // the process ends when its standard input does
	if err := s.process.Wait(); err != nil {
		s.t.Errorf("weir: %v\n%s", err, s.faults)
	}
}

// SQL runs statements on the test's database as its owner, in one transaction, and
// returns the rows of the last one. A refusal fails the test.
func (s *Server) SQL(text string) Answer {
	s.t.Helper()
	answer, err := s.ask(text)
	if err != nil {
		s.t.Fatalf("SQL %s\n%v", strings.TrimSpace(text), err)
	}
	return answer
}

func (s *Server) ask(text string) (Answer, error) {
	answer, err := s.asked(map[string]any{"sql": text})
	return Answer{s.t, answer.Rows}, err
}

// said is what the process answers.
type said struct {
	Rows         json.RawMessage
	Token, Error string
}

func (s *Server) asked(what map[string]any) (answer said, err error) {
	line, err := json.Marshal(what)
	if err != nil {
		return said{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.in.Write(append(line, '\n')); err != nil {
		return said{}, fmt.Errorf("weir has ended: %s", s.faults)
	}
	if err := s.read(&answer); err != nil {
		return said{}, err
	}
	if answer.Error != "" {
		return said{}, errors.New(answer.Error)
	}
	return answer, nil
}

// read reads one line of what the process says.
func (s *Server) read(into any) error {
	line, err := s.out.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, into)
	}
	if err != nil {
		return fmt.Errorf("weir said %q (%w); is it of the version that made this project?\n%s", line, err, s.faults)
	}
	return nil
}

// projectDir is the directory with a weir.toml that the test's package lies in.
func projectDir() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "weir.toml")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("there is no weir.toml in %s or above it: weirtest.Start serves the project that the test lies in", start)
		}
	}
}

func weirProgram() (string, error) {
	if program := os.Getenv("WEIR_BIN"); program != "" {
		return program, nil
	}
	program, err := exec.LookPath("weir")
	if err != nil {
		return "", errors.New("weirtest.Start runs the program weir, which is not on PATH: run the tests with weir test, or set WEIR_BIN to the program")
	}
	return program, nil
}

// depend touches what the server is made of: the go tool then runs the test again
// when one of these changed, instead of repeating what it said before.
func depend(dir string, files []string) {
	for _, name := range append([]string{"weir.toml", "schema.sql", "seed.sql"}, files...) {
		if f, err := os.Open(filepath.Join(dir, name)); err == nil {
			_ = f.Close() // it was only to be seen
		}
	}
}

// tail keeps the end of what a process says on standard error.
type tail struct {
	mu   sync.Mutex // protects the field below
	text []byte
}

// Write keeps the last bytes.
func (w *tail) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = append(w.text, p...)
	w.text = w.text[max(0, len(w.text)-4096):]
	return len(p), nil
}

// String returns them.
func (w *tail) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.text)
}
