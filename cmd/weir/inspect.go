package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"weir/abi"
	"weir/host/wasm"
	"weir/plugins/js"
)

func (m *Main) inspectCommand() *cobra.Command {
	var conform bool
	cmd := &cobra.Command{
		Use:   "inspect file",
		Short: "Say what is in a plugin, without a database",
		Args:  oneArg("a file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if conform {
				return m.conform(cmd.Context(), args[0])
			}
			about, err := m.readPlugin(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			about.write(m, m.path(args[0]))
			return nil
		},
	}
	cmd.Flags().BoolVar(&conform, "conform", false, "run it, and say of each rule of the guest contract whether it keeps it")
	return cmd
}

// maxModule bounds what is read; the runtime's own limit is below it.
const maxModule = 256 << 20

func readModule(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, usagef("%s is a directory: name a *.wasm file, which weir build makes, or a *.js file", filepath.Base(path))
	case info.Size() > maxModule:
		return nil, fmt.Errorf("%s has %s: is it a plugin?", filepath.Base(path), size(info.Size()))
	}
	return os.ReadFile(path)
}

// module is what a plugin's file says of itself.
type module struct {
	manifest   *abi.Manifest
	digest     [32]byte
	file       [32]byte // SHA-256 of the file, set by modules
	signatures []string
	memory     int64
	bytes      int
}

// compileTimeout is longer than a server's: who asks waits for nothing else, may
// have a slow machine, and can end it.
const compileTimeout = 2 * time.Minute

// describeFile asks a plugin's file for its manifest. engine is where the engine
// of plugins in JavaScript is; empty: in one of the usual places.
func (m *Main) describeFile(ctx context.Context, path, engine string, code []byte) (*module, error) {
	if filepath.Ext(path) != ".js" {
		return m.describe(ctx, code)
	}
	finder := js.Finder{File: engine, Dirs: js.Dirs(m.stateDir())}
	runs, err := finder.Engine()
	if err != nil {
		return nil, err
	}
	return m.describeBy(ctx, func(r *wasm.Runtime) (*wasm.Module, error) {
		return r.Compiler().CompileSource(ctx, runs, filepath.Base(path), string(code))
	})
}

// engineFor returns the engine that the project around a plugin's file names.
func (m *Main) engineFor(path string) string {
	for _, dir := range []string{filepath.Dir(path), filepath.Dir(filepath.Dir(path))} {
		if p, err := m.openProject(dir); err == nil {
			return p.config.Engine
		}
	}
	return ""
}

// describe compiles a module and asks it for its manifest.
func (m *Main) describe(ctx context.Context, code []byte) (*module, error) {
	return m.describeBy(ctx, func(r *wasm.Runtime) (*wasm.Module, error) { return r.Compile(ctx, code) })
}

func (m *Main) describeBy(ctx context.Context, compile func(*wasm.Runtime) (*wasm.Module, error)) (_ *module, err error) {
	state := m.stateDir()
	if state != "" {
		state = filepath.Join(state, "wasm")
	}
	runtime, err := wasm.NewRuntime(ctx, wasm.Config{CacheDir: state, CompileTimeout: compileTimeout, Command: commandOf(childCompile)})
	if err != nil && state != "" {
		// A cache that cannot be used costs time and nothing else.
		runtime, err = wasm.NewRuntime(ctx, wasm.Config{CompileTimeout: compileTimeout, Command: commandOf(childCompile)})
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, runtime.Close(context.WithoutCancel(ctx))) }()
	compiled, err := compile(runtime)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, compiled.Close(context.WithoutCancel(ctx))) }()
	about := &module{digest: compiled.Digest(), signatures: compiled.Signatures(), memory: compiled.MinMemory()}
	pool, err := wasm.NewPool(runtime, compiled, wasm.PoolConfig{})
	if err != nil {
		return nil, err
	}
	defer pool.Close(context.WithoutCancel(ctx))
	described, err := pool.Describe(ctx)
	if err != nil {
		return nil, err
	}
	if about.manifest, err = abi.DecodeManifest(described); err != nil {
		return nil, fmt.Errorf("its manifest: %w", err)
	}
	if err := about.manifest.Validate(); err != nil {
		return nil, fmt.Errorf("its manifest: %w", err)
	}
	return about, nil
}

// stateDir is where weir keeps what it can make again; empty if nowhere.
func (m *Main) stateDir() string {
	dir := m.Getenv("XDG_CACHE_HOME")
	if dir == "" {
		home, err := os.UserCacheDir()
		if err != nil {
			return ""
		}
		dir = home
	}
	return filepath.Join(dir, "weir")
}

func (about *module) write(m *Main, path string) {
	mf := about.manifest
	fmt.Fprintf(m.Stdout, "%s  %s  %s, ABI %d\n", mf.Name, oneLine(mf.Version), size(int64(about.bytes)), mf.ABI)
	fmt.Fprintf(m.Stdout, "file     %s\n", m.shown(path))
	fmt.Fprintf(m.Stdout, "sha256   %x\n", about.digest)
	fmt.Fprintf(m.Stdout, "memory   %s at the start\n", size(about.memory))
	if len(mf.Capabilities) > 0 {
		fmt.Fprintf(m.Stdout, "asks for %s\n", strings.Join(mf.Capabilities, ", "))
	}
	fmt.Fprintln(m.Stdout, "\nfunctions")
	w := tabwriter.NewWriter(m.Stdout, 0, 0, 2, ' ', 0)
	for i := range mf.Functions {
		f := &mf.Functions[i]
		fmt.Fprintf(w, "  %s\t%s\t(%s)\t%s\t%s\n", f.Name, f.Kind, oneLine(signature(f)), oneLine(accessOf(f)), runsAs(f))
	}
	w.Flush()
	fmt.Fprintln(m.Stdout, "\nstatements")
	for i := range mf.Statements {
		fmt.Fprintf(m.Stdout, "  %d  %s\n", i, oneLine(strings.Join(strings.Fields(mf.Statements[i].SQL), " ")))
	}
	fmt.Fprintln(m.Stdout, "\nmodule")
	for _, s := range about.signatures {
		fmt.Fprintf(m.Stdout, "  %s\n", oneLine(s))
	}
}

// signature lists a function's arguments and what it takes from the caller.
func signature(f *abi.Function) string {
	var parts []string
	for i := range f.Fields {
		part := f.Fields[i].Name + " " + typeName(&f.Fields[i].Schema)
		if f.Fields[i].Schema.Optional || f.Fields[i].Schema.Default != nil {
			part += "?"
		}
		parts = append(parts, part)
	}
	for i := range f.Claims {
		parts = append(parts, "claim "+f.Claims[i].Claim)
	}
	for i := range f.Scope {
		parts = append(parts, "scope "+f.Scope[i].Name)
	}
	return strings.Join(parts, ", ")
}

func typeName(s *abi.Schema) string {
	switch {
	case s.Format != "" && s.Type == "string":
		return s.Format
	case s.Type == "":
		return "any"
	case s.Type == "array" && s.Items != nil:
		return "[]" + typeName(s.Items)
	}
	return s.Type
}

func accessOf(f *abi.Function) string {
	switch {
	case f.Kind == abi.Policy:
		return ""
	case f.Access.Public:
		return "public"
	case f.Access.SignedIn:
		return "signed in"
	}
	return strings.Join(f.Access.Policies, ", ")
}

func runsAs(f *abi.Function) string {
	if f.Statement != nil {
		return fmt.Sprintf("statement %d", *f.Statement)
	}
	return "guest"
}
