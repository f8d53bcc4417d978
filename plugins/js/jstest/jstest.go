// Package jstest finds the engine of JavaScript plugins for tests.
//
// # What it does not do
//
// It fetches nothing: make engine puts QuickJS into bin of the tree, and a test
// without it is skipped with a line that says so, but under make test, which has
// fetched it.
package jstest

import (
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
