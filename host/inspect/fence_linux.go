package inspect

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What Landlock may be told, by the version of its interface.
const (
	fenceFirst  = unix.LANDLOCK_ACCESS_FS_MAKE_SYM<<1 - 1
	fenceSecond = fenceFirst | unix.LANDLOCK_ACCESS_FS_REFER
	fenceThird  = fenceSecond | unix.LANDLOCK_ACCESS_FS_TRUNCATE

	fenceRead = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_EXECUTE
	fenceList = unix.LANDLOCK_ACCESS_FS_READ_DIR
	fenceMake = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR | unix.LANDLOCK_ACCESS_FS_WRITE_FILE |
		unix.LANDLOCK_ACCESS_FS_REMOVE_FILE | unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_TRUNCATE
)

// Fence confines a child to the directory that it was started in, by starting its
// program once more with args: Landlock confines a thread, and what that thread
// turns into. It returns nil, having done nothing, where the kernel has no
// Landlock, an error if the program must end, and otherwise not at all. Its caller
// has locked the goroutine to its thread.
func Fence(args []string) error {
	version := landlockVersion()
	if version == 0 {
		return nil
	}
	handled := uint64(fenceThird)
	switch version {
	case 1:
		handled = fenceFirst
	case 2:
		handled = fenceSecond
	}
	ruleset, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&handled)), unsafe.Sizeof(handled), 0)
	if errno != 0 {
		return fmt.Errorf("fence: %w", errno)
	}
	defer func() { _ = unix.Close(int(ruleset)) }()
	for path, access := range fencedPaths() {
		if err := fenceAllow(int(ruleset), path, access&handled); err != nil {
			return fmt.Errorf("fence: %s: %w", path, err)
		}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("fence: %w", err)
	}
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, ruleset, 0, 0); errno != 0 {
		return fmt.Errorf("fence: %w", errno)
	}
	return fmt.Errorf("fence: %w", syscall.Exec("/proc/self/exe", args, []string{}))
}

// landlockVersion returns the version of the kernel's interface, or 0.
func landlockVersion() int {
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0
	}
	return int(version)
}

// fencedPaths are what the program needs to run once more, which is what it has
// mapped now, and the directory.
func fencedPaths() map[string]uint64 {
	paths := map[string]uint64{
		".":                fenceMake,
		"/proc":            fenceList, // closeInherited lists its own
		"/etc/ld.so.cache": fenceRead,
	}
	if raceDetector {
		paths["/proc"] |= fenceRead // it looks at its own mappings
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return paths // starting again will fail, and say so
	}
	for line := range strings.Lines(string(maps)) {
		if at := strings.IndexByte(line, '/'); at >= 0 {
			paths[strings.TrimSpace(line[at:])] = fenceRead
		}
	}
	return paths
}

// fenceAllow allows access to a file, or below a directory. What is not there
// needs nothing.
func fenceAllow(ruleset int, path string, access uint64) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer func() { _ = unix.Close(fd) }()
	rule := unix.LandlockPathBeneathAttr{Allowed_access: access, Parent_fd: int32(fd)}
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(ruleset), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&rule)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
