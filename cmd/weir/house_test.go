package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The rules of the house, as tests. What they forbid is listed here; docs and
// reviews need not repeat it.

const (
	maxFile     = 800  // lines of a file
	maxTestFile = 1200 // lines of a test file
	maxFunc     = 100  // lines of a function
)

// doors says what each room may import: our own packages, and third-party
// modules. A room that is not listed may import nothing but the standard
// library.
var doors = map[string]struct{ ours, theirs []string }{
	"weir/abi":                             {nil, nil},
	"weir/abi/abitest":                     {[]string{"abi", "abi/conform"}, nil},
	"weir/abi/conform":                     {[]string{"abi"}, nil},
	"weir/reactor":                         {nil, nil},
	"weir/reactor/reactortest":             {[]string{"reactor"}, nil},
	"weir/reactor/changelog":               {[]string{"reactor"}, []string{"github.com/jackc/pgx/v5"}},
	"weir/reactor/changelog/changelogtest": {[]string{"reactor", "reactor/changelog", "host/devdb/devdbtest"}, []string{"github.com/jackc/pgx/v5"}},
	"weir/host/config":                     {nil, []string{"github.com/BurntSushi/toml"}},
	"weir/host/tenant":                     {nil, nil},
	"weir/host/auth":                       {[]string{"host/tenant"}, []string{"github.com/golang-jwt/jwt/v5", "github.com/MicahParks/keyfunc/v3", "github.com/MicahParks/jwkset"}},
	"weir/host/wasm":                       {[]string{"abi", "abi/conform", "host/inspect", "host/tenant"}, []string{"github.com/tetratelabs/wazero", "golang.org/x/sys"}},
	"weir/host/wasm/wasmtest":              {[]string{"abi"}, nil},
	"weir/host/inspect":                    {[]string{"abi"}, []string{"github.com/wasilibs/go-pgquery", "golang.org/x/sys"}},
	"weir/host/db":                         {[]string{"abi", "reactor", "host/tenant"}, []string{"github.com/jackc/pgx/v5"}},
	"weir/host/calls":                      {[]string{"abi", "host/db", "reactor"}, nil},
	"weir/host/jobs":                       {[]string{"abi", "host/db"}, nil},
	"weir/host/plugin":                     {[]string{"abi", "host/wasm", "host/inspect", "host/tenant"}, nil},
	"weir/host/policy":                     {[]string{"abi", "reactor", "host/plugin", "host/tenant"}, nil},
	"weir/host/serve":                      {[]string{"abi", "reactor", "host/auth", "host/policy", "host/tenant"}, []string{"github.com/go-chi/chi/v5", "github.com/google/uuid", "github.com/prometheus/client_golang", "golang.org/x/sys"}},
	"weir/host/devdb":                      {nil, nil},
	"weir/host/load":                       {nil, nil},
	"weir/host/prove/scenarios":            {nil, nil},
	"weir/host/prove/faults":               {nil, nil}, // tests only
	"weir/host/devdb/devdbtest":            {[]string{"host/devdb"}, []string{"github.com/jackc/pgx/v5", "go.uber.org/goleak"}},
	"weir/host":                            {[]string{"abi", "reactor", "reactor/changelog", "host/config", "host/tenant", "host/auth", "host/wasm", "host/inspect", "host/db", "host/calls", "host/jobs", "host/plugin", "host/policy", "host/serve", "plugins/js"}, []string{"github.com/fsnotify/fsnotify", "golang.org/x/sync"}},
	"weir/host/hosttest":                   {[]string{"host", "host/config", "host/auth", "host/devdb", "host/devdb/devdbtest", "host/inspect", "host/serve", "host/tenant", "host/wasm", "host/wasm/wasmtest", "plugins/js/jstest", "reactor", "reactor/changelog"}, []string{"github.com/jackc/pgx/v5"}},
	"weir/host/prove/soak":                 {nil, nil},
	"weir/host/hosttest/browsertest":       {nil, []string{"github.com/chromedp/cdproto", "github.com/chromedp/chromedp"}},
	"weir/plugins/guest":                   {[]string{"abi"}, nil},
	"weir/plugins/guest/weirtest":          {[]string{"abi", "plugins/guest"}, nil},
	"weir/plugins/policy":                  {[]string{"plugins/guest"}, nil},
	"weir/plugins":                         {nil, nil},
	"weir/plugins/guesttest":               {nil, nil},
	"weir/plugins/js":                      {nil, nil},
	"weir/plugins/js/jstest":               {[]string{"plugins/js"}, nil},
	"weir/cmd/weir":                        {[]string{"abi", "abi/conform", "plugins", "plugins/js", "host", "host/config", "host/tenant", "host/auth", "host/db", "host/wasm", "host/plugin", "host/serve", "host/devdb", "host/inspect", "host/load", "reactor", "reactor/changelog"}, []string{"github.com/spf13/cobra", "github.com/jackc/pgx/v5", "github.com/fsnotify/fsnotify"}},
	"weir/examples/chat/plugin":            {[]string{"plugins/guest"}, nil},
	"weir/examples/jobs/plugin":            {[]string{"plugins/guest"}, nil},
	"weir/examples/kanban/plugin":          {[]string{"plugins/guest"}, nil},
	"weir/examples/jobs/worker":            {nil, []string{"github.com/jackc/pgx/v5"}}, // an ordinary program beside weir
}

