package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"weir/host"
	"weir/host/db"
	"weir/host/devdb"
	"weir/reactor/changelog"
)

func (m *Main) dbCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "db",
		Short: "Prepare, check, pause or clean the database",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return cmd.Help()
		},
		Args: cobra.ArbitraryArgs,
	}
	cmd.AddCommand(
		m.dbSetupCommand(), m.dbCheckCommand(), m.dbStatusCommand(),
		m.dbSwitchCommand("pause", "Drop weir's triggers and keep everything else; live results say stale", changelog.Pause, "paused: live results are stale until weir db resume"),
		m.dbSwitchCommand("resume", "Make the triggers again", changelog.Resume, "ok capture runs"),
		m.dbUninstallCommand(), m.dbPrivateCommand(),
	)
	return cmd
}

// databaseFlags say which database, as weir's own role.
type databaseFlags struct{ url, dir string }

func (f *databaseFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.url, "url", "", "the database, as weir's role (default: database.url of weir.toml, else the private one)")
	cmd.Flags().StringVar(&f.dir, "dir", ".", "the project's directory")
}

// onDatabase calls f with the URL of weir's role.
func (m *Main) onDatabase(ctx context.Context, flags databaseFlags, f func(url string) error) error {
	if flags.url != "" {
		return f(flags.url)
	}
	p, err := m.openProject(flags.dir)
	if err != nil {
		return err
	}
	if !p.private() {
		return f(p.config.Database.URL.Reveal())
	}
	return m.onPrivate(ctx, flags.dir, func(c *devdb.Cluster, database string) error {
		return f(c.UserURL(weirRole, database))
	})
}

func (m *Main) dbSetupCommand() *cobra.Command {
	cfg := changelog.SetupConfig{Parts: host.Parts()}
	var print bool
	var weirPassword, guestPassword string
	cmd := &cobra.Command{
		Use:   "setup --admin-url URL",
		Short: "Make roles, change log and triggers; may be run again",
		Long: "Make the roles weir and weir_guest, the schema weir with the change log and the jobs, and triggers.\n" +
			"It needs no superuser, may be run again, and prints one line for each need. The URL may\n" +
			"also come from $WEIR_ADMIN_URL. --print writes the SQL instead, for those who may not run it.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if print {
				_, err := fmt.Fprint(m.Stdout, changelog.SetupSQL(cfg))
				return err
			}
			var err error
			if cfg.AdminURL, err = m.adminURL(cfg.AdminURL); err != nil {
				return err
			}
			if cfg.WeirPassword, err = m.passwordFrom("--weir-password-file", weirPassword); err != nil {
				return err
			}
			if cfg.GuestPassword, err = m.passwordFrom("--guest-password-file", guestPassword); err != nil {
				return err
			}
			findings, err := changelog.Setup(cmd.Context(), cfg)
			return m.findings(findings, err)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&cfg.AdminURL, "admin-url", "", "the database, as a role that may make roles and a schema")
	flags.BoolVar(&print, "print", false, "print the SQL and run nothing")
	flags.StringVar(&cfg.Weir, "weir-role", weirRole, "the role that captures")
	flags.StringVar(&cfg.Guest, "guest-role", guestRole, "the role of the plugins' SQL")
	flags.StringVar(&weirPassword, "weir-password-file", "", "a file with the password to give to that role")
	flags.StringVar(&guestPassword, "guest-password-file", "", "likewise")
	flags.StringSliceVar(&cfg.Schemas, "schema", nil, "only capture tables of this schema; may be given several times")
	flags.StringSliceVar(&cfg.Tables, "table", nil, "capture this table now; may be given several times")
	return cmd
}

// adminURL takes the flag, or the environment, which other users cannot read.
func (m *Main) adminURL(flag string) (string, error) {
	if flag == "" {
		flag = m.Getenv("WEIR_ADMIN_URL")
	}
	if flag == "" {
		return "", usagef("there is no administrator's URL: give --admin-url postgres://admin@host/database, or set WEIR_ADMIN_URL")
	}
	return flag, nil
}

