package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// BenchmarkDevStart is N21: `weir dev` as a program, from its start to the first
// result on a stream at the address that it printed, and to the result that a
// call made just after has changed. The plugin is built, and Go's build cache
// knows it. Cold means no .weir directory and no compiled code of any plugin;
// warm is the next start in the same directory. Beside it, in the same run, the
// floor: initdb and postgres alone, as the same user with the same programs, to
// the first answered query; warm, postgres alone.
//
//	go test -run '^$' -bench BenchmarkDevStart -benchtime 1x ./cmd/weir
func BenchmarkDevStart(b *testing.B) {
	binary := builtWeir(b)
	figures := map[string]time.Duration{}
	for b.Loop() {
		p := newStartProject(b, binary)
		cold := p.start(b)
		server := serverOf(b, p.dir)
		warm := p.start(b)
		p.remove(b)
		floorCold, floorWarm := server.floor(b)
		figures["cold"] += cold.result
		figures["cold-change"] += cold.change
		figures["cold-floor"] += floorCold
		figures["warm"] += warm.result
		figures["warm-change"] += warm.change
		figures["warm-floor"] += floorWarm
	}
	b.ReportMetric(0, "ns/op")
	for name, d := range figures {
		b.ReportMetric(d.Seconds()*1e3/float64(b.N), name+"-ms")
	}
}

// builtWeir builds the program that people run, once.
func builtWeir(b *testing.B) string {
	b.Helper()
	binary := filepath.Join(b.TempDir(), "weir")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, ".")
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("build weir: %v\n%s", err, out)
	}
	return binary
}

// startProject is a project whose plugin is built.
type startProject struct {
	binary, dir string
	env         []string
}

// newStartProject makes a project with a cache of compiled plugins of its own,
// which is empty.
func newStartProject(b *testing.B, binary string) *startProject {
	b.Helper()
	cache, err := exec.Command("go", "env", "GOCACHE").Output()
	if err != nil {
		b.Fatal(err)
	}
	p := &startProject{binary: binary, dir: filepath.Join(openDir(b), "notes")}
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "WEIR_") {
			p.env = append(p.env, kv)
		}
	}
	// Go's own cache lies in the same place, unless it is told.
	p.env = append(p.env, "GOCACHE="+strings.TrimSpace(string(cache)))
	p.run(b, filepath.Dir(p.dir), b.TempDir(), "new", "notes")
	p.run(b, p.dir, b.TempDir(), "build")
	p.env = append(p.env, "XDG_CACHE_HOME="+b.TempDir())
	b.Cleanup(func() { p.remove(b) })
	return p
}