// oneFile is the only file, tests aside, that may import a module: what it knows
// is told to nobody else.
var oneFile = map[string]string{
	"github.com/prometheus/": "host/serve/admin.go",
}

// banned are package names that say nothing.
var banned = []string{"util", "utils", "common", "helper", "helpers", "types", "misc", "base", "shared"}

// testOnly must never reach the binary.
var testOnly = []string{
	"github.com/cockroachdb/datadriven", "go.uber.org/goleak", "pgregory.net/rapid",
	"github.com/fxamacker/cbor/v2", "github.com/chromedp/chromedp", "testing",
}

type pkg struct {
	ImportPath string
	Name       string
	Dir        string
	Doc        string
	Imports    []string
	Deps       []string
	GoFiles    []string
}

// packages lists the packages of the module.
func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Name,Dir,Doc,Imports,Deps,GoFiles", "weir/...")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var list []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
}

func TestHouseImportsKeepToTheirDoors(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		door, listed := doors[room(p.ImportPath)]
		if !listed && len(p.GoFiles) > 0 && !strings.Contains(p.ImportPath, "/testdata/") {
			t.Errorf("%s has no row in doors: say what it may import", p.ImportPath)
			continue
		}
		for _, imported := range p.Imports {
			if !allowed(p.ImportPath, imported, door.ours, door.theirs) {
				t.Errorf("%s imports %s, which its door does not allow", p.ImportPath, imported)
			}
		}
	}
}

// room returns the room that a private leaf belongs to: it keeps to its door.
func room(path string) string {
	path, _, _ = strings.Cut(path, "/internal/")
	return path
}

func allowed(from, imported string, ours, theirs []string) bool {
	own, ok := strings.CutPrefix(imported, "weir/")
	if ok {
		return slices.Contains(ours, own) || strings.HasPrefix(imported, room(from)+"/") ||
			slices.Contains(ours, strings.TrimPrefix(room(imported), "weir/"))
	}
	if first, _, _ := strings.Cut(imported, "/"); !strings.Contains(first, ".") {
		return true // the standard library
	}
	return slices.ContainsFunc(theirs, func(module string) bool {
		return imported == module || strings.HasPrefix(imported, module+"/")
	})
}

func TestHousePackagesAreDocumentedAndWellNamed(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		if len(p.GoFiles) == 0 {
			continue
		}
		if p.Doc == "" {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
		if slices.Contains(banned, p.Name) {
			t.Errorf("%s: the name %q says nothing", p.ImportPath, p.Name)
		}
	}
}

func TestHouseBinaryHasNoTestPackages(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		if p.ImportPath != "weir/cmd/weir" {
			continue
		}
		for _, dep := range p.Deps {
			if slices.ContainsFunc(testOnly, func(m string) bool { return dep == m || strings.HasPrefix(dep, m+"/") }) {
				t.Errorf("the binary links %s", dep)
			}
		}
	}
}

