package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"weir/host/db"
	"weir/reactor/changelog"
)

func (m *Main) tenantCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tenant",
		Short: "Prepare the database for a tenant",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return cmd.Help()
		},
		Args: cobra.ArbitraryArgs,
	}
	cmd.AddCommand(m.tenantInitCommand())
	return cmd
}

// tenantFlags are those of tenant init.
type tenantFlags struct {
	role                   db.RoleConfig
	adminURL, guestFile    string
	onlyPrint, newPassword bool
}

func (m *Main) tenantInitCommand() *cobra.Command {
	var flags tenantFlags
	cmd := &cobra.Command{
		Use:   "init NAME",
		Short: "Make the login role of a tenant's SQL, with the rights that are named and no others",
		Long: "Print the SQL that makes the login role of a tenant's SQL and its schema, or with --admin-url\n" +
			"(or $WEIR_ADMIN_URL) run it. The role may do what is named here and nothing else: what it was\n" +
			"granted in the schema before is taken back. It may be run again. The password of a new role is\n" +
			"drawn at random and shown once, in the URL for weir.toml; --guest-file writes that URL instead.",
		Example: "  weir tenant init acme --admin-url postgres://admin@db/app --read rooms,members --write messages",
		Args:    oneArg("a tenant"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return m.tenantInit(cmd.Context(), args[0], &flags)
		},
	}
	f := cmd.Flags()
	f.StringVar(&flags.adminURL, "admin-url", "", "the database, as a role that may make roles and grants on the tables")
	f.BoolVar(&flags.onlyPrint, "print", false, "print the SQL and run nothing, also when $WEIR_ADMIN_URL is set")
	f.StringVar(&flags.role.Schema, "schema", "", "where the tenant's tables are; made if it is not there (default: the tenant's name)")
	f.StringVar(&flags.role.Role, "role", "", "the role (default: weir_ and the tenant's name)")
	f.StringSliceVar(&flags.role.Read, "read", nil, "a table that it may read; may be given several times")
	f.StringSliceVar(&flags.role.Write, "write", nil, "a table that it may read and write, likewise")
	f.StringSliceVar(&flags.role.Functions, "function", nil, "a function of yours that it may call, as schema.name, likewise")
	f.StringVar(&flags.guestFile, "guest-file", "", "write the role's URL into this file, or take its password from there")
	f.BoolVar(&flags.newPassword, "new-password", false, "draw a new password for a role that exists")
	f.IntVar(&flags.role.Connections, "connections", 40, "its most sessions")
	f.BoolVar(&flags.role.Public, "revoke-public", false, "take back what everybody may do in the database: temporary tables, objects and functions in the schema public")
	f.StringVar(&flags.role.Weir, "weir-role", weirRole, "the role that captures")
	return cmd
}

