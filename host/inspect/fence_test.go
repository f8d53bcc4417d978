package inspect

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// tries is a child that is fenced in and confined, and tells what it could do with
// the path of each question.
func tries(in io.Reader, out io.Writer) error {
	runtime.LockOSThread()
	if len(os.Args) == 2 {
		if err := Fence(append(os.Args, "again")); err != nil {
			return err
		}
	}
	if err := Confine(Profile{Memory: 1 << 30, Space: 8 << 30, Seconds: 60, Files: true, FileBytes: 8}); err != nil {
		return err
	}
	if err := WriteFrame(out, []byte(hello)); err != nil {
		return err
	}
	for {
		question, err := ReadFrame(in, maxQuestion)
		if err != nil {
			return nil //nolint:nilerr // its parent has gone
		}
		if err := WriteFrame(out, try(string(question))); err != nil {
			return err
		}
	}
}

func try(path string) []byte {
	var can []string
	if _, err := os.ReadFile(path); err == nil {
		can = append(can, "read")
	}
	if os.WriteFile(path+".new", []byte("12345678"), 0o600) == nil {
		can = append(can, "make")
	}
	if os.Rename(path+".new", path+".moved") == nil {
		can = append(can, "move")
	}
	if os.Remove(path+".moved") == nil {
		can = append(can, "remove")
	}
	if os.Symlink("x", path+".link") == nil {
		can = append(can, "link")
	}
	if os.Chmod(path, 0o644) == nil {
		can = append(can, "chmod")
	}
	if os.Mkdir(path+".dir", 0o700) == nil {
		can = append(can, "mkdir")
	}
	return []byte(strings.Join(can, " "))
}

// G8: a child that may make files reaches no others. Where there is no Landlock,
// it may do what its user may.
func TestFencedChildStaysInItsDirectory(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		return
	}
	dir, elsewhere := t.TempDir(), t.TempDir()
	outside := filepath.Join(elsewhere, "secret")
	for _, path := range []string{outside, filepath.Join(dir, "own")} {
		if err := os.WriteFile(path, []byte("secret"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p, err := StartProcess(Program{Command: itself(t, fencedArg), Dir: dir, Hello: hello, Timeout: 5 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Kill()
	f := func(path, want string) {
		t.Helper()
		got, err := p.Ask([]byte(path), maxAnswer, time.Now().Add(time.Minute))
		if err != nil || string(got) != want {
			t.Errorf("%s: it could %q, want %q (%v)", path, got, want, err)
		}
	}
	all := "read make move remove"
	f("own", all)
	f(filepath.Join(dir, "own"), all)
	if landlockVersion() == 0 {
		f(outside, all)
		return
	}
	f(outside, "")
	f("/proc/self/../../"+outside, "")
	f("/etc/passwd", "")
	parents := ""
	if raceDetector { // it reads its own mappings
		parents = "read"
	}
	f(fmt.Sprintf("/proc/%d/environ", os.Getpid()), parents)
	// The bound of a file, and what seccomp forbids inside, too.
	if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	f("link", "make move remove")
}