func (m *Main) passwordFrom(flag, file string) (string, error) {
	if file == "" {
		return "", nil
	}
	text, err := os.ReadFile(m.path(file))
	password := strings.TrimRight(string(text), "\r\n")
	switch {
	case err != nil:
		return "", fmt.Errorf("%s: %w: write the password into it", flag, err)
	case password == "":
		return "", usagef("%s: %s is empty: write the password into it", flag, file)
	}
	return password, nil
}

// findings prints one line for each need. What is missing fails the command,
// without another word.
func (m *Main) findings(findings []changelog.Finding, err error) error {
	if err != nil {
		return err
	}
	missing := false
	for _, f := range findings {
		fmt.Fprintln(m.Stdout, oneLine(f.String()))
		missing = missing || f.Level == changelog.LevelMissing
	}
	if missing {
		return &quietError{}
	}
	return nil
}

func (m *Main) dbCheckCommand() *cobra.Command {
	var flags databaseFlags
	cmd := &cobra.Command{
		Use:   "check [table …]",
		Short: "Say in one line for each need whether weir can work here",
		RunE: func(cmd *cobra.Command, args []string) error {
			return m.onDatabase(cmd.Context(), flags, func(url string) error {
				findings, err := changelog.Check(cmd.Context(), url, args...)
				if err != nil {
					return err
				}
				parts, err := changelog.CheckParts(cmd.Context(), url, host.Parts())
				if errors.Is(err, changelog.ErrPooler) || errors.Is(err, changelog.ErrStandby) {
					return m.findings(findings, nil) // Check has said it
				}
				findings = append(findings, parts...)
				if err == nil {
					var more []changelog.Finding
					more, err = m.excess(cmd.Context(), flags, url)
					findings = append(findings, more...)
				}
				return m.findings(findings, err)
			})
		},
	}
	flags.add(cmd)
	return cmd
}

// excess says what the roles of plugins' SQL may do and do not need. Those of a
// private database wall nobody off.
func (m *Main) excess(ctx context.Context, flags databaseFlags, url string) ([]changelog.Finding, error) {
	type guest struct {
		url, role string
		functions []string
	}
	guests := []guest{{url: url, role: guestRole}}
	if flags.url == "" {
		p, err := m.openProject(flags.dir)
		if err != nil || p.private() {
			return nil, err
		}
		guests = nil
		for _, t := range p.config.Tenants() {
			guests = append(guests, guest{url: t.Guest.Reveal(), functions: t.SQL.Functions})
		}
	}
	var findings []changelog.Finding
	for _, g := range guests {
		found, err := db.FindExcess(ctx, g.url, g.role, g.functions)
		if errors.Is(err, db.ErrNoRole) {
			continue // another name was chosen: the URL alone does not say which
		}
		if err != nil {
			findings = append(findings, changelog.Finding{Level: changelog.LevelMissing, What: "the role of plugins' SQL: " + err.Error()})
		}
		for _, e := range found {
			findings = append(findings, changelog.Finding{Level: changelog.LevelDegraded, What: e.String(), Do: e.Do})
		}
	}
	return findings, nil
}

func (m *Main) dbStatusCommand() *cobra.Command {
	var flags databaseFlags
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say what stands in the database",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return m.onDatabase(cmd.Context(), flags, func(url string) error {
				s, err := changelog.ReadStatus(cmd.Context(), url)
				if err != nil {
					return err
				}
				if !s.Installed {
					return changelog.ErrNotSetUp
				}
				m.printStatus(&s)
				return nil
			})
		},
	}
	flags.add(cmd)
	return cmd
}

