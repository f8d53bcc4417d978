//go:build !linux

package devdb

import (
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// maxSocketPath is what the sun_path of the BSDs holds beside the final zero.
const maxSocketPath = 103

// tieToParent keeps the terminal's Ctrl-C from the server. There is no signal
// for the death of a parent here: a server may outlive its starter, and the next
// Start attaches to it.
func tieToParent(cmd *exec.Cmd) {
	cmd.SysProcAttr.Setpgid = true
}

// isServer asks ps for the program's name, the nearest thing to a proof here.
func isServer(pid int, _ string) bool {
	out, err := exec.Command("ps", "-o", "comm=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && filepath.Base(strings.TrimSpace(string(out))) == "postgres"
}
