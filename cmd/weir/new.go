package main

import (
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

// template is a new project. Names end in .tmpl, so that the go tool takes none
// of it for its own.
//
//go:embed template
var template embed.FS

// scriptTemplate is what is another in a project in JavaScript.
//
//go:embed script
var scriptTemplate embed.FS

func (m *Main) newCommand() *cobra.Command {
	var dir string
	var script bool
	cmd := &cobra.Command{
		Use:   "new NAME",
		Short: "Make a plugin project in Go or JavaScript that works at once",
		Long: "Make a directory with a plugin in Go (a query, a mutation, a policy and their tests), a\n" +
			"schema, a page and the SDK's source. It builds without a network: cd NAME && weir dev.\n" +
			"With --js the plugin is one file of JavaScript, which nobody builds.",
		Args: oneArg("a name for the project"),
		RunE: func(_ *cobra.Command, args []string) error {
			return m.newProject(args[0], dir, script)
		},
	}
	cmd.Flags().BoolVar(&script, "js", false, "write the plugin in JavaScript")
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

func (m *Main) newProject(name, dir string, script bool) error {
	switch {
	case !projectName.MatchString(name):
		return usagef("%q is no name for a project: use small letters, digits, _ and -, a letter first", name)
	case slices.Contains(taken, name) && (!script || name == "weir"):
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
	if script {
		finder := js.Finder{Dirs: js.Dirs(m.stateDir())}
		_, missing := finder.Engine()
		if missing != nil {
			first = "npm pack " + js.Package + "@" + js.Version + " && " // the engine, where its weir.toml says
		}
		err = writeScriptProject(root, name, missing == nil)
	} else {
		err = writeProject(root, name)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(m.Stdout, "made %s\n\n  cd %s && %sweir dev\n", m.shown(root), m.shown(root), first)
	return nil
}

// writeScriptProject writes a project in JavaScript: what both have in common, its
// own, and the types for editors. engine says that there is one.
func writeScriptProject(root, name string, engine bool) error {
	line := "engine  = \"" + js.Package + "-" + js.Version + ".tgz\"  # runs JavaScript; npm pack " + js.Package + "@" + js.Version
	if engine {
		line = "# " + line
	}
	fill := strings.NewReplacer("{{name}}", name, "{{engine}}", line)
	place := func(p string) string {
		p = strings.TrimSuffix(strings.ReplaceAll(p, "NAME", name), ".tmpl")
		if p == "gitignore" {
			p = ".gitignore"
		}
		return filepath.Join(root, filepath.FromSlash(p))
	}
	err := copyTree(template, "template", func(p string) string {
		if p == "schema.sql.tmpl" || p == "seed.sql.tmpl" || strings.HasPrefix(p, "web/") {
			return place(p)
		}
		return ""
	}, fill)
	if err == nil {
		err = copyTree(scriptTemplate, "script", place, fill)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(root, "plugins", "weir.d.ts"), []byte(js.Types), 0o644)
	}
	return err
}

// writeProject writes template and SDK.
func writeProject(root, name string) error {
	fill := strings.NewReplacer("{{name}}", name, "{{go}}", goVersion())
	err := copyTree(template, "template", func(p string) string {
		p = strings.TrimSuffix(p, ".tmpl")
		if p == "gitignore" {
			p = ".gitignore"
		}
		return filepath.Join(root, p)
	}, fill)
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