func (m *Main) printStatus(s *changelog.Status) {
	state := "runs"
	if s.Paused {
		state = "paused: weir db resume"
	}
	definitions := "followed at once, by event triggers"
	if !s.Events {
		definitions = "compared each second"
	}
	reader := "nobody has read the log yet"
	if !s.SeenAt.IsZero() {
		reader = "was there at " + s.SeenAt.UTC().Format(time.RFC3339)
	}
	fmt.Fprintf(m.Stdout, "capture      %s\n", state)
	fmt.Fprintf(m.Stdout, "definitions  %s\n", definitions)
	fmt.Fprintf(m.Stdout, "reader       %s\n", reader)
	fmt.Fprintf(m.Stdout, "log          %s, about %s, kept %s\n", size(s.LogBytes), counted(int(s.LogRows), "row"), s.Retention)
	for _, table := range slices.Sorted(maps.Keys(s.Watched)) {
		line := fmt.Sprintf("table        %s, %s watched", table, counted(s.Watched[table], "column"))
		if why := s.Drift[table]; why != "" {
			line += ", not fully captured: " + why
		}
		fmt.Fprintln(m.Stdout, oneLine(line))
	}
}

// dbSwitchCommand is pause or resume.
func (m *Main) dbSwitchCommand(name, short string, do func(context.Context, string) error, said string) *cobra.Command {
	var flags databaseFlags
	cmd := &cobra.Command{
		Use: name, Short: short, Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return m.onDatabase(cmd.Context(), flags, func(url string) error {
				if err := do(cmd.Context(), url); err != nil {
					return err
				}
				_, err := fmt.Fprintln(m.Stdout, said)
				return err
			})
		},
	}
	flags.add(cmd)
	return cmd
}

func (m *Main) dbUninstallCommand() *cobra.Command {
	var url string
	cmd := &cobra.Command{
		Use:   "uninstall --admin-url URL",
		Short: "Remove everything that weir made in the database",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			url, err := m.adminURL(url)
			if err != nil {
				return err
			}
			if err := changelog.Uninstall(cmd.Context(), url); err != nil {
				return err
			}
			_, err = fmt.Fprintln(m.Stdout, "ok nothing of weir is left")
			return err
		},
	}
	cmd.Flags().StringVar(&url, "admin-url", "", "the database, as the role that ran setup (default: $WEIR_ADMIN_URL)")
	return cmd
}

func (m *Main) dbPrivateCommand() *cobra.Command {
	var dir string
	var remove bool
	cmd := &cobra.Command{
		Use:   "private",
		Short: "Say where the private database is, or remove it",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := m.findProject(dir)
			if err != nil {
				return err
			}
			if !p.hasCluster() {
				_, err := fmt.Fprintf(m.Stdout, "there is no private database in %s\n", m.shown(p.dir))
				return err
			}
			if remove {
				return m.removePrivate(cmd.Context(), p)
			}
			return m.onPrivate(cmd.Context(), dir, func(c *devdb.Cluster, database string) error {
				_, err := fmt.Fprintln(m.Stdout, c.URL(database))
				return err
			})
		},
	}
	cmd.Flags().StringVar(&dir, "dir", ".", "the project's directory")
	cmd.Flags().BoolVar(&remove, "remove", false, "delete it with all that is in it")
	return cmd
}

// removePrivate deletes the cluster. It is started once more, because only then
// it is known where its data lies, and that nobody else uses it.
func (m *Main) removePrivate(ctx context.Context, p *project) error {
	cluster, err := p.startCluster(ctx, slog.New(slog.DiscardHandler))
	if err != nil {
		return fmt.Errorf("find the private database: %w", err)
	}
	data, attached := cluster.DataDir(), cluster.Attached()
	if err := cluster.Close(); err != nil {
		return err
	}
	if attached {
		return errors.New("the private database is in use: stop weir dev first")
	}
	for _, dir := range []string{data, p.clusterDir()} {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("remove the private database: %w", err)
		}
	}
	_ = os.Remove(filepath.Dir(p.clusterDir())) // .weir, if nothing else is in it
	_, err = fmt.Fprintf(m.Stdout, "removed the private database of %s\n", m.shown(p.dir))
	return err
}
