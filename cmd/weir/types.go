package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"weir/abi"
)

func (m *Main) typesCommand() *cobra.Command {
	var flags clientFlags
	var from, module string
	cmd := &cobra.Command{
		Use:   "types",
		Short: "Write TypeScript types of the functions, for weir.js",
		Long: "Write a declaration file that tells the TypeScript compiler the names, arguments and\n" +
			"results of the functions: a wrong one does not compile. The functions are those of a\n" +
			"running weir, or of the plugins in a directory or file.",
		Example: "  weir types > src/weir-types.d.ts\n  weir types --plugins plugins > src/weir-types.d.ts",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := m.typedFunctions(cmd.Context(), flags, from)
			if err != nil {
				return err
			}
			_, err = m.Stdout.Write(appendTypes(nil, module, list))
			return err
		},
	}
	cmd.Flags().StringVar(&flags.url, "url", "", "where weir listens (default: $WEIR_URL, the weir dev of this directory, or http://127.0.0.1:8090)")
	cmd.Flags().StringVar(&flags.as, "as", "", "be this user; under weir dev only")
	cmd.Flags().StringVar(&flags.token, "token", "", "a token (default: $WEIR_TOKEN)")
	cmd.Flags().StringVar(&flags.dir, "dir", ".", "the project's directory")
	cmd.Flags().StringVar(&from, "plugins", "", "a directory of *.wasm files, or one such file, instead of a running weir")
	cmd.Flags().StringVar(&module, "module", "weir", "what the program imports weir.js as")
	return cmd
}

// typedFunctions asks a running weir, or plugins.
func (m *Main) typedFunctions(ctx context.Context, flags clientFlags, from string) ([]typedFunction, error) {
	if from != "" {
		if flags.url != "" {
			return nil, usagef("--url and --plugins are two places to take the functions from: use one")
		}
		return m.pluginFunctions(ctx, m.path(from))
	}
	if flags.as == "" && flags.token == "" && m.Getenv("WEIR_TOKEN") == "" && m.noted(flags) {
		flags.as = "types" // weir dev takes anybody, and describes nothing to nobody
	}
	c, err := m.client(flags)
	if err != nil {
		return nil, err
	}
	defer c.close()
	r, err := c.request(ctx, "/v1/schema", nil, nil)
	if err != nil {
		return nil, err
	}
	body, err := c.do(r)
	if err != nil {
		return nil, err
	}
	var doc struct{ Functions []typedFunction }
	if err := json.Unmarshal(body, &doc); err != nil {
		return nil, fmt.Errorf("the description of the functions cannot be read: %w: is %s a weir of this version?", err, c.base)
	}
	return doc.Functions, nil
}

// noted reports whether the weir that is asked is the weir dev of the directory.
func (m *Main) noted(flags clientFlags) bool {
	if flags.url != "" || m.Getenv("WEIR_URL") != "" {
		return false
	}
	_, err := os.Stat(filepath.Join(m.path(flags.dir), ".weir", "url"))
	return err == nil
}

func (m *Main) pluginFunctions(ctx context.Context, path string) ([]typedFunction, error) {
	files := []string{path}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usagef("there is no %s: name a directory of *.wasm files, weir build makes them", m.shown(path))
	}
	if err == nil && info.IsDir() {
		if files, err = filepath.Glob(filepath.Join(path, "*.wasm")); err == nil && len(files) == 0 {
			return nil, usagef("there is no *.wasm file in %s: weir build makes them", m.shown(path))
		}
	}
	if err != nil {
		return nil, err
	}
	var list []typedFunction
	for _, file := range files {
		code, err := readModule(file)
		if err != nil {
			return nil, err
		}
		about, err := m.describe(ctx, code)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.shown(file), err)
		}
		for i := range about.manifest.Functions {
			f := &about.manifest.Functions[i]
			typed := typedFunction{Name: f.Name, Kind: string(f.Kind), Doc: f.Doc}
			err := json.Unmarshal(abi.AppendJSONSchema(nil, &abi.Schema{Type: "object", Fields: f.Fields}), &typed.Args)
			if err == nil && f.Result != nil {
				err = json.Unmarshal(abi.AppendJSONSchema(nil, f.Result), &typed.Result)
			}
			if err != nil {
				return nil, fmt.Errorf("%s: function %s: %w", m.shown(file), f.Name, err)
			}
			list = append(list, typed)
		}
	}
	slices.SortFunc(list, func(a, b typedFunction) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}
