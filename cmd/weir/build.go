package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

func (m *Main) buildCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "build [dir]",
		Short: "Build a plugin in Go, Rust or C to WebAssembly",
		Long: "Build the plugins of a project ([dev] sources in its weir.toml), or the plugin\n" +
			"in a directory, to WebAssembly, and say what is in it. A directory with a\n" +
			"Cargo.toml is built with rustc, one with C files with clang, any other with go.",
		Args: atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := "."
			if len(args) > 0 {
				dir = args[0]
			}
			return m.build(cmd.Context(), dir, output)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "write the module to this file")
	return cmd
}

func (m *Main) build(ctx context.Context, arg, output string) error {
	builds, err := m.buildsOf(arg)
	if err != nil {
		return err
	}
	if output != "" {
		if len(builds) != 1 {
			return usagef("--output names one file, but %s has %s: name the directory of one", arg, counted(len(builds), "plugin"))
		}
		builds[0].output = m.path(output)
	}
	for _, b := range builds {
		if err := b.run(ctx); err != nil {
			return err
		}
		code, err := os.ReadFile(b.output)
		if err != nil {
			return err
		}
		about, err := m.describe(ctx, code)
		if err != nil {
			return fmt.Errorf("%s: %w", m.shown(b.output), err)
		}
		fmt.Fprintf(m.Stdout, "%s  %s, %s\n", m.shown(b.output), size(int64(len(code))), counted(len(about.manifest.Functions), "function"))
	}
	return nil
}

// buildsOf returns what there is to build: the sources of a project, or the
// plugin in a directory.
func (m *Main) buildsOf(arg string) ([]build, error) {
	dir := m.path(arg)
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil, usagef("there is no directory %s: name that of a plugin or a project", m.shown(dir))
	}
	if _, err := os.Stat(filepath.Join(dir, configName)); err == nil {
		p, err := m.openProject(arg)
		if err != nil {
			return nil, err
		}
		builds, err := p.builds()
		if err == nil && len(builds) == 0 {
			err = usagef("%s names no plugin sources: add sources to its [dev], or name the directory of a plugin", m.shown(p.file))
		}
		return builds, err
	}
	return []build{{source: dir, output: filepath.Join(dir, pluginName(dir)+".wasm")}}, nil
}

// build is one plugin's source and the module that it becomes.
type build struct{ source, output string }

// builds returns the plugins of [dev] sources.
func (p *project) builds() ([]build, error) {
	var list []build
	for _, source := range p.config.Dev.Sources {
		if info, err := os.Stat(source); err != nil || !info.IsDir() {
			return nil, fmt.Errorf("dev.sources names %s, which is no directory: make it, or correct %s", source, configName)
		}
		for _, dir := range p.pluginDirs(source) {
			b := build{source, filepath.Join(dir, pluginName(source)+".wasm")}
			if i := slices.IndexFunc(list, func(o build) bool { return o.output == b.output }); i >= 0 {
				return nil, fmt.Errorf("dev.sources: %s and %s would both be built to %s: rename one directory", list[i].source, source, filepath.Base(b.output))
			}
			list = append(list, b)
		}
	}
	return list, nil
}

// pluginDirs are where a source is built to: the tenant's directory that it lies
// in, else that of the tenant default, else those of all tenants, which then serve
// the same application.
func (p *project) pluginDirs(source string) (all []string) {
	for _, t := range p.config.Tenants() {
		if rel, err := filepath.Rel(t.Plugins, source); t.Name != "default" && err == nil && filepath.IsLocal(rel) {
			return []string{t.Plugins}
		}
		all = append(all, t.Plugins)
	}
	if p.config.Plugins != "" {
		return []string{p.config.Plugins}
	}
	return all
}

// pluginName names a plugin after its directory, or the one above when that says
// nothing.
func pluginName(dir string) string {
	dir = filepath.Clean(dir)
	switch name := filepath.Base(dir); name {
	case "plugin", "plugins", "src", "cmd":
		if up := filepath.Base(filepath.Dir(dir)); up != "." && up != string(filepath.Separator) {
			return up
		}
		return name
	default:
		return name
	}
}

// compileError is what the compiler said.
type compileError struct {
	source string
	lines  []string // the first ones
}

// Error returns a headline and the compiler's lines.
func (e *compileError) Error() string {
	return fmt.Sprintf("%s does not compile:\n  %s", e.source, strings.Join(e.lines, "\n  "))
}

// run builds. The module appears in one moment, complete, under its name.
func (b build) run(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Dir(b.output), 0o755); err != nil {
		return err
	}
	// Not *.wasm, so that nobody loads it before it is whole; not one name for all,
	// because tests build side by side.
	temporary := fmt.Sprintf("%s.%d.building", b.output, os.Getpid())
	defer func() { _ = os.Remove(temporary) }() // it is gone when all went well
	if err := languageOf(b.source).compile(ctx, b, temporary); err != nil {
		return err
	}
	same, err := equalFiles(temporary, b.output)
	if err != nil || same {
		return err // a new time stamp would only make weir look again
	}
	return os.Rename(temporary, b.output)
}

func equalFiles(a, b string) (bool, error) {
	x, err := os.ReadFile(a)
	if err != nil {
		return false, fmt.Errorf("the compiler made no module: in Go, is this package main? %w", err)
	}
	y, err := os.ReadFile(b)
	return err == nil && bytes.Equal(x, y), nil
}

// firstLines are the lines that people need, without the compiler's headlines.
func firstLines(out []byte, most int) []string {
	var lines []string
	for line := range strings.Lines(string(out)) {
		line = strings.TrimRight(line, "\n")
		if line == "" || strings.HasPrefix(line, "# ") {
			continue
		}
		if len(lines) == most {
			lines = append(lines, "…")
			break
		}
		lines = append(lines, line)
	}
	if len(lines) == 0 {
		lines = []string{"the compiler said nothing"}
	}
	return lines
}