func TestHouseFilesAndFunctionsAreSmall(t *testing.T) {
	t.Parallel()
	goFiles(t, func(path string, text []byte) {
		limit := maxFile
		if strings.HasSuffix(path, "_test.go") {
			limit = maxTestFile
		}
		if n := bytes.Count(text, []byte("\n")); n > limit {
			t.Errorf("%s has %d lines, the limit is %d: split it by noun", path, n, limit)
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, text, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || fn.Body == nil || flat(fn.Body) {
				continue
			}
			if n := fset.Position(fn.End()).Line - fset.Position(fn.Pos()).Line; n > maxFunc {
				t.Errorf("%s: %s has %d lines, the limit is %d", path, fn.Name.Name, n, maxFunc)
			}
		}
	})
}

func TestHouseSomeModulesHaveOneFile(t *testing.T) {
	t.Parallel()
	goFiles(t, func(path string, text []byte) {
		if strings.HasSuffix(path, "_test.go") {
			return
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, text, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for module, only := range oneFile {
			for _, spec := range file.Imports {
				if imported, _ := strconv.Unquote(spec.Path.Value); strings.HasPrefix(imported, module) && path != only {
					t.Errorf("%s imports %s: only %s may", path, imported, only)
				}
			}
		}
	})
}

// flat reports whether a body is one switch or one table, which may be long.
func flat(body *ast.BlockStmt) bool {
	longest := 0
	for _, stmt := range body.List {
		switch stmt.(type) {
		case *ast.SwitchStmt, *ast.TypeSwitchStmt:
			longest++
		}
	}
	return longest == 1 && len(body.List) <= 3
}

func TestHouseExportedNamesAreDocumented(t *testing.T) {
	t.Parallel()
	goFiles(t, func(path string, text []byte) {
		if strings.HasSuffix(path, "_test.go") || strings.Contains(path, "examples/") {
			return
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && d.Doc == nil && exportedReceiver(d) {
					t.Errorf("%s: %s has no comment", path, d.Name.Name)
				}
			case *ast.GenDecl:
				undocumented(t, path, d)
			}
		}
	})
}

func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return true
	}
	typ := d.Recv.List[0].Type
	for {
		switch x := typ.(type) {
		case *ast.StarExpr:
			typ = x.X
		case *ast.IndexExpr:
			typ = x.X
		case *ast.IndexListExpr:
			typ = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return false
		}
	}
}

// undocumented reports exported types, constants and variables without a
// comment of their own or of their group.
func undocumented(t *testing.T, path string, d *ast.GenDecl) {
	for _, spec := range d.Specs {
		switch s := spec.(type) {
		case *ast.TypeSpec:
			if s.Name.IsExported() && s.Doc == nil && d.Doc == nil {
				t.Errorf("%s: %s has no comment", path, s.Name.Name)
			}
		case *ast.ValueSpec:
			for _, name := range s.Names {
				if name.IsExported() && s.Doc == nil && s.Comment == nil && d.Doc == nil {
					t.Errorf("%s: %s has no comment", path, name.Name)
				}
			}
		}
	}
}

// TestHouseNothingNamesAMachine keeps paths of a developer's machine out.
func TestHouseNothingNamesAMachine(t *testing.T) {
	t.Parallel()
	goFiles(t, func(path string, text []byte) {
		for _, bad := range []string{"/wo" + "rk/", "../sha" + "red", "/ro" + "ot/"} {
			if bytes.Contains(text, []byte(bad)) {
				t.Errorf("%s contains %q", path, bad)
			}
		}
	})
}

// goFiles calls f for every Go file of the tree, by its path from the root.
func goFiles(t *testing.T, f func(path string, text []byte)) {
	t.Helper()
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := d.Name(); d.IsDir() && path != root && (strings.HasPrefix(name, ".") || name == "bin" || name == "node_modules") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		f(filepath.ToSlash(rel), text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
