package load

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Usage is what a process has used.
type Usage struct {
	CPU time.Duration // user and system
	RSS int64         // bytes
}

// UsageOf reads the usage of a process from /proc: zero where there is none.
func UsageOf(pid int) (u Usage) {
	const tick = time.Second / 100 // USER_HZ
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u
	}
	// The name in parentheses may hold anything.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) > 12 {
		user, _ := strconv.ParseInt(fields[11], 10, 64)
		system, _ := strconv.ParseInt(fields[12], 10, 64)
		u.CPU = time.Duration(user+system) * tick
	}
	u.RSS = kilobytes(fmt.Sprintf("/proc/%d/status", pid), "VmRSS:")
	return u
}

// kilobytes reads a line "NAME   123 kB" of a file, in bytes.
func kilobytes(path, name string) int64 {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(text, []byte("\n"+name))
	fields := strings.Fields(string(rest[:min(len(rest), 64)]))
	if len(fields) == 0 {
		return 0
	}
	n, _ := strconv.ParseInt(fields[0], 10, 64)
	return n << 10
}
