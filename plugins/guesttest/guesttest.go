// Package guesttest finds the samples in Rust and C that make guests has built, for
// tests.
//
// # What it does not do
//
// It builds nothing: a test without a sample is skipped with a line that says so, but
// under make test, which has built them.
package guesttest

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// File returns the file of a sample, such as "rust", below the directory of the tree
// that the test runs in. One that is older than what it is built from is a failure.
func File(t testing.TB, name string) string {
	t.Helper()
	root := Root(t)
	file := filepath.Join(root, "bin", "guests", name+".wasm")
	info, err := os.Stat(file)
	switch {
	case err == nil:
		if source := newest(t, root, name); source.After(info.ModTime()) {
			t.Fatalf("%s is older than what it is built from: run make guests", filepath.Base(file))
		}
		return file
	case os.Getenv("WEIR_NEEDS_GUESTS") != "":
		t.Fatalf("there is no %s.wasm in bin/guests: run make guests", name)
	default:
		t.Skipf("not run: there is no %s.wasm in bin/guests: run make guests", name)
	}
	return ""
}

// Root returns the directory of the tree.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	for err == nil {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			break
		}
		dir = up
	}
	t.Fatal("the test runs outside of the tree")
	return ""
}

// newest is when the SDK or the source of a sample was changed last.
func newest(t testing.TB, root, name string) (last time.Time) {
	t.Helper()
	of := "languages"
	language, edges := strings.CutPrefix(name, "edges-")
	if edges {
		of = "edges"
	}
	for _, dir := range []string{language, filepath.Join("testdata", of, language)} {
		err := filepath.WalkDir(filepath.Join(root, "plugins", dir), func(path string, d fs.DirEntry, err error) error {
			if ext := filepath.Ext(path); err != nil || ext != ".rs" && ext != ".c" && ext != ".h" {
				return err
			}
			info, err := d.Info()
			if err == nil && info.ModTime().After(last) {
				last = info.ModTime()
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return last
}
