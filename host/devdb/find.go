package devdb

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// oldest is the oldest major version that weir works with.
const oldest = 14

// programs is a directory that holds initdb and postgres of one version.
type programs struct {
	dir   string
	major int
}

func (p programs) path(name string) string { return filepath.Join(p.dir, name) }

// wellKnown are the places where packagers put PostgreSQL outside PATH.
var wellKnown = []string{
	"/usr/lib/postgresql/*/bin",                          // Debian, Ubuntu
	"/usr/pgsql-*/bin",                                   // the project's RPMs
	"/usr/libexec/postgresql*",                           // Alpine
	"/usr/local/pgsql/bin",                               // built from source
	"/opt/homebrew/opt/postgresql*/bin",                  // Homebrew, Apple silicon
	"/usr/local/opt/postgresql*/bin",                     // Homebrew, Intel
	"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",     // Homebrew, Linux
	"/opt/local/lib/postgresql*/bin",                     // MacPorts
	"/Applications/Postgres.app/Contents/Versions/*/bin", // Postgres.app
}

// find returns the programs to use: those of Config.BinDir, else the newest that
// a may run. want is the major version of existing data, 0 for any.
func (c *Cluster) find(ctx context.Context, want int) (programs, error) {
	if m := c.cfg.Major; m != 0 && want != 0 && m != want {
		return programs{}, fmt.Errorf("the database in %s was made by PostgreSQL %d, and %d is asked for", c.place.data(), want, m)
	}
	want = max(want, c.cfg.Major)
	if dir := c.cfg.BinDir; dir != "" {
		return c.findIn(ctx, dir, want)
	}
	var best programs
	var others []string
	for _, dir := range c.candidates() {
		p, err := look(ctx, dir)
		switch {
		case err != nil || p.major < oldest:
		case !c.place.who.reaches(dir):
			c.log.Info("PostgreSQL is out of reach for the database's user", "dir", dir, "user", c.place.who.name)
		case want != 0 && p.major != want:
			others = append(others, strconv.Itoa(p.major))
		case p.major > best.major: // the first of equals stands earlier in PATH
			best = p
		}
	}
	if ctx.Err() != nil {
		return programs{}, fmt.Errorf("look for PostgreSQL: %w", ctx.Err())
	}
	if best.dir != "" {
		return best, nil
	}
	// An earlier download never wins over what the machine has: a package brings
	// its extensions, and its updates.
	release, downloadable := releaseOf(want)
	if cache, err := c.cacheDir(release); err == nil {
		if p, err := c.findIn(ctx, filepath.Join(cache, "native", "bin"), want); err == nil {
			return p, nil
		}
	}
	if c.cfg.Download && (downloadable || want == 0) {
		return c.download(ctx, release)
	}
	if c.cfg.Major != 0 {
		return programs{}, fmt.Errorf("no PostgreSQL %d (%w)", c.cfg.Major, ErrNotFound)
	}
	if len(others) > 0 {
		return programs{}, fmt.Errorf("the database in %s was made by PostgreSQL %d and only %s is found: install PostgreSQL %d, or remove the directory to start afresh",
			c.place.data(), want, strings.Join(others, ", "), want)
	}
	return programs{}, ErrNotFound
}

func (c *Cluster) findIn(ctx context.Context, dir string, want int) (programs, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return programs{}, err
	}
	p, err := look(ctx, dir)
	switch {
	case err != nil:
		return programs{}, fmt.Errorf("no PostgreSQL in %s (%w): name a directory that holds initdb and postgres", dir, err)
	case p.major < oldest:
		return programs{}, fmt.Errorf("%s holds PostgreSQL %d: version %d or newer is needed", dir, p.major, oldest)
	case !c.place.who.reaches(dir):
		return programs{}, fmt.Errorf("user %s, who must run the database because root may not, cannot enter %s: open the directory, or use other programs", c.place.who.name, dir)
	case want != 0 && p.major != want:
		return programs{}, fmt.Errorf("the database in %s was made by PostgreSQL %d and %s holds %d: use the same version, or remove the data to start afresh",
			c.place.data(), want, dir, p.major)
	}
	return p, nil
}

// candidates lists directories to look into, the user's own wish first.
func (c *Cluster) candidates() []string {
	var dirs []string
	if dir := os.Getenv("WEIR_PG_BIN"); dir != "" {
		dirs = append(dirs, dir)
	}
	dirs = append(dirs, filepath.SplitList(os.Getenv("PATH"))...)
	for _, pattern := range wellKnown {
		found, _ := filepath.Glob(pattern)
		dirs = append(dirs, found...)
	}
	var list []string
	for _, dir := range dirs {
		// A relative directory in PATH would run what lies in the working
		// directory, which is not the user's wish.
		if filepath.IsAbs(dir) && !slices.Contains(list, dir) {
			list = append(list, dir)
		}
	}
	return list
}

var versionLine = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// look asks the programs in dir for their version.
func look(ctx context.Context, dir string) (programs, error) {
	for _, name := range []string{"initdb", "postgres"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			return programs{}, err
		}
		if info.IsDir() || info.Mode()&0o111 == 0 {
			return programs{}, fmt.Errorf("%s is not a program", filepath.Join(dir, name))
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version").CombinedOutput()
	if err != nil {
		return programs{}, fmt.Errorf("ask postgres for its version: %w: %s", err, lastLines(string(out)))
	}
	m := versionLine.FindSubmatch(out)
	if m == nil {
		return programs{}, fmt.Errorf("postgres --version says %q", lastLines(string(out)))
	}
	major, err := strconv.Atoi(string(m[1]))
	return programs{dir: dir, major: major}, err
}
