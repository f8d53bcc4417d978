package devdb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// initTimeout bounds initdb, which takes half a second on an idle machine.
const initTimeout = 2 * time.Minute

// localAccess is the whole pg_hba.conf (DB1). Whoever can enter the socket's
// directory is the user who runs the server, or root.
const localAccess = "# Written by weir: local connections only.\nlocal all all trust\nlocal replication all trust\n"

// majorOf returns the version that made data, 0 if there is none yet.
func majorOf(data string) (int, error) {
	b, err := os.ReadFile(filepath.Join(data, "PG_VERSION"))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the version of the database: %w", err)
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0, fmt.Errorf("%s is not a database directory: remove it to start afresh", data)
	}
	return major, nil
}

// initialise makes the cluster. It works beside the final name and renames at
// the end, so that a killed initdb leaves nothing that looks whole (DB3).
func (c *Cluster) initialise(ctx context.Context, p programs) error {
	started := time.Now()
	fresh := c.place.data() + ".new"
	if err := os.RemoveAll(fresh); err != nil {
		return fmt.Errorf("remove what an interrupted start left: %w", err)
	}
	err := c.initdb(ctx, p, fresh, localeArgs(p.major))
	if exit := (*ExitError)(nil); errors.As(err, &exit) && strings.Contains(exit.Tail, "locale") {
		// Older C libraries have no C.UTF-8. Plain C differs only in upper and
		// lower case of letters outside ASCII.
		if err = os.RemoveAll(fresh); err == nil {
			err = c.initdb(ctx, p, fresh, []string{"--locale=C"})
		}
	}
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(fresh, "pg_hba.conf"), []byte(localAccess), 0o600); err != nil {
		return fmt.Errorf("restrict access to the database: %w", err)
	}
	if err := os.Rename(fresh, c.place.data()); err != nil {
		return fmt.Errorf("put the new database in place: %w", err)
	}
	c.log.Info("made a private database", "dir", c.place.data(), "version", p.major, "took", time.Since(started).Round(time.Millisecond))
	return nil
}

func localeArgs(major int) []string {
	if major >= 17 {
		// The built-in provider has C.UTF-8 whatever the C library knows.
		return []string{"--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"}
	}
	return []string{"--locale=C.UTF-8"}
}

func (c *Cluster) initdb(ctx context.Context, p programs, dir string, locale []string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("make the database directory: %w", err)
	}
	if err := c.place.who.own(dir); err != nil {
		return fmt.Errorf("give the database directory to %s: %w", c.place.who.name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, initTimeout)
	defer cancel()
	// --no-sync: a machine that crashes in the first seconds loses an empty
	// database; the server itself syncs what is written later.
	args := append([]string{
		"-D", dir, "-U", superuser, "-A", "trust", "-E", "UTF8",
		"--no-sync", "--no-instructions",
	}, locale...)
	cmd := exec.CommandContext(ctx, p.path("initdb"), args...)
	cmd.Dir = "/" // the working directory may be closed to the other user
	cmd.Env = cleanEnv()
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.place.who.credential()}
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return fmt.Errorf("make the database: %w", ctx.Err())
	}
	if strings.Contains(string(out), "could not look up effective user ID") {
		return fmt.Errorf("PostgreSQL needs a name for %s and the system's user list has none: add a passwd entry, or set database.url", c.place.who.name)
	}
	if err != nil {
		return fmt.Errorf("make the database: %w", &ExitError{Program: "initdb", Err: err, Tail: lastLines(string(out))})
	}
	return nil
}

// cleanEnv is this process's environment without what would change the server's
// mind (PGDATA, PGPORT, PGOPTIONS …) or the language of its messages.
func cleanEnv() []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "PG") && !strings.HasPrefix(kv, "LC_") && !strings.HasPrefix(kv, "LANG") {
			env = append(env, kv)
		}
	}
	return append(env, "LC_ALL=C")
}

// lastLines shortens a program's output to what fits an error.
func lastLines(s string) string {
	const maxLines, maxBytes = 12, 4096
	lines := strings.Split(strings.TrimSpace(s), "\n")
	if len(lines) > maxLines {
		lines = lines[len(lines)-maxLines:]
	}
	s = strings.Join(lines, "\n")
	if len(s) > maxBytes {
		s = s[len(s)-maxBytes:]
	}
	return strings.ToValidUTF8(s, "?")
}
