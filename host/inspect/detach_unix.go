//go:build unix

package inspect

import (
	"os/exec"
	"syscall"
)

// detach keeps the terminal's interrupt from the child: its parent ends it.
func detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
