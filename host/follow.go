package host

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"weir/host/config"
)

// Reread reads Config.Path again, whether it changed or not: a secret that it
// names by file may have, its certificate too. It does not wait, and does nothing if there is no path.
func (h *Host) Reread() {
	h.tls.reread()
	select {
	case h.reread <- struct{}{}:
	default: // one that has not begun is enough
	}
}

// follow reloads the configuration when its file changes. The directory is
// watched, because editors and deployments put a new file, or a new link, in the
// place of the old one; what counts is the content.
func (h *Host) follow(ctx context.Context) error {
	if h.cfg.Path == "" {
		return nil
	}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	defer watcher.Close()
	if err := watcher.Add(filepath.Dir(h.cfg.Path)); err != nil {
		h.cfg.Logger.Warn("weir.toml cannot be followed: send SIGHUP after a change", "err", err)
	}
	seen, _ := os.ReadFile(h.cfg.Path)
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	for {
		asked := false
		select {
		case <-ctx.Done():
			return nil
		case <-watcher.Events:
			timer.Reset(settle)
			continue
		case err := <-watcher.Errors:
			h.cfg.Logger.Warn("weir.toml cannot be followed closely", "err", err)
			timer.Reset(settle)
			continue
		case <-h.reread:
			asked = true
		case <-timer.C:
		}
		text, err := os.ReadFile(h.cfg.Path)
		if !asked && (err != nil || bytes.Equal(text, seen)) {
			continue // it is being replaced, or something else in the directory was
		}
		seen = text
		file, err := config.Load(h.cfg.Path)
		if err != nil {
			h.told(sentence(err))
			continue
		}
		_ = h.Reload(file) // it is told
	}
}

// sentence makes one of what is wrong with a file, or with what it names.
func sentence(err error) error {
	var faults config.Errors
	if errors.As(err, &faults) {
		return errors.New(faults.Sentence())
	}
	return &inOneLine{err}
}

// inOneLine is an error whose text is one line.
type inOneLine struct{ error }

// Error returns the text without its line ends.
func (e *inOneLine) Error() string { return strings.Join(strings.Fields(e.error.Error()), " ") }

// Unwrap returns the error.
func (e *inOneLine) Unwrap() error { return e.error }
