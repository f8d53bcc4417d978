package main

import (
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"
)

func (m *Main) configCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "config [weir.toml]",
		Short: "Print the effective configuration, with where each value comes from",
		Long:  "Print every key with its value and where that comes from. Secrets are three stars.",
		Args:  atMostOne,
		RunE: func(_ *cobra.Command, args []string) error {
			p, err := m.openProject(configArg(args))
			if err != nil {
				return err
			}
			return p.config.Dump(m.Stdout)
		},
	}
}

func configArg(args []string) string {
	if len(args) > 0 {
		return args[0]
	}
	return configName
}

func (m *Main) checkCommand() *cobra.Command {
	var against []string
	var flags clientFlags
	cmd := &cobra.Command{
		Use:   "check [weir.toml | plugin.wasm --against URL]",
		Short: "Check a configuration and what it names, or a plugin against what runs",
		Long: "Check a configuration and what it names, without a database.\n\n" +
			"With --against check a plugin before it replaces another one: against a weir that serves\n" +
			"(http://…) or an older plugin (old.wasm) for what clients would miss, and against a database\n" +
			"(postgres://…, as the role of the plugins' SQL; nothing is written) for statements that do\n" +
			"not run there. Give both for all. Exit code 1 if something breaks; notes break nothing.",
		Example: "  weir check chat.wasm --against https://chat.example.com --against \"$GUEST_DATABASE_URL\"",
		Args:    atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(against) > 0 {
				return m.checkAgainst(cmd.Context(), args, against, flags)
			}
			return m.checkConfig(configArg(args))
		},
	}
	cmd.Flags().StringArrayVar(&against, "against", nil, "a weir, an older plugin or a database; may be given several times")
	cmd.Flags().StringVar(&flags.as, "as", "", "be this user of the weir; under weir dev only")
	cmd.Flags().StringVar(&flags.token, "token", "", "a token for the weir (default: $WEIR_TOKEN)")
	return cmd
}

func (m *Main) checkConfig(path string) error {
	if isPlugin(path) {
		return usagef("%s is a plugin: say with --against what to check it against, or see what is in it with weir inspect", path)
	}
	p, err := m.openProject(path)
	if err != nil {
		return err
	}
	missing := p.missing()
	for _, what := range missing {
		fmt.Fprintf(m.Stdout, "missing: %s\n", what)
	}
	if len(missing) > 0 {
		return &quietError{}
	}
	fmt.Fprintf(m.Stdout, "ok %s: %s\n", m.shown(p.file), counted(len(p.config.Tenants()), "tenant"))
	return nil
}

// missing lists the files that the configuration names and that are not there.
// Directories that sources are built to are made by builds, so they are not asked
// for.
func (p *project) missing() []string {
	c := p.config
	named := []struct{ key, path string }{
		{"server.web", c.Server.Web}, {"dev.schema", c.Dev.Schema}, {"dev.seed", c.Dev.Seed},
	}
	var built []string
	for _, source := range c.Dev.Sources {
		named = append(named, struct{ key, path string }{"dev.sources", source})
		built = append(built, p.pluginDirs(source)...)
	}
	for _, t := range c.Tenants() {
		if !slices.Contains(built, t.Plugins) {
			named = append(named, struct{ key, path string }{"plugins of tenant " + t.Name, t.Plugins})
		}
	}
	var list []string
	for _, n := range named {
		if n.path == "" {
			continue
		}
		if _, err := os.Stat(n.path); err != nil {
			list = append(list, fmt.Sprintf("%s names %s, which is not there: make it, or correct the file", n.key, n.path))
		}
	}
	return list
}
