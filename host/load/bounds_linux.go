package load

import (
	"math"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// Bounds are the limits of this process and machine.
type Bounds struct {
	Descriptors int64 // open files, of each process
	Memory      int64 // bytes that are free; 0 when it is not known
}

// RaiseBounds raises the limit of open files as far as it may be raised, for this
// process and those that it starts, and returns what applies.
func RaiseBounds() (b Bounds) {
	var r syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r) == nil {
		if r.Cur < r.Max {
			raised := syscall.Rlimit{Cur: r.Max, Max: r.Max}
			if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised) == nil {
				r = raised
			}
		}
		b.Descriptors = int64(min(r.Cur, math.MaxInt64))
	}
	b.Memory = kilobytes("/proc/meminfo", "MemAvailable:")
	text, _ := os.ReadFile("/sys/fs/cgroup/memory.max")
	limit, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if used, _ := os.ReadFile("/sys/fs/cgroup/memory.current"); err == nil {
		n, _ := strconv.ParseInt(strings.TrimSpace(string(used)), 10, 64)
		b.Memory = min(b.Memory, limit-n)
	}
	return b
}
