package devdb

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
)

// maxSocketPath is what the kernel's sun_path holds beside the final zero.
const maxSocketPath = 107

// tieToParent lets the kernel stop cmd, with a fast shutdown, when the thread
// that started it ends. A group of its own keeps the terminal's Ctrl-C from the
// server, which must outlive weir's own shutdown.
func tieToParent(cmd *exec.Cmd) {
	cmd.SysProcAttr.Setpgid = true
	cmd.SysProcAttr.Pdeathsig = syscall.SIGINT
}

// isServer looks at the working directory, which for a server is its data
// directory; a dead one has none.
func isServer(pid int, data string) bool {
	cwd, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/cwd")
	if err != nil {
		return false
	}
	if real, err := filepath.EvalSymlinks(data); err == nil {
		data = real
	}
	return cwd == data
}
