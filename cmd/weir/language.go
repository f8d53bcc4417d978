package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// language is what a plugin is written in, and how it becomes a module.
type language struct {
	name string
	// first is what makes a first build longer, for people who wait.
	first string
	// compile makes a module of b's source in the file output. What the author can
	// mend is a compileError.
	compile func(ctx context.Context, b build, output string) error
}

var (
	inGo   = language{"go", ": the first build compiles Go's own packages for WebAssembly, too", compileGo}
	inRust = language{"rust", ": the first build compiles the SDK, too", compileRust}
	inC    = language{"c", "", compileC}
)

// languageOf says what the source in a directory is written in.
func languageOf(dir string) language {
	if _, err := os.Stat(filepath.Join(dir, cargoName)); err == nil {
		return inRust
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "*.c")); len(files) > 0 { // only a pattern could be wrong
		return inC
	}
	return inGo
}

// errNoGo means that there is no Go toolchain.
var errNoGo = errors.New("go is not installed or not on PATH: install it from https://go.dev/dl")

func compileGo(ctx context.Context, b build, output string) error {
	goTool, err := exec.LookPath("go")
	if err != nil {
		return errNoGo
	}
	cmd := exec.CommandContext(ctx, goTool, "build", "-buildmode=c-shared", "-trimpath", "-ldflags=-s -w", "-o", output, ".")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	return b.compiler(ctx, cmd)
}

// compiler runs a compiler in the source's directory.
func (b build) compiler(ctx context.Context, cmd *exec.Cmd) error {
	cmd.Dir = b.source
	cmd.WaitDelay = 2 * time.Second
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &exit):
		return &compileError{filepath.Base(b.output), firstLines(out, 12)}
	case err != nil:
		return fmt.Errorf("run %s: %w", filepath.Base(cmd.Path), err)
	}
	return nil
}
