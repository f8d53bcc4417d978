package inspect

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Confine gives up what a child does not need, for all its threads: privileges
// by exec, memory and time above the bounds, core dumps, files, and all system
// calls that are not on a list. What a kernel is too old for is left out, but for
// the limits. Its caller has locked the goroutine to its thread.
func Confine(p Profile) error {
	if err := closeInherited(); err != nil {
		return err
	}
	// The runtime makes its poller at the first timer; afterwards nothing can be
	// opened.
	time.AfterFunc(0, func() {}).Stop()
	files := uint64(0) // none beside those that are open
	if p.Files {
		files = 16
	}
	if raceDetector {
		p.Memory, p.Space = 0, 0 // its shadow of all memory needs more
	}
	for _, l := range []struct {
		resource int
		most     uint64
	}{
		{unix.RLIMIT_CORE, 0},
		{unix.RLIMIT_FSIZE, p.FileBytes},
		{unix.RLIMIT_NOFILE, files},
		{unix.RLIMIT_CPU, p.seconds()},
		{unix.RLIMIT_DATA, p.Memory},
		{unix.RLIMIT_AS, p.Space},
	} {
		if l.most == 0 && (l.resource == unix.RLIMIT_DATA || l.resource == unix.RLIMIT_AS) {
			continue
		}
		if err := unix.Setrlimit(l.resource, &unix.Rlimit{Cur: l.most, Max: l.most}); err != nil {
			return fmt.Errorf("limit %d: %w", l.resource, err)
		}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no new privileges: %w", err)
	}
	return filterCalls(p.Files)
}

// closeInherited closes what the parent had open without knowing: files that its
// own parent handed it. The runtime keeps its poller and, where there is one, the
// quota of its control group.
func closeInherited() error {
	const dir = "/proc/self/fd"
	open, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // no /proc: what we open ourselves is closed on exec
	}
	for _, entry := range open {
		fd, err := strconv.Atoi(entry.Name())
		if err != nil || fd < 3 {
			continue
		}
		to, err := os.Readlink(dir + "/" + entry.Name())
		if err != nil || strings.HasPrefix(to, "anon_inode:[event") || strings.HasPrefix(to, "/sys/fs/cgroup/") {
			continue // gone already: it was the directory
		}
		if err := unix.Close(fd); err != nil {
			return fmt.Errorf("close inherited file %d: %w", fd, err)
		}
	}
	return err
}

// filterCalls installs the list of system calls on all threads.
func filterCalls(files bool) error {
	var arch uint32
	switch runtime.GOARCH {
	case "amd64":
		arch = unix.AUDIT_ARCH_X86_64
	case "arm64":
		arch = unix.AUDIT_ARCH_AARCH64
	default:
		return nil
	}
	allowed := calls
	if files {
		allowed = slices.Concat(calls, fileCalls)
	}
	program := filter(arch, uint32(os.Getpid()), allowed)
	fprog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&fprog)))
	if errno != 0 && !errors.Is(errno, unix.ENOSYS) && !errors.Is(errno, unix.EINVAL) {
		return fmt.Errorf("filter system calls: %w", errno)
	}
	return nil
}

// calls are what Go's runtime and the parser's need once they run. Memory,
// threads, signals to itself, time, and the pipes that are open.
var calls = []uint32{
	unix.SYS_READ, unix.SYS_WRITE, unix.SYS_CLOSE, unix.SYS_FCNTL, unix.SYS_FSTAT,
	unix.SYS_MMAP, unix.SYS_MUNMAP, unix.SYS_MPROTECT, unix.SYS_MADVISE, unix.SYS_MREMAP, unix.SYS_MINCORE, unix.SYS_BRK,
	unix.SYS_FUTEX, unix.SYS_SET_ROBUST_LIST, unix.SYS_RSEQ, unix.SYS_EXIT, unix.SYS_EXIT_GROUP,
	unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_SIGALTSTACK, unix.SYS_RESTART_SYSCALL,
	unix.SYS_GETPID, unix.SYS_GETTID, unix.SYS_SCHED_YIELD, unix.SYS_SCHED_GETAFFINITY, unix.SYS_GETRUSAGE, unix.SYS_GETRANDOM,
	unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP, unix.SYS_CLOCK_GETTIME, unix.SYS_EPOLL_PWAIT, unix.SYS_EPOLL_CTL,
}

// What struct seccomp_data holds, by offset.
const (
	dataCall = 0
	dataArch = 4
	dataArg0 = 16 // low half: both architectures are little-endian
)

// filter makes the program: what is not allowed fails with EPERM.
func filter(arch, pid uint32, calls []uint32) []unix.SockFilter {
	load := func(at uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
	}
	ret := func(action uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: action}
	}
	jump := func(test uint16, k uint32, yes, no uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | test | unix.BPF_K, K: k, Jt: yes, Jf: no}
	}
	deny, allow := ret(unix.SECCOMP_RET_ERRNO|uint32(unix.EPERM)), ret(unix.SECCOMP_RET_ALLOW)
	program := []unix.SockFilter{
		load(dataArch), jump(unix.BPF_JEQ, arch, 1, 0), deny,
		load(dataCall),
		// The C library asks for clone3 first, whose flags cannot be seen here, and
		// takes clone when there is none.
		jump(unix.BPF_JEQ, unix.SYS_CLONE3, 0, 1), ret(unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)),
		// Threads, no processes.
		jump(unix.BPF_JEQ, unix.SYS_CLONE, 0, 4), load(dataArg0), jump(unix.BPF_JSET, unix.CLONE_THREAD, 0, 1), allow, deny,
		// Signals to this process only.
		jump(unix.BPF_JEQ, unix.SYS_TGKILL, 0, 4), load(dataArg0), jump(unix.BPF_JEQ, pid, 0, 1), allow, deny,
	}
	for _, call := range calls {
		program = append(program, jump(unix.BPF_JEQ, call, 0, 1), allow)
	}
	return append(program, deny)
}

// worn reports whether the child should end before its limits end it.
func worn() bool {
	var used unix.Rusage
	err := unix.Getrusage(unix.RUSAGE_SELF, &used)
	return err != nil || uint64(used.Utime.Sec+used.Stime.Sec) > sqlProfile.seconds()/2
}
