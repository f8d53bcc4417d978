package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// cargoName is the file that says that a plugin is in Rust.
const cargoName = "Cargo.toml"

// errNoRust means that no rustc here makes WebAssembly.
var errNoRust = errors.New("no rustc with the target wasm32-unknown-unknown: run rustup target add wasm32-unknown-unknown, on Debian apt-get install rustc libstd-rust-dev-wasm32 lld, or name one in $WEIR_RUSTC")

// rustTarget is the machine that plugins are built for.
const rustTarget = "wasm32-unknown-unknown"

// rustFlags are those of the SDK and of a plugin. Without link-time optimization a
// plugin is a tenth larger, and built in half the time.
var rustFlags = []string{
	"--edition", "2021", "--target", rustTarget, "--error-format", "short",
	"-C", "opt-level=s", "-C", "codegen-units=1", "-C", "panic=abort", "-C", "strip=symbols",
}

// findRustc returns a rustc that has the standard library for WebAssembly.
func findRustc(ctx context.Context) (string, error) {
	for _, name := range tools("WEIR_RUSTC", "rustc", "/usr/bin/rustc") {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		dir, err := exec.CommandContext(ctx, path, "--print", "target-libdir", "--target", rustTarget).Output()
		if err != nil {
			continue
		}
		if std, _ := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), "libstd-*.rlib")); len(std) > 0 {
			return path, nil
		}
	}
	return "", errNoRust
}

// tools are the names to look for: what a variable says, else the usual ones.
func tools(variable string, usual ...string) []string {
	if name := os.Getenv(variable); name != "" {
		return []string{name}
	}
	return usual
}

// compileRust builds a crate that depends on the SDK alone, without cargo.
func compileRust(ctx context.Context, b build, output string) error {
	rustc, err := findRustc(ctx)
	if err != nil {
		return err
	}
	sdk, err := rustSDK(b.source)
	if err != nil {
		return &compileError{filepath.Base(b.output), []string{err.Error()}}
	}
	dir, err := os.MkdirTemp("", "weir-rust")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	library, err := b.library(ctx, rustc, sdk, dir)
	if err != nil {
		return err
	}
	module := filepath.Join(dir, "plugin.wasm")
	args := append([]string{
		"--crate-type", "cdylib", "--crate-name", "plugin", "--extern", "weir=" + library,
		"-C", "link-arg=-zstack-size=65536", "-o", module,
	}, rustFlags...)
	if err := b.compiler(ctx, exec.CommandContext(ctx, rustc, append(args, filepath.Join("src", "lib.rs"))...)); err != nil {
		return err
	}
	code, err := os.ReadFile(module)
	if err != nil {
		return err
	}
	return os.WriteFile(output, code, 0o644)
}

// library returns the compiled SDK. It is kept in the user's cache, under the digest
// of all that it is made from.
func (b build) library(ctx context.Context, rustc, sdk, dir string) (string, error) {
	version, err := exec.CommandContext(ctx, rustc, "-vV").Output()
	if err != nil {
		return "", fmt.Errorf("ask %s for its version: %w", rustc, err)
	}
	digest := sha256.New()
	fmt.Fprintf(digest, "%s\x00%q\x00", version, rustFlags)
	files, err := filepath.Glob(filepath.Join(sdk, "src", "*.rs"))
	if err != nil || len(files) == 0 {
		return "", fmt.Errorf("%s has no src/*.rs: is it weir's SDK?", sdk)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(digest, "%s\x00%d\x00%s", filepath.Base(file), len(text), text)
	}
	built := filepath.Join(dir, "libweir.rlib")
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = dir // it is compiled each time
	}
	kept := filepath.Join(cache, "weir", "rust", hex.EncodeToString(digest.Sum(nil)), "libweir.rlib")
	if _, err := os.Stat(kept); err == nil {
		return kept, nil
	}
	args := append([]string{"--crate-type", "rlib", "--crate-name", "weir", "-o", built}, rustFlags...)
	if err := b.compiler(ctx, exec.CommandContext(ctx, rustc, append(args, filepath.Join(sdk, "src", "lib.rs"))...)); err != nil {
		return "", err
	}
	code, err := os.ReadFile(built)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(kept), 0o700); err != nil {
		return built, nil // there is no cache
	}
	// In one moment: others may build, too.
	temporary := fmt.Sprintf("%s.%d", kept, os.Getpid())
	if os.WriteFile(temporary, code, 0o600) != nil || os.Rename(temporary, kept) != nil {
		return built, nil
	}
	return kept, nil
}

var (
	cargoSection = regexp.MustCompile(`^\[(.+)\]\s*(#.*)?$`)
	cargoSDK     = regexp.MustCompile(`^weir\s*=\s*\{.*\bpath\s*=\s*"([^"]+)"`)
)

// rustSDK returns the directory of the SDK that a crate's Cargo.toml names. Of that
// file only its dependencies matter.
func rustSDK(source string) (string, error) {
	file, err := os.Open(filepath.Join(source, cargoName))
	if err != nil {
		return "", err
	}
	defer file.Close() // it was only read
	section, sdk := "", ""
	for lines := bufio.NewScanner(file); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		if m := cargoSection.FindStringSubmatch(line); m != nil {
			section = m[1]
			continue
		}
		if section != "dependencies" || line == "" || line[0] == '#' {
			continue
		}
		m := cargoSDK.FindStringSubmatch(line)
		if m == nil {
			return "", fmt.Errorf("%s depends on more than weir (%s): build it with cargo build --release --target %s, and copy the module into the plugin directory", cargoName, line, rustTarget)
		}
		sdk = filepath.Join(source, filepath.FromSlash(m[1]))
	}
	if sdk == "" {
		return "", fmt.Errorf(`%s does not say where the SDK is: add weir = { path = "…" } to its [dependencies]`, cargoName)
	}
	return sdk, nil
}