var (
	tenantName   = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,47}$`)
	functionName = regexp.MustCompile(`^[^.\s]+\.[^.\s]+$`)
)

func (m *Main) tenantInit(ctx context.Context, name string, flags *tenantFlags) error {
	if !tenantName.MatchString(name) {
		return usagef("%q is no tenant's name: use up to 48 small letters, digits, _ and -, a letter first", name)
	}
	for _, f := range flags.role.Functions {
		if !functionName.MatchString(f) {
			return usagef("--function %s: write schema.name", f)
		}
	}
	flags.role.Tenant = name
	flags.role.Schema = cmp.Or(flags.role.Schema, name)
	flags.role.Role = cmp.Or(flags.role.Role, "weir_"+name)
	admin := cmp.Or(flags.adminURL, m.Getenv("WEIR_ADMIN_URL"))
	if admin == "" || flags.onlyPrint {
		script, err := db.RoleSQL(flags.role)
		if err != nil {
			return usagef("%v", err)
		}
		_, err = fmt.Fprintf(m.Stdout, "-- The role of tenant %s. It has no password yet: \\password %s\n%s", name, flags.role.Role, script)
		return err
	}
	if err := m.password(flags); err != nil {
		return err
	}
	made, err := db.MakeRole(ctx, admin, flags.role)
	if err != nil {
		return err
	}
	return m.tellTenant(name, admin, flags, &made)
}

// password chooses the password: that of the file, or a new one.
func (m *Main) password(flags *tenantFlags) error {
	flags.role.Password, flags.role.KeepPassword = rand.Text(), !flags.newPassword
	if flags.guestFile == "" || flags.newPassword {
		return nil
	}
	text, err := os.ReadFile(m.path(flags.guestFile))
	if errors.Is(err, fs.ErrNotExist) {
		flags.role.KeepPassword = false // else nobody would know the one it has
		return nil
	}
	if err != nil {
		return fmt.Errorf("--guest-file: %w", err)
	}
	u, err := url.Parse(strings.TrimSpace(string(text)))
	if err != nil {
		return usagef("--guest-file: %s has no URL: remove it, and it is written", flags.guestFile)
	}
	password, ok := u.User.Password()
	if !ok {
		return usagef("--guest-file: the URL in %s has no password: remove the file, and it is written", flags.guestFile)
	}
	flags.role.Password, flags.role.KeepPassword = password, false
	return nil
}

// tellTenant prints what was made and what belongs into weir.toml.
func (m *Main) tellTenant(name, admin string, flags *tenantFlags, made *db.MadeRole) error {
	role := &flags.role
	findings := []changelog.Finding{{Level: changelog.LevelOK, What: fmt.Sprintf(
		"role %s reads %s and writes %s", role.Role, counted(len(role.Read)+len(role.Write), "table"), counted(len(role.Write), "table"))}}
	if len(role.Read)+len(role.Write) == 0 {
		findings = append(findings, changelog.Finding{Level: changelog.LevelDegraded, What: "it may read no table", Do: "name them with --read and --write"})
	}
	for _, e := range made.Excess {
		findings = append(findings, changelog.Finding{Level: changelog.LevelDegraded, What: e.String(), Do: e.Do})
	}
	if err := m.findings(findings, nil); err != nil {
		return err
	}
	known := made.New || !role.KeepPassword
	guest := fmt.Sprintf("guest   = %q", guestURL(admin, role.Role, role.Password))
	switch {
	case flags.guestFile != "":
		if err := m.writeSecret(flags.guestFile, guestURL(admin, role.Role, role.Password)+"\n"); err != nil {
			return err
		}
		guest = fmt.Sprintf("guest_file = %q", flags.guestFile)
	case known:
		guest += "   # shown once"
	default:
		guest = fmt.Sprintf("guest   = %q   # its password is what it was", guestURL(admin, role.Role, ""))
	}
	text := fmt.Sprintf("\n[tenant.%s]\nplugins = %q\nschema  = %q\n%s\ntrust   = \"sandboxed\"\n", name, "tenants/"+name, role.Schema, guest)
	if len(role.Functions) > 0 {
		quoted := make([]string, len(role.Functions))
		for i, f := range role.Functions {
			quoted[i] = strconv.Quote(f)
		}
		text += "sql.functions = [" + strings.Join(quoted, ", ") + "]\n"
	}
	_, err := fmt.Fprint(m.Stdout, text)
	return err
}

// writeSecret writes a file that only its owner may read.
func (m *Main) writeSecret(path, text string) error {
	if err := os.WriteFile(m.path(path), []byte(text), 0o600); err != nil {
		return fmt.Errorf("--guest-file: %w", err)
	}
	return nil
}

// guestURL is the administrator's URL for another role.
func guestURL(admin, role, password string) string {
	u, err := url.Parse(admin)
	if err != nil || u.Scheme == "" {
		u = &url.URL{Scheme: "postgres", Host: "HOST", Path: "/DATABASE"}
	}
	u.User = url.User(role)
	if password != "" {
		u.User = url.UserPassword(role, password)
	}
	q := u.Query()
	q.Del("user")
	q.Del("password")
	u.RawQuery = q.Encode()
	return u.String()
}
