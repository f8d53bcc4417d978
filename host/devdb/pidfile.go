package devdb

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// pidFile is what a running server says of itself in data/postmaster.pid.
type pidFile struct {
	pid     int
	port    string
	sockets string // directory of the Unix socket
	status  string // "starting", "ready", "stopping", …
}

// readPidFile reads data/postmaster.pid. The server writes it in steps, so
// fields past the first may be empty. No file, or one without a number, is
// false.
func readPidFile(data string) (pidFile, bool) {
	b, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if err != nil {
		return pidFile{}, false
	}
	lines := strings.Split(string(b), "\n")
	line := func(i int) string {
		if i < len(lines) {
			return strings.TrimSpace(lines[i])
		}
		return ""
	}
	pid, err := strconv.Atoi(line(0))
	if err != nil || pid <= 0 {
		return pidFile{}, false
	}
	return pidFile{pid: pid, port: line(3), sockets: line(4), status: line(7)}, true
}

// socket returns the path of the server's Unix socket.
func (p pidFile) socket() string {
	return filepath.Join(p.sockets, ".s.PGSQL."+p.port)
}

// deadPid is above every kernel's highest process number.
const deadPid = "999999999"

// disown takes a process that is not a server out of a stale postmaster.pid.
// After kill -9, and in each restarted container, the number in it soon belongs
// to somebody else, and PostgreSQL then refuses to start. Only the number
// changes: the shared memory key, by which the server notices backends that
// outlived it, stays.
func disown(data string) error {
	path := filepath.Join(data, "postmaster.pid")
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	_, rest, _ := strings.Cut(string(b), "\n")
	if err := os.WriteFile(path, []byte(deadPid+"\n"+rest), 0o600); err != nil {
		return fmt.Errorf("mark %s as stale: %w", path, err)
	}
	return nil
}

// exists reports whether a process with this number is there, dead but unwaited
// ones included.
func exists(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || err == syscall.EPERM
}

// Running reports whether a server runs on the data directory, whoever started
// it.
func Running(data string) bool {
	pf, ok := readPidFile(data)
	return ok && serves(pf.pid, data)
}

// serves reports whether the process pid is the server of data.
func serves(pid int, data string) bool {
	return pid > 0 && exists(pid) && isServer(pid, data)
}
