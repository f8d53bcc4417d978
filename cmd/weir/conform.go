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
	if err := m.taken(ctx, plugin); err != nil {
		return fmt.Errorf("%s: %w", m.shown(path), err)
	}
	machine, err := wasm.NewMachine("")
	if err != nil {
		return err
	}
	results, err := conform.Check(ctx, machine, plugin)
	if err = errors.Join(err, machine.Close(context.WithoutCancel(ctx))); err != nil {
		return err
	}
	return m.writeResults(path, results)
}

// taken asks the runtime whether it takes the module. What it says of the manifest
// is left to the kit, which says it of every rule.
func (m *Main) taken(ctx context.Context, p conform.Plugin) error {
	var module *wasm.Module
	var refused error
	_, err := m.describeBy(ctx, func(r *wasm.Runtime) (*wasm.Module, error) {
		if p.Name == "" {
			module, refused = r.Compile(ctx, p.Module)
		} else {
			module, refused = r.Compiler().CompileSource(ctx, p.Module, p.Name, p.Text)
		}
		return module, refused
	})
	if module != nil && refused == nil {
		return nil
	}
	return err
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
