package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	goversion "go/version"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"weir/abi"
	"weir/plugins"
	"weir/plugins/js"
)

// template is a new project in Go. Names end in .tmpl, so that the go tool takes
// none of it for its own.
//
//go:embed template
var template embed.FS

// others are what is another in a project in another language.
//
//go:embed script rust c
var others embed.FS

func (m *Main) newCommand() *cobra.Command {
	var dir, lang string
	var script bool
	cmd := &cobra.Command{
		Use:   "new NAME",
		Short: "Make a plugin project in Go, Rust, C or JavaScript that works at once",
		Long: "Make a directory with a plugin (queries, mutations, a policy; in Go their tests, too), a\n" +
			"schema, a page and the SDK's source. It builds without a network: cd NAME && weir dev.\n" +
			"In JavaScript the plugin is one file, which nobody builds.",
		Example: "  weir new chat\n  weir new chat --lang rust",
		Args:    oneArg("a name for the project"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if script && cmd.Flags().Changed("lang") && lang != "js" {
				return usagef("--js means --lang js, but --lang is %s: write one of them", lang)
			}
			if script {
				lang = "js"
			}
			return m.newProject(cmd.Context(), args[0], dir, lang)
		},
	}
	cmd.Flags().StringVar(&lang, "lang", "go", "write the plugin in this language: go, rust, c or js")
	cmd.Flags().BoolVar(&script, "js", false, "the same as --lang js")
	cmd.Flags().StringVar(&dir, "dir", "", "where to make it (default: a directory of that name)")
	return cmd
}