// run runs a command line with a cache.
func (p *startProject) run(b *testing.B, dir, cache string, args ...string) {
	b.Helper()
	cmd := exec.Command(p.binary, args...)
	cmd.Dir, cmd.Env = dir, append(p.env[:len(p.env):len(p.env)], "XDG_CACHE_HOME="+cache)
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("weir %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// remove removes the private database.
func (p *startProject) remove(b *testing.B) {
	b.Helper()
	p.run(b, p.dir, b.TempDir(), "db", "private", "--remove")
}

// started says how long after its start weir dev had shown something.
type started struct {
	result time.Duration // the first result
	change time.Duration // the one that a call made then has changed
}

// start runs weir dev until both were seen, and stops it.
func (p *startProject) start(b *testing.B) started {
	b.Helper()
	cmd := exec.Command(p.binary, "dev", "--listen", "127.0.0.1:0")
	cmd.Dir, cmd.Env = p.dir, p.env
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Signal(os.Interrupt) // it may have ended
		_, _ = io.Copy(io.Discard, out)      // until it has
		if err := cmd.Wait(); err != nil {
			b.Errorf("weir dev: %v\n%s", err, said.String())
		}
	}()
	s, err := firstResults(b.Context(), began, out)
	if err != nil {
		b.Errorf("%v\n%s", err, said.String())
	}
	return s
}

// firstResults watches as a person would: it waits for the address, opens a
// stream, and writes something when the first result is there.
func firstResults(ctx context.Context, began time.Time, out io.Reader) (s started, err error) {
	base := ""
	for lines := bufio.NewScanner(out); base == "" && lines.Scan(); {
		base = pageURL.FindString(lines.Text())
		if os.Getenv("WEIR_BENCH_STORY") != "" {
			fmt.Fprintln(os.Stderr, time.Since(began).Round(time.Millisecond), lines.Text())
		}
	}
	if base == "" {
		return s, errors.New("weir dev prints no address")
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	c := newClient(base, "ann", "")
	defer c.close()
	title := "written " + began.Format(time.RFC3339Nano)
	stream := &subscription{
		client: c, name: "tasks.list", params: url.Values{"list": {"1"}},
		event: func(e sseEvent) error {
			switch {
			case e.name != "":
			case s.result == 0:
				s.result = time.Since(began)
				r, err := c.request(ctx, "/v1/call/tasks.add", nil, fmt.Appendf(nil, `{"list":1,"title":%q}`, title))
				if err == nil {
					_, err = c.do(r)
				}
				return err
			case bytes.Contains(e.data, []byte(title)):
				s.change = time.Since(began)
				return errEnough
			}
			return nil
		},
		lost: func(error, time.Duration) {},
	}
	if err = stream.run(ctx); errors.Is(err, errEnough) {
		err = nil
	}
	return s, err
}

// bareServer is what is needed to run PostgreSQL as weir dev did.
type bareServer struct {
	bin        string // the directory of its programs
	credential *syscall.Credential
}

// serverOf looks at the database that weir dev has left in a project.
func serverOf(b *testing.B, dir string) bareServer {
	b.Helper()
	home := filepath.Join(dir, ".weir", "pg")
	if elsewhere, err := os.ReadFile(filepath.Join(home, "elsewhere")); err == nil {
		home = strings.TrimSpace(string(elsewhere))
	}
	options, err := os.ReadFile(filepath.Join(home, "data", "postmaster.opts"))
	if err != nil {
		b.Fatal(err)
	}
	program, _, _ := strings.Cut(string(options), " ")
	info, err := os.Stat(filepath.Join(home, "data"))
	if err != nil {
		b.Fatal(err)
	}
	s := bareServer{bin: filepath.Dir(program)}
	if st := info.Sys().(*syscall.Stat_t); int(st.Uid) != os.Geteuid() {
		s.credential = &syscall.Credential{Uid: st.Uid, Gid: st.Gid}
	}
	return s
}

// floor makes a database and starts it twice, and returns how long it took until
// a query was answered.
func (s bareServer) floor(b *testing.B) (cold, warm time.Duration) {
	b.Helper()
	dir := filepath.Join(openDir(b), "bare")
	if err := os.Mkdir(dir, 0o700); err != nil {
		b.Fatal(err)
	}
	if c := s.credential; c != nil {
		if err := os.Chown(dir, int(c.Uid), int(c.Gid)); err != nil {
			b.Fatal(err)
		}
	}
	data := filepath.Join(dir, "data")
	began := time.Now()
	initdb := s.command("initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions")
	if out, err := initdb.CombinedOutput(); err != nil {
		b.Fatalf("initdb: %v\n%s", err, out)
	}
	s.answer(b, dir)
	cold = time.Since(began)
	began = time.Now()
	return cold, s.answer(b, dir).Sub(began)
}

func (s bareServer) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Dir = "/" // the other user may not be let into this one
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.credential}
	return cmd
}

// answer starts postgres and returns when it answered a query; it is stopped by
// then.
func (s bareServer) answer(b *testing.B, dir string) (at time.Time) {
	b.Helper()
	var said bytes.Buffer
	cmd := s.command("postgres", "-D", filepath.Join(dir, "data"), "-c", "listen_addresses=", "-c", "unix_socket_directories="+dir)
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	var ended sync.WaitGroup
	ended.Go(func() { _ = cmd.Wait() })
	defer ended.Wait()
	defer func() { _ = cmd.Process.Signal(syscall.SIGINT) }()
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := pgx.Connect(ctx, "postgres://postgres@/postgres?host="+dir)
		if err == nil {
			_, err = conn.Exec(ctx, "select 1")
			at = time.Now()
			_ = conn.Close(ctx)
		}
		if err == nil {
			return at
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			b.Fatalf("postgres does not answer: %v\n%s", err, said.String())
		}
	}
}
