package devdb

import (
	"errors"
	"fmt"
)

var (
	// ErrNotFound means that no usable PostgreSQL programs were found.
	ErrNotFound = errors.New("no PostgreSQL 14 or newer found: install it (`apt-get install postgresql` / `brew install postgresql@17`), or set database.url")
	// ErrAttached means that the server belongs to another process, which alone
	// may stop it.
	ErrAttached = errors.New("the database server was started by another process: stop that one first")
	// ErrClosed means that Close was called before.
	ErrClosed = errors.New("the database cluster is closed")
)

// ExitError says that the server, or initdb, ended when it should have worked.
type ExitError struct {
	Program string // "postgres" or "initdb"
	Err     error  // how it ended
	LogPath string // where all of its words are, "" when Tail is everything
	Tail    string // its last words
}

// Error is one sentence, followed by the program's last words.
func (e *ExitError) Error() string {
	where := ""
	if e.LogPath != "" {
		where = " (all of it in " + e.LogPath + ")"
	}
	return fmt.Sprintf("%s ended (%v), saying%s:\n%s", e.Program, e.Err, where, e.Tail)
}

// Unwrap returns how the program ended.
func (e *ExitError) Unwrap() error { return e.Err }
