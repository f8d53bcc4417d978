package wasm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"weir/host/inspect"
)

// In CacheDir lie the key, the store, and directories that are private to one
// process or to one compilation.
const (
	keyFile   = "key"
	storeDir  = "native"
	sweepTime = 24 * time.Hour
)

// open makes the directories, the engine that runs guests, and what compiles for
// it.
func (r *Runtime) open(ctx context.Context) error {
	base := r.config.CacheDir
	if base == "" {
		temp, err := os.MkdirTemp("", "weir-wasm-")
		if err != nil {
			return fmt.Errorf("compile: %w", err)
		}
		base, r.temp = temp, temp
	}
	if err := inspect.PrivateDir(base, "compile cache"); err != nil {
		return err
	}
	sweep(base, time.Now().Add(-sweepTime))
	run, err := os.MkdirTemp(base, "run-")
	if err != nil {
		return fmt.Errorf("compile cache: %w", err)
	}
	r.run, r.temp = run, cmp.Or(r.temp, run)
	if r.engine, err = newEngine(ctx, run); err != nil {
		return fmt.Errorf("compile cache: %w", err)
	}
	r.wazero = r.engine.runtime
	r.workshop = newWorkshop(&r.config, base, r.engine.version())
	if r.config.CacheDir == "" {
		return nil
	}
	return r.openStore(ctx)
}

func (r *Runtime) openStore(ctx context.Context) error {
	key, err := inspect.PrivateKey(filepath.Join(r.config.CacheDir, keyFile))
	if err != nil {
		return fmt.Errorf("compile cache: %w", err)
	}
	cpu, err := r.engine.cpu(ctx)
	if err != nil {
		return fmt.Errorf("compile cache: %w", err)
	}
	identity := identityOf(r.engine.version(), wazeroSum(), cpu)
	r.store, err = openStore(filepath.Join(r.config.CacheDir, storeDir), key, identity, r.config)
	return err
}

// shut frees what open made.
func (r *Runtime) shut(ctx context.Context) error {
	var err error
	if r.engine != nil {
		err = r.engine.close(ctx)
	}
	if r.temp != "" {
		err = errors.Join(err, os.RemoveAll(r.temp))
	}
	return err
}

// wazeroSum is the checksum of wazero's source, where the program knows it.
func wazeroSum() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, dep := range info.Deps {
		if dep.Path == "github.com/tetratelabs/wazero" {
			if dep.Replace != nil {
				dep = dep.Replace
			}
			return dep.Path + " " + dep.Version + " " + dep.Sum
		}
	}
	return ""
}

// workDirs are directories that a process which was killed may have left.
var workDirs = []string{"compile-", "run-"}

// sweep removes those that nobody can use any more.
func sweep(base string, before time.Time) {
	entries, err := os.ReadDir(base)
	if err != nil {
		return
	}
	for _, entry := range entries {
		info, err := entry.Info()
		for _, prefix := range workDirs {
			if err == nil && strings.HasPrefix(entry.Name(), prefix) && info.ModTime().Before(before) {
				_ = os.RemoveAll(filepath.Join(base, entry.Name()))
			}
		}
	}
}
