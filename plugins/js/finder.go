package js

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// Finder finds QuickJS and links the engine, once. It is safe for concurrent use.
type Finder struct {
	// File is where QuickJS is, as its module or as the npm package. Empty: a file
	// called FileName in the first of Dirs that has one.
	File string
	Dirs []string

	mu     sync.Mutex // protects the field below
	engine []byte
}

// Dirs are where QuickJS is looked for: beside the program, and where weir keeps
// what it can make again.
func Dirs(state string) []string {
	var dirs []string
	if program, err := os.Executable(); err == nil {
		dirs = append(dirs, filepath.Dir(program))
	}
	if state != "" {
		dirs = append(dirs, state)
	}
	return dirs
}

// MissingError says that QuickJS is not there, or that a file is something else.
type MissingError struct {
	File string // the one that the operator named, or ""
	Err  error  // nil if it is nowhere
}

// Error says how to get it.
func (e *MissingError) Error() string {
	how := fmt.Sprintf("run npm pack %s@%s and write engine = \"%[1]s-%[2]s.tgz\" into weir.toml (in weir's own tree, make engine)", Package, Version)
	switch {
	case e.Err == nil:
		return "plugins in JavaScript need the engine, which is not part of weir: " + how
	case e.File == "":
		return "the engine for plugins in JavaScript: " + e.Err.Error() + ": " + how
	}
	return fmt.Sprintf("the engine for plugins in JavaScript, %s: %v: %s", e.File, e.Err, how)
}

// Unwrap returns why the file could not be used.
func (e *MissingError) Unwrap() error { return e.Err }

// Engine returns the engine, or a MissingError. It is asked again after an error,
// and keeps what it found. The bytes are shared.
func (f *Finder) Engine() ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.engine != nil {
		return f.engine, nil
	}
	file, err := f.find()
	if err != nil {
		return nil, err
	}
	quickjs, err := QuickJS(file)
	if err != nil {
		return nil, &MissingError{File: f.File, Err: err}
	}
	f.engine, err = Engine(quickjs)
	return f.engine, err
}

func (f *Finder) find() ([]byte, error) {
	if f.File != "" {
		file, err := os.ReadFile(f.File)
		if err != nil {
			return nil, &MissingError{File: f.File, Err: err}
		}
		return file, nil
	}
	for _, dir := range f.Dirs {
		switch file, err := os.ReadFile(filepath.Join(dir, FileName)); {
		case err == nil:
			return file, nil
		case !errors.Is(err, fs.ErrNotExist):
			return nil, &MissingError{Err: err}
		}
	}
	return nil, &MissingError{}
}
