package main

import (
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
)

// errNoClang means that no clang here makes WebAssembly.
var errNoClang = errors.New("no clang that makes WebAssembly: install clang and lld (apt-get install clang lld, or brew install llvm lld), or name one in $WEIR_CLANG")

// clangs are where clang may be, the likely first. Apple's own does not know
// WebAssembly.
var clangs = []string{
	"clang", "clang-22", "clang-21", "clang-20", "clang-19", "clang-18", "clang-17", "clang-16", "clang-15", "clang-14",
	"/opt/homebrew/opt/llvm/bin/clang", "/usr/local/opt/llvm/bin/clang",
}

// findClang returns a clang that compiles and links WebAssembly.
func findClang(ctx context.Context) (string, error) {
	for _, name := range tools("WEIR_CLANG", clangs...) {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		targets, err := exec.CommandContext(ctx, path, "--print-targets").Output()
		if err != nil || !strings.Contains(string(targets), "wasm32") {
			continue
		}
		linker, err := exec.CommandContext(ctx, path, "-print-prog-name=wasm-ld").Output()
		if err != nil {
			continue
		}
		if _, err := exec.LookPath(strings.TrimSpace(string(linker))); err == nil {
			return path, nil
		}
	}
	return "", errNoClang
}

// compileC builds all C files of a directory. The stack comes first in memory, so
// that one which overflows traps, and does not write over the plugin's data.
func compileC(ctx context.Context, b build, output string) error {
	clang, err := findClang(ctx)
	if err != nil {
		return err
	}
	args := []string{
		"--target=wasm32", "-std=c99", "-Wall", "-Os", "-ffreestanding", "-nostdlib", "-mbulk-memory",
		"-Wl,--no-entry,--strip-all,-z,stack-size=65536,--stack-first", "-o", output,
	}
	files, err := filepath.Glob(filepath.Join(b.source, "*.c"))
	if err != nil {
		return err
	}
	for _, file := range files {
		args = append(args, filepath.Base(file))
	}
	return b.compiler(ctx, exec.CommandContext(ctx, clang, args...))
}
