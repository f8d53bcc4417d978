package devdb

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	// tempPrefix names temporary clusters, so that those of killed owners are
	// found again.
	tempPrefix = "weir-pg-"
	socketName = ".s.PGSQL." + port
	// sweepAge keeps the sweep away from a directory that its owner has made but
	// not locked yet.
	sweepAge = time.Minute
)

// sharedHome takes the data that root's helper user cannot reach elsewhere. It is
// a variable only for tests, whose data must not stay there.
var sharedHome = "/var/lib/weir"

// place is where one cluster lives.
type place struct {
	dir       string // as asked for: lock and notes
	home      string // data and log; dir unless the server's user cannot go there
	sockets   string // directory of the Unix socket
	temporary bool
	who       account
}

func (p *place) data() string { return filepath.Join(p.home, "data") }
func (p *place) log() string  { return filepath.Join(p.home, "postgres.log") }
func (p *place) lock() string { return filepath.Join(p.dir, "lock") }

// newPlace makes the directories of a cluster, except the data. The caller holds
// no lock yet; choosing a home that differs from dir happens in settle.
func newPlace(dir string) (*place, error) {
	if dir == "" {
		return newTempPlace()
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("find the database directory: %w", err)
	}
	if err := makeDirs(dir); err != nil {
		return nil, fmt.Errorf("make the database directory: %w", err)
	}
	return &place{dir: dir, home: dir}, nil
}

func newTempPlace() (*place, error) {
	base := os.TempDir()
	who := accountsFor("")
	if len(who) == 0 {
		return nil, errNoUser
	}
	if !who[0].reaches(base) {
		base = "/tmp"
	}
	sweep(base)
	dir, err := os.MkdirTemp(base, tempPrefix)
	if err != nil {
		return nil, fmt.Errorf("make a temporary database directory: %w", err)
	}
	return &place{dir: dir, home: dir, temporary: true}, nil
}

var errNoUser = errors.New("PostgreSQL refuses to run as root and this machine has no user postgres or nobody: run weir as another user, or set database.url")

// settle decides, under the lock, who runs the server and where the data is.
func (p *place) settle(log *slog.Logger) error {
	if b, err := os.ReadFile(filepath.Join(p.dir, "elsewhere")); err == nil {
		// A checked-out directory may carry any note: believe only our own kind.
		home := strings.TrimSpace(string(b))
		if filepath.Dir(home) == sharedHome && strings.HasPrefix(filepath.Base(home), "pg-") && isDir(home) {
			p.home = home
		}
	}
	users := accountsFor(p.data())
	if len(users) == 0 {
		return errNoUser
	}
	if info, err := os.Stat(p.data()); err == nil && !users[0].other && !users[0].owns(info) {
		return fmt.Errorf("%s belongs to another user: run weir as that user or as root, or remove %s", p.data(), p.dir)
	}
	p.who = users[0]
	for _, who := range users {
		if p.home != p.dir || who.reaches(p.dir) || p.temporary {
			p.who = who
			break
		}
	}
	if p.who.other {
		log.Info("running as root, so the database runs as another user", "user", p.who.name)
		if p.home == p.dir && !p.temporary && !p.who.reaches(p.dir) {
			if err := p.moveHome(log); err != nil {
				return err
			}
		}
		if p.temporary || p.home != p.dir {
			// Made 0700 a moment ago; the server's user passes through.
			if err := os.Chmod(p.home, 0o711); err != nil {
				return fmt.Errorf("open the database directory to its user: %w", err)
			}
		}
	}
	return nil
}

// moveHome keeps the data where the server's user can come. The note in dir
// makes later starts find it; without the note (the directory was removed) a new
// cluster is made.
func (p *place) moveHome(log *slog.Logger) error {
	next := "run weir as a normal user, or set database.url"
	if err := makeDirs(sharedHome); err != nil {
		return fmt.Errorf("user %s cannot reach %s, and %w: %s", p.who.name, p.dir, err, next)
	}
	if !p.who.reaches(sharedHome) {
		return fmt.Errorf("user %s can reach neither %s nor %s: %s", p.who.name, p.dir, sharedHome, next)
	}
	home, err := os.MkdirTemp(sharedHome, "pg-")
	if err != nil {
		return fmt.Errorf("user %s cannot reach %s, and %w: %s", p.who.name, p.dir, err, next)
	}
	if err := os.WriteFile(filepath.Join(p.dir, "elsewhere"), []byte(home+"\n"), 0o644); err != nil {
		return fmt.Errorf("note where the database is: %w", err)
	}
	log.Info("the database's user cannot reach the directory, so the data is kept elsewhere",
		"user", p.who.name, "dir", p.dir, "data", home)
	p.home = home
	return nil
}