// projectName is a module's path, a plugin's name and a directory.
var projectName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,39}$`)

// taken are names that the go tool would understand as something else.
var taken = []string{
	"weir", "main", "cmd", "std", "all", "tool", "internal", "vendor", "test", "testing", "builtin", "unsafe", "plugin", "go",
	"archive", "bufio", "bytes", "cmp", "compress", "container", "context", "crypto", "database", "debug", "embed", "encoding",
	"errors", "expvar", "flag", "fmt", "hash", "html", "image", "index", "io", "iter", "log", "maps", "math", "mime", "net", "os",
	"path", "reflect", "regexp", "runtime", "slices", "sort", "strconv", "strings", "structs", "sync", "syscall", "text", "time",
	"unicode", "unique", "weak",
}

func (m *Main) newProject(ctx context.Context, name, dir, lang string) error {
	switch {
	case !slices.Contains([]string{"go", "rust", "c", "js"}, lang):
		return usagef("there is no template in %q: write --lang go, rust, c or js", lang)
	case !projectName.MatchString(name):
		return usagef("%q is no name for a project: use small letters, digits, _ and -, a letter first", name)
	case slices.Contains(taken, name) && (lang == "go" || name == "weir"):
		return usagef("%q is a name that Go uses itself: choose another, such as my%[2]s", name, name)
	}
	if dir == "" {
		dir = name
	}
	root := m.path(dir)
	entries, err := os.ReadDir(root)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look into %s: %w", m.shown(root), err)
	}
	if len(entries) > 0 {
		return usagef("%s is not empty: choose another --dir", m.shown(root))
	}
	first := ""
	var missing error // the compiler
	switch lang {
	case "js":
		finder := js.Finder{Dirs: js.Dirs(m.stateDir())}
		_, noEngine := finder.Engine()
		if noEngine != nil {
			first = "npm pack " + js.Package + "@" + js.Version + " && " // the engine, where its weir.toml says
		}
		err = writeScriptProject(root, name, noEngine == nil)
	case "rust":
		_, missing = findRustc(ctx)
		err = writeCompiledProject(root, name, lang, plugins.Rust)
	case "c":
		_, missing = findClang(ctx)
		err = writeCompiledProject(root, name, lang, plugins.C)
	default:
		err = writeProject(root, name)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(m.Stdout, "made %s\n\n  cd %s && %sweir dev\n", m.shown(root), m.shown(root), first)
	if missing != nil {
		fmt.Fprintf(m.Stdout, "\nBefore that: %s.\n", missing)
	}
	return nil
}

// placeIn puts the files of a template into a project.
func placeIn(root, name string) func(string) string {
	return func(p string) string {
		p = strings.TrimSuffix(strings.ReplaceAll(p, "NAME", name), ".tmpl")
		if p == "gitignore" {
			p = ".gitignore"
		}
		return filepath.Join(root, filepath.FromSlash(p))
	}
}

// writeCompiledProject writes a project in a language whose SDK stands alone: what it
// has in common with one in Go, its own, and the SDK.
func writeCompiledProject(root, name, lang string, sdk embed.FS) error {
	fill := strings.NewReplacer("{{name}}", name)
	place := placeIn(root, name)
	err := copyTree(template, "template", func(p string) string {
		if strings.HasPrefix(p, "plugin/") || p == "go.mod.tmpl" || p == "README.md.tmpl" {
			return ""
		}
		return place(p)
	}, fill)
	if err == nil {
		err = copyTree(others, lang, place, fill)
	}
	if err == nil {
		into := placeIn(filepath.Join(root, "weir"), name)
		err = copyTree(sdk, lang, func(p string) string {
			if p == "src/tests.rs" {
				return ""
			}
			return into(p)
		}, strings.NewReplacer("#[cfg(test)]\nmod tests;\n", ""))
	}
	return err
}

// writeScriptProject writes a project in JavaScript: what both have in common, its
// own, and the types for editors. engine says that there is one.
func writeScriptProject(root, name string, engine bool) error {
	line := "engine  = \"" + js.Package + "-" + js.Version + ".tgz\"  # runs JavaScript; npm pack " + js.Package + "@" + js.Version
	if engine {
		line = "# " + line
	}
	fill := strings.NewReplacer("{{name}}", name, "{{engine}}", line)
	place := placeIn(root, name)
	err := copyTree(template, "template", func(p string) string {
		if p == "schema.sql.tmpl" || p == "seed.sql.tmpl" || strings.HasPrefix(p, "web/") {
			return place(p)
		}
		return ""
	}, fill)
	if err == nil {
		err = copyTree(others, "script", place, fill)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(root, "plugins", "weir.d.ts"), []byte(js.Types), 0o644)
	}
	return err
}

// writeProject writes template and SDK.
func writeProject(root, name string) error {
	fill := strings.NewReplacer("{{name}}", name, "{{go}}", goVersion())
	err := copyTree(template, "template", placeIn(root, name), fill)
	if err != nil {
		return err
	}
	// The longest path first: the others are its beginnings.
	imports := strings.NewReplacer(
		`"weir/plugins/guest/`, `"`+name+`/weir/`,
		`weir "weir/plugins/guest"`, `"`+name+`/weir"`,
		`"weir/plugins/guest"`, `"`+name+`/weir"`,
		`"weir/abi"`, `"`+name+`/weir/abi"`,
	)
	sdk := filepath.Join(root, "weir")
	if err := copyTree(plugins.Guest, "guest", sourcesInto(sdk), imports); err != nil {
		return err
	}
	return copyTree(abi.Source, ".", sourcesInto(filepath.Join(sdk, "abi")), imports)
}

// sourcesInto takes what a plugin needs of a package: not its tests, nor the
// embedding that made this copy.
func sourcesInto(dir string) func(string) string {
	return func(p string) string {
		if strings.HasSuffix(p, "_test.go") || p == "source.go" {
			return ""
		}
		return filepath.Join(dir, filepath.FromSlash(p))
	}
}

// copyTree writes the files below root to where place says; "" leaves one out.
func copyTree(from fs.FS, root string, place func(string) string, replace *strings.Replacer) error {
	return fs.WalkDir(from, root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel := p
		if root != "." {
			rel = strings.TrimPrefix(p, root+"/")
		}
		to := place(path.Clean(rel))
		if to == "" {
			return nil
		}
		text, err := fs.ReadFile(from, p)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		return os.WriteFile(to, []byte(replace.Replace(string(text))), 0o644)
	})
}

// goVersion is the language version that the SDK is written in.
func goVersion() string {
	if v := goversion.Lang(runtime.Version()); v != "" {
		return strings.TrimPrefix(v, "go")
	}
	return "1.26"
}
