// Package jstest finds the engine of JavaScript plugins for tests.
//
// # What it does not do
//
// It fetches nothing: make engine puts QuickJS into bin of the tree, and a test
// without it is skipped with a line that says so, but under make test, which has
// fetched it.
package jstest

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"weir/plugins/js"
)

// Find returns the file of QuickJS in the tree around the working directory, ""
// without one.
func Find() string {
	dir, err := os.Getwd()
	for err == nil {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			file := filepath.Join(dir, "bin", js.FileName)
			if _, err := os.Stat(file); err != nil {
				return ""
			}
			return file
		}
		up := filepath.Dir(dir)
		if up == dir {
			return ""
		}
		dir = up
	}
	return ""
}

// File is Find for a test that cannot do without.
func File(t testing.TB) string {
	t.Helper()
	file := Find()
	switch {
	case file != "":
	case os.Getenv("WEIR_NEEDS_ENGINE") != "":
		t.Fatal("there is no engine for plugins in JavaScript in bin: run make engine")
	default:
		t.Skip("not run: there is no engine for plugins in JavaScript in bin: run make engine")
	}
	return file
}

// Provide puts QuickJS, if the tree has it, into a directory in which weir looks
// for it.
func Provide(dir string) error {
	file := Find()
	if file == "" {
		return nil
	}
	module, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if there, err := os.ReadFile(filepath.Join(dir, js.FileName)); err == nil && bytes.Equal(there, module) {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	// In one moment: other test binaries do the same.
	temporary, err := os.CreateTemp(dir, js.FileName)
	if err != nil {
		return err
	}
	_, err = temporary.Write(module)
	if err := errors.Join(err, temporary.Close()); err != nil {
		return errors.Join(err, os.Remove(temporary.Name()))
	}
	return os.Rename(temporary.Name(), filepath.Join(dir, js.FileName))
}

// Engine returns the engine.
func Engine(t testing.TB) []byte {
	t.Helper()
	finder := js.Finder{File: File(t)}
	engine, err := finder.Engine()
	if err != nil {
		t.Fatal(err)
	}
	return engine
}
