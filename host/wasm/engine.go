package wasm

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

// engine is wazero with a directory for native code. What compiles and what runs
// are two engines with the same options: the options are part of what native code
// is looked for by.
type engine struct {
	runtime wazero.Runtime
	cache   wazero.CompilationCache
	dir     string // where wazero looks for native code
}

// newEngine makes an engine whose directory lies in dir, which is private to it.
func newEngine(ctx context.Context, dir string) (*engine, error) {
	cache, err := wazero.NewCompilationCacheWithDir(dir)
	if err != nil {
		return nil, err
	}
	// It has made one directory, whose name says for which wazero it is.
	version, err := onlyEntry(dir)
	if err != nil {
		return nil, err
	}
	// The feature set is named, not left to a default: exceptions let a guest
	// write into the host's heap, and each other proposal is one more risk.
	// Memory is bounded by each instance's allocator, so that it knows what it
	// refused.
	// Guests are stopped by their meter (meter.go).
	rc := wazero.NewRuntimeConfigCompiler().
		WithCloseOnContextDone(false).
		WithCoreFeatures(api.CoreFeaturesV2).
		WithCompilationCache(cache).
		WithDebugInfoEnabled(false).
		WithCustomSections(false)
	return &engine{wazero.NewRuntimeWithConfig(ctx, rc), cache, filepath.Join(dir, version)}, nil
}

// version names the wazero and the platform.
func (e *engine) version() string { return filepath.Base(e.dir) }

// wazeroVersion returns what wazero calls itself, from the name of its directory.
func wazeroVersion(version string) string {
	version = strings.TrimPrefix(version, "wazero-")
	return strings.TrimSuffix(version, "-"+runtime.GOARCH+"-"+runtime.GOOS)
}

// compile compiles a module into the directory. Its context is looked at now and
// then, not reliably (G1).
func (e *engine) compile(ctx context.Context, code []byte) error {
	m, err := e.runtime.CompileModule(experimental.WithCompilationWorkers(ctx, compileWorkers()), code)
	if err != nil {
		return err
	}
	return m.Close(ctx)
}

func compileWorkers() int { return min(4, runtime.GOMAXPROCS(0)) }

// load returns the module whose native code is in the directory. Where it is not,
// the error is context.Canceled: wazero looks at its context before it compiles
// anything, if it has more than one worker.
func (e *engine) load(code []byte) (wazero.CompiledModule, error) {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	return e.runtime.CompileModule(experimental.WithCompilationWorkers(ended, 2), code)
}

// cpu is a digest of what wazero knows of the CPU, and of its options: the name
// by which it looks for the empty module.
func (e *engine) cpu(ctx context.Context) (string, error) {
	if err := e.compile(ctx, []byte("\x00asm\x01\x00\x00\x00")); err != nil {
		return "", err
	}
	name, err := onlyEntry(e.dir)
	if err != nil {
		return "", err
	}
	return name, os.Remove(filepath.Join(e.dir, name))
}

// close frees it. It may be called once.
func (e *engine) close(ctx context.Context) error {
	return errors.Join(e.runtime.Close(ctx), e.cache.Close(ctx))
}
