package wasm

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// The child has nothing of its parent's: see Confine for the rest.
func TestChildIsConfined(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	asked := filepath.Join(t.TempDir(), "asked")
	path := filepath.Join(t.TempDir(), "child")
	script := "#!/bin/sh\nfor last; do :; done\necho $last >" + asked + "\nexec " + strings.Join(itself(t), " ") + " $@\n"
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	w := withChild(t, Config{Command: []string{path}}).workshop
	p, err := w.start(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Kill()
	proc := fmt.Sprintf("/proc/%d", p.Pid())
	if last, err := os.ReadFile(asked); err != nil || string(last) != compileFence+"\n" {
		t.Errorf("it was asked for %q, %v", last, err)
	}
	// Where there is Landlock, it has started once more, in its fence.
	const landlockCreateRuleset, version = 444, 1
	_, _, errno := syscall.Syscall(landlockCreateRuleset, 0, 0, version)
	command, err := os.ReadFile(proc + "/cmdline")
	if err != nil || w.open || errno == 0 && bytes.Contains(command, []byte(compileFence)) {
		t.Errorf("the child is %q, %v", command, err)
	}
	environ, err := os.ReadFile(proc + "/environ")
	if err != nil || len(environ) > 0 {
		t.Errorf("the environment is %q, %v", environ, err)
	}
	fds, err := os.ReadDir(proc + "/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		to, err := os.Readlink(filepath.Join(proc, "fd", fd.Name()))
		if err != nil || !strings.HasPrefix(to, "pipe:") && !strings.HasPrefix(to, "anon_inode:[event") && !strings.HasPrefix(to, "/sys/fs/cgroup/") {
			t.Errorf("fd %s is %s (%v)", fd.Name(), to, err)
		}
	}
	tasks, err := filepath.Glob(proc + "/task/*/status")
	if err != nil || len(tasks) == 0 {
		t.Fatalf("%v threads, %v", len(tasks), err)
	}
	for _, task := range tasks {
		status, err := os.ReadFile(task)
		for _, want := range []string{"NoNewPrivs:\t1\n", "Seccomp:\t2\n"} {
			if err != nil || !strings.Contains(string(status), want) {
				t.Errorf("a thread of the child lacks %q (%v)", want, err)
			}
		}
	}
	text, err := os.ReadFile(proc + "/limits")
	if err != nil {
		t.Fatal(err)
	}
	limits := strings.Join(strings.Fields(string(text)), " ")
	want := []string{"Max core file size 0 0", fmt.Sprintf("Max file size %d", maxNativeBytes), "Max open files 16 16"}
	if !raceEnabled {
		want = append(want, "Max data size 2147483648 2147483648", "Max address space 6442450944 6442450944")
	}
	for _, w := range want {
		if !strings.Contains(limits, w) {
			t.Errorf("the child's limits lack %q: %s", w, limits)
		}
	}
}
