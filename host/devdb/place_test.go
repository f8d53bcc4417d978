package devdb

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// DB7: the sweep removes temporary clusters of killed owners and nothing else.
func TestSweepRemovesOnlyWhatNobodyHolds(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	long := time.Now().Add(-time.Hour)
	f := func(name string, age time.Time, locked bool, want bool) {
		t.Helper()
		dir := filepath.Join(base, name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		l, err := tryLock(filepath.Join(dir, "lock"))
		if err != nil {
			t.Fatal(err)
		}
		if locked {
			defer l.release()
		} else {
			l.release()
		}
		if err := os.Chtimes(dir, age, age); err != nil {
			t.Fatal(err)
		}
		sweep(base)
		if isDir(dir) != want {
			t.Errorf("%s is there: %v, want %v", name, !want, want)
		}
	}
	f(tempPrefix+"abandoned", long, false, false)
	f(tempPrefix+"in-use", long, true, true)
	f(tempPrefix+"new", time.Now(), false, true)
	f("somebody-elses", long, false, true)
}

// A note in a checked-out directory must not make weir take a directory over.
func TestForeignSocketNoteIsIgnored(t *testing.T) {
	t.Parallel()
	dir, target := t.TempDir(), t.TempDir()
	if err := os.Chmod(target, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "socket"), []byte(target+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	p := &place{dir: dir, home: dir, who: accountsFor("")[0]}
	if err := p.findSockets(); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(p.sockets)
	if p.sockets == target {
		t.Errorf("the socket goes into %s because a note says so", target)
	}
	again := &place{dir: dir, home: dir, who: p.who}
	if err := again.findSockets(); err != nil || again.sockets != p.sockets {
		t.Errorf("the next start uses %s (%v), want %s", again.sockets, err, p.sockets)
	}
}

func TestUserReachesOnlyOpenDirectories(t *testing.T) {
	t.Parallel()
	dir := t.TempDir() // below a 0700 directory of this user
	stranger := account{uid: 4_000_000, gid: 4_000_000, other: true}
	if stranger.reaches(dir) {
		t.Errorf("a stranger reaches %s", dir)
	}
	if !stranger.reaches("/") || !stranger.reaches("/tmp/does/not/exist/yet") {
		t.Errorf("a stranger does not reach the open directories")
	}
	if me := (account{uid: uint32(os.Geteuid()), other: true}); !me.reaches(dir) {
		t.Errorf("the owner does not reach %s", dir)
	}
}
