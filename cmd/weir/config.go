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
	return &cobra.Command{
		Use:   "check [weir.toml]",
		Short: "Check a configuration and what it names, without a database",
		Args:  atMostOne,
		RunE: func(_ *cobra.Command, args []string) error {
			p, err := m.openProject(configArg(args))
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
		},
	}
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
