package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"weir/host/serve"
)

func (m *Main) pluginsCommand() *cobra.Command {
	var url, dir string
	cmd := &cobra.Command{
		Use:   "plugins",
		Short: "List the plugins that serve: version, digest, since when, and what is wrong",
		Long: "Ask the admin listener of a running weir for its plugins, and print for each its version,\n" +
			"the first digits of its digest and since when it serves. Below it stands why what is in\n" +
			"its file now does not serve; then the exit code is 1.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if url == "" {
				url = m.guessAdmin(dir)
			}
			return m.plugins(cmd.Context(), url)
		},
	}
	cmd.Flags().StringVar(&url, "url", "", "the admin listener (default: that of the weir dev of this directory, or of weir.toml)")
	cmd.Flags().StringVar(&dir, "dir", ".", "the project's directory")
	return cmd
}

// guessAdmin finds the admin listener of the weir that belongs to a directory.
func (m *Main) guessAdmin(dir string) string {
	text, err := os.ReadFile(filepath.Join(m.path(dir), ".weir", "admin"))
	if noted := strings.TrimSpace(string(text)); err == nil && strings.HasPrefix(noted, "http://") {
		return noted
	}
	listen := "127.0.0.1:8091"
	if p, err := m.openProject(dir); err == nil {
		listen = p.config.Admin.Listen
	}
	if strings.HasPrefix(listen, "unix:") {
		return listen
	}
	if name, port, err := net.SplitHostPort(listen); err == nil && (name == "" || name == "0.0.0.0" || name == "::") {
		listen = net.JoinHostPort("127.0.0.1", port)
	}
	return "http://" + listen
}

func (m *Main) plugins(ctx context.Context, url string) error {
	c, err := m.client(clientFlags{url: url})
	if err != nil {
		return err
	}
	defer c.close()
	c.token = "" // it is for clients
	r, err := c.request(ctx, "/plugins", nil, nil)
	if err != nil {
		return err
	}
	body, err := c.do(r)
	if err != nil {
		return err
	}
	var doc struct{ Plugins []serve.Plugin }
	if err := json.Unmarshal(body, &doc); err != nil {
		return fmt.Errorf("the list of plugins cannot be read: %w: is %s the admin listener of a weir?", err, c.base)
	}
	return m.printPlugins(doc.Plugins)
}

// printPlugins prints a table. What is wrong stands below the table's line.
func (m *Main) printPlugins(list []serve.Plugin) error {
	if len(list) == 0 {
		fmt.Fprintln(m.Stdout, "no plugins: put *.wasm or *.js files into the directory that plugins in weir.toml names")
		return nil
	}
	tenants := map[string]bool{}
	for i := range list {
		tenants[list[i].Tenant] = true
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for i := range list {
		p := &list[i]
		name := oneLine(p.Name)
		if name == "" {
			name = oneLine(p.File)
		}
		if len(tenants) > 1 {
			name = p.Tenant + "/" + name
		}
		version, digest, since := "-", "-", "does not serve"
		if p.Since != nil {
			version, digest, since = oneLine(p.Version), p.Digest[:min(12, len(p.Digest))], "since "+p.Since.Local().Format(time.DateTime)
			if version == "" {
				version = "-"
			}
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", name, version, digest, counted(len(p.Functions), "function"), since)
	}
	w.Flush()
	failed := false
	for i, line := range strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n") {
		fmt.Fprintln(m.Stdout, line)
		if list[i].Stopped {
			fmt.Fprintln(m.Stdout, "  its guest keeps failing and is refused for a while: see the log for why")
		}
		if list[i].Error != "" {
			fmt.Fprintf(m.Stdout, "  %s was refused: %s\n", oneLine(list[i].File), oneLine(strings.TrimPrefix(list[i].Error, "plugin "+list[i].File+": ")))
		}
		failed = failed || list[i].Stopped || list[i].Error != ""
	}
	if failed {
		return &quietError{}
	}
	return nil
}