// findSockets chooses the directory of the Unix socket. A temporary cluster has
// it inside; others have it in a short, private directory of the system's
// choice, because a project may lie deep (a socket's path is bounded) or on a
// file system without sockets. Its name is kept, so that URLs stay the same.
func (p *place) findSockets() error {
	inside := filepath.Join(p.home, "s")
	if p.temporary && fits(inside) {
		p.sockets = inside
		return p.privateDir(inside)
	}
	note := filepath.Join(p.dir, "socket")
	bases := p.socketBases()
	if b, err := os.ReadFile(note); err == nil {
		old := strings.TrimSpace(string(b))
		ours := slices.Contains(bases, filepath.Dir(old)) && strings.HasPrefix(filepath.Base(old), "weir-")
		if ours && fits(old) && p.privateDir(old) == nil {
			p.sockets = old
			return nil
		}
	}
	var err error
	for _, base := range bases {
		var dir string
		if dir, err = os.MkdirTemp(base, "weir-"); err != nil {
			continue
		}
		if err = p.who.own(dir); err != nil {
			continue
		}
		p.sockets = dir
		return os.WriteFile(note, []byte(dir+"\n"), 0o644)
	}
	return fmt.Errorf("make a directory for the database's socket: %w", err)
}

func (p *place) socketBases() []string {
	var list []string
	for _, base := range []string{os.Getenv("XDG_RUNTIME_DIR"), os.TempDir(), "/tmp"} {
		base = filepath.Clean(base)
		if filepath.IsAbs(base) && isDir(base) && fits(filepath.Join(base, "weir-1234567890")) && p.who.reaches(base) {
			list = append(list, base)
		}
	}
	return list
}

// privateDir makes dir, or accepts one that is the server's alone: a directory
// (no link), 0700, of the right owner. Anything else may be a trap that another
// user has set in a shared directory.
func (p *place) privateDir(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if err == nil {
		return p.who.own(dir)
	}
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() || info.Mode().Perm() != 0o700 || !p.who.owns(info) {
		return fmt.Errorf("%s is not a private directory of %s", dir, p.who.name)
	}
	return nil
}

// tidy removes what a stopped cluster need not leave behind: the empty socket
// directory, or all of a temporary cluster.
func (p *place) tidy() error {
	if p.temporary {
		if err := os.RemoveAll(p.dir); err != nil {
			return fmt.Errorf("remove the temporary database: %w", err)
		}
		return nil
	}
	// Another starter may be about to use the directory: only under the lock.
	if l, err := tryLock(p.lock()); err == nil {
		_ = os.Remove(p.sockets) // made again, under the same name, by the next start
		l.release()
	}
	return nil
}

// sweep removes temporary clusters whose owners were killed. The kernel has
// dropped their lock; a server that is still stopping keeps its directory until
// the next sweep.
func sweep(base string) {
	dirs, _ := filepath.Glob(filepath.Join(base, tempPrefix+"*"))
	for _, dir := range dirs {
		info, err := os.Lstat(dir)
		if err != nil || !info.IsDir() || time.Since(info.ModTime()) < sweepAge {
			continue
		}
		if me := (account{uid: uint32(os.Geteuid())}); !me.owns(info) {
			continue
		}
		lock := filepath.Join(dir, "lock")
		if _, err := os.Lstat(lock); err != nil {
			continue
		}
		l, err := tryLock(lock)
		if err != nil {
			continue
		}
		if !Running(filepath.Join(dir, "data")) {
			_ = os.RemoveAll(dir) // what is left is tried again by the next sweep
		}
		l.release()
	}
}

// makeDirs is os.MkdirAll whose new directories can be entered whatever the
// umask says: as root, the server's user must get through.
func makeDirs(dir string) error {
	if isDir(dir) {
		return nil
	}
	if parent := filepath.Dir(dir); parent != dir {
		if err := makeDirs(parent); err != nil {
			return err
		}
	}
	mode := fs.FileMode(0o700)
	if os.Geteuid() == 0 {
		mode = 0o755
	}
	if err := os.Mkdir(dir, mode); err != nil {
		if errors.Is(err, fs.ErrExist) && isDir(dir) {
			return nil // another starter was quicker
		}
		return err
	}
	return os.Chmod(dir, mode)
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// fits reports whether a socket in dir has a path that the kernel accepts.
func fits(dir string) bool { return len(filepath.Join(dir, socketName)) <= maxSocketPath }
