package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

// changed says which files of a project changed.
type changed struct {
	config  bool
	sql     bool
	sources bool
	name    string // one of them, for people
}

// watcher tells of changes to a project's files. Directories are watched, not
// files, because editors put a new file in the place of the old one.
type watcher struct {
	// C gets a value when files changed and have been quiet for a moment. What is
	// not taken is joined with what comes.
	C <-chan changed

	notify  *fsnotify.Watcher
	project *project
	sources []string
	done    sync.WaitGroup
}

// settle is how long files must be quiet: editors and git write in bursts.
const settle = 80 * time.Millisecond

// watchProject begins to watch. Close ends it.
func watchProject(p *project) (*watcher, error) {
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	c := make(chan changed)
	w := &watcher{C: c, notify: notify, project: p, sources: p.config.Dev.Sources}
	for _, path := range []string{p.file, p.config.Dev.Schema, p.config.Dev.Seed} {
		if path != "" {
			_ = notify.Add(filepath.Dir(path)) // a directory that is missing is told by who reads it
		}
	}
	for _, source := range w.sources {
		w.addTree(source)
	}
	w.done.Go(func() { w.run(c) })
	return w, nil
}

// Close ends the watching. It may be called twice, and on nil.
func (w *watcher) Close() {
	if w == nil {
		return
	}
	_ = w.notify.Close()
	w.done.Wait()
}

// addTree watches a directory and those below it.
func (w *watcher) addTree(root string) {
	_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil //nolint:nilerr // what cannot be read is not watched
		}
		if path != root && (hidden(path) || d.Name() == "node_modules" || cargoOutput(path) || path == w.project.config.Plugins) {
			return filepath.SkipDir
		}
		_ = w.notify.Add(path)
		return nil
	})
}

func hidden(path string) bool { return strings.HasPrefix(filepath.Base(path), ".") }

// cargoOutput reports whether cargo, which editors run all the time, writes there.
func cargoOutput(dir string) bool {
	if filepath.Base(dir) != "target" {
		return false
	}
	_, err := os.Stat(filepath.Join(filepath.Dir(dir), cargoName))
	return err == nil
}

func (w *watcher) run(c chan<- changed) {
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	var pending changed
	var out chan<- changed // nil until pending may be sent
	for {
		select {
		case event, open := <-w.notify.Events:
			if !open {
				return
			}
			if event.Op == fsnotify.Chmod || !w.note(&pending, event.Name) {
				continue
			}
			if event.Has(fsnotify.Create) {
				w.addTree(event.Name) // a new directory
			}
			out = nil
			timer.Reset(settle)
		case _, open := <-w.notify.Errors:
			if !open {
				return
			}
			// Too many events at once: anything may have changed.
			pending = changed{config: true, sql: true, sources: true, name: w.project.file}
			timer.Reset(settle)
		case <-timer.C:
			out = c
		case out <- pending:
			pending, out = changed{}, nil
		}
	}
}

// note adds a file to what changed, and reports whether it matters.
func (w *watcher) note(c *changed, path string) bool {
	dev := w.project.config.Dev
	switch {
	case path == w.project.file:
		c.config = true
	case path == dev.Schema || path == dev.Seed:
		c.sql = true
	case w.isSource(path):
		c.sources = true
	default:
		return false
	}
	c.name = path
	return true
}

// isSource reports whether a plugin is built from the file. Tests are not, and
// what editors leave lying about.
func (w *watcher) isSource(path string) bool {
	name := filepath.Base(path)
	if strings.HasSuffix(name, "_test.go") || strings.HasSuffix(name, "~") || strings.HasSuffix(name, ".wasm") ||
		strings.HasSuffix(name, ".building") || name == "Cargo.lock" || name == "4913" {
		return false
	}
	for _, source := range w.sources {
		rel, err := filepath.Rel(source, path)
		if err != nil || rel == ".." || strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
			continue
		}
		inside, at := true, source
		for part := range strings.SplitSeq(rel, string(filepath.Separator)) {
			at = filepath.Join(at, part)
			inside = inside && (part == "." || !strings.HasPrefix(part, ".")) && !cargoOutput(at)
		}
		return inside && !strings.HasPrefix(path, w.project.config.Plugins+string(filepath.Separator))
	}
	return false
}
