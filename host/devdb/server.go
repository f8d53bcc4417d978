package devdb

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	superuser = "postgres"
	port      = "5432" // only part of the socket's name
	pollEvery = 2 * time.Millisecond
	// startTimeout leaves room for the recovery of a crashed server.
	startTimeout = time.Minute
	// fastTimeout and quitTimeout bound the two polite ways to stop.
	fastTimeout = 10 * time.Second
	quitTimeout = 3 * time.Second
	maxLogBytes = 8 << 20
)

// server is a PostgreSQL that this process started.
type server struct {
	process *os.Process
	logFrom int64         // where its own words begin in the log
	done    chan struct{} // closed when it has ended and was waited for
	err     error         // how it ended; read after done
}

// launch starts postgres as a direct child, which is quicker than pg_ctl and
// gives us its end.
func (c *Cluster) launch(p programs) (*server, error) {
	log, from, err := openLog(c.place.log())
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(p.path("postgres"), c.serverArgs()...)
	cmd.Dir = "/"
	cmd.Env = cleanEnv()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.place.who.credential()}
	tieToParent(cmd)

	s := &server{logFrom: from, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// DB4: the kernel's signal comes when the thread that forked ends, and
		// Go ends threads as it likes. This one waits as long as the server runs.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(s.done)
		err := cmd.Start()
		if err == nil {
			s.process = cmd.Process
		}
		started <- err
		if err == nil {
			s.err = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		<-s.done
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	return s, nil
}

func (c *Cluster) serverArgs() []string {
	settings := map[string]string{
		"timezone":     "UTC",
		"log_timezone": "UTC",
		// The log keeps errors, not the statements and the users' data in them.
		"log_min_error_statement": "panic",
	}
	maps.Copy(settings, c.cfg.Settings)
	settings["listen_addresses"] = ""
	settings["unix_socket_directories"] = `"` + strings.ReplaceAll(c.place.sockets, `"`, `""`) + `"`
	settings["unix_socket_permissions"] = "0700"
	settings["logging_collector"] = "off" // the log is the file we opened
	args := []string{"-D", c.place.data(), "-p", port}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		args = append(args, "-c", name+"="+settings[name])
	}
	return args
}

// ended reports whether the server has ended.
func (s *server) ended() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// stop ends the server: fast, then immediate, then by force. A done ctx shortens
// the polite part.
func (s *server) stop(ctx context.Context) {
	steps := []struct {
		sig  syscall.Signal
		wait time.Duration
	}{{syscall.SIGINT, fastTimeout}, {syscall.SIGQUIT, quitTimeout}}
	for _, step := range steps {
		if s.ended() {
			return
		}
		s.signal(step.sig)
		hurry := ctx.Done()
		if step.sig == syscall.SIGQUIT {
			hurry = nil // an immediate stop deserves its moment: it frees shared memory
		}
		limit := time.NewTimer(step.wait)
		select {
		case <-s.done:
		case <-limit.C:
		case <-hurry:
		}
		limit.Stop()
	}
	s.kill()
}

// kill ends the server without any goodbye and waits until it is gone.
func (s *server) kill() {
	s.signal(syscall.SIGKILL)
	<-s.done
}

// signal sends sig. os.Process knows when the server has ended and its number
// may be another's.
func (s *server) signal(sig syscall.Signal) {
	_ = s.process.Signal(sig) // fails only when the server has ended
}

// openLog opens the server's log for appending and tells its length. A log that
// has grown over the years starts again.
func openLog(path string) (*os.File, int64, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return nil, 0, fmt.Errorf("open the database's log: %w", err)
	}
	info, err := f.Stat()
	if err == nil && info.Size() > maxLogBytes {
		if err = f.Truncate(0); err == nil {
			return f, 0, nil
		}
	}
	if err != nil {
		_ = f.Close() // nothing was written
		return nil, 0, fmt.Errorf("open the database's log: %w", err)
	}
	return f, info.Size(), nil
}

// logTail returns what s wrote to the log, shortened.
func (c *Cluster) logTail(s *server) string {
	f, err := os.Open(c.place.log())
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	if _, err := f.Seek(s.logFrom, io.SeekStart); err != nil {
		return err.Error()
	}
	b, err := io.ReadAll(io.LimitReader(f, maxLogBytes))
	if err != nil {
		return err.Error()
	}
	return lastLines(string(b))
}
