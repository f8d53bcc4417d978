package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"text/tabwriter"

	"weir/abi/conform"
	"weir/host/wasm"
	"weir/plugins/js"
)

// conform checks that a plugin's file keeps the guest contract and prints each
// rule. The runtime looks at the module first, as a host would: what it refuses
// is not run.
func (m *Main) conform(ctx context.Context, name string) error {
	path, code, err := m.readFile(name)
	if err != nil {
		return err
	}
	plugin := conform.Plugin{Module: code}
	if filepath.Ext(path) == ".js" {
		finder := js.Finder{File: m.engineFor(path), Dirs: js.Dirs(m.stateDir())}
		runs, err := finder.Engine()
		if err != nil {
			return err
		}
		plugin = conform.Plugin{Module: runs, Name: filepath.Base(path), Text: string(code)}
	}
	if err := m.compiles(ctx, plugin); err != nil {
		return fmt.Errorf("%s: %w", m.shown(path), err)
	}
	machine, err := m.machine()
	if err != nil {
		return err
	}
	results, err := conform.Check(ctx, machine, plugin)
	if err = errors.Join(err, machine.Close(context.WithoutCancel(ctx))); err != nil {
		return err
	}
	return m.writeResults(path, results)
}

// compiles asks the runtime of a host whether it takes the module.
func (m *Main) compiles(ctx context.Context, p conform.Plugin) (err error) {
	runtime, err := wasm.NewRuntime(ctx, wasm.Config{CompileTimeout: compileTimeout})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, runtime.Close(context.WithoutCancel(ctx))) }()
	var compiled *wasm.Module
	if p.Name == "" {
		compiled, err = runtime.Compile(ctx, p.Module)
	} else {
		compiled, err = runtime.Compiler().CompileSource(ctx, p.Module, p.Name, p.Text)
	}
	if err != nil {
		return err
	}
	return compiled.Close(context.WithoutCancel(ctx))
}

// machine makes what runs the guest for the kit.
func (m *Main) machine() (*wasm.Machine, error) {
	if state := m.stateDir(); state != "" {
		// A cache that cannot be used costs time and nothing else.
		if machine, err := wasm.NewMachine(filepath.Join(state, "wasm")); err == nil {
			return machine, nil
		}
	}
	return wasm.NewMachine("")
}

// writeResults prints each rule, and below a failure what was seen and what to
// do.
func (m *Main) writeResults(path string, results []conform.Result) error {
	failed := 0
	w := tabwriter.NewWriter(m.Stdout, 0, 0, 2, ' ', 0)
	for _, r := range results {
		switch {
		case r.Failed != "":
			failed++
			fmt.Fprintf(w, "failed\t%s\t%s\n", r.Name, oneLine(r.Failed))
			fmt.Fprintf(w, "\t\t%s\n", r.Do)
		case r.Unchecked:
			fmt.Fprintf(w, "-\t%s\tnot checked, because of what failed\n", r.Name)
		default:
			fmt.Fprintf(w, "ok\t%s\t%s\n", r.Name, r.Title)
		}
	}
	w.Flush()
	if failed > 0 {
		return fmt.Errorf("%s breaks %d of %d rules of the contract, which docs/abi.md lists", m.shown(path), failed, len(results))
	}
	return nil
}
