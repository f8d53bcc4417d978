package db

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

var (
	//go:embed role.sql
	roleText string
	//go:embed public.sql
	publicText string
)

// RoleConfig is a role of plugins' SQL. Role and Schema are required.
type RoleConfig struct {
	// Role is the login role, made if it is not there.
	Role string
	// Tenant is for which it works. Empty means Schema.
	Tenant string
	// Schema is where its tables are, made if it is not there. It stays the
	// administrator's.
	Schema string
	// Read and Write are tables, in Schema if they are not qualified. Who may
	// write a table may read it. What is granted in Schema and not named is taken
	// back.
	Read, Write []string
	// Functions are user functions that it may call, "schema.name".
	Functions []string
	// Connections bounds its sessions. Default 40.
	Connections int
	// Weir is the role that captures. Empty means "weir".
	Weir string
	// Public takes back what everybody may do in the database: temporary tables,
	// objects and functions of the schema public. Other applications may need it.
	Public bool
	// Password is set if it is not empty, in a form from which it cannot be
	// read. It is not in RoleSQL's text.
	Password string
	// KeepPassword leaves the password of a role that exists.
	KeepPassword bool
}

// MadeRole is what came of MakeRole.
type MadeRole struct {
	// New says that the role was not there before.
	New bool
	// Excess is what it may do beyond the config, because of other grants.
	Excess []Excess
}

// check refuses names that would end the quotes of the script.
func (c *RoleConfig) check() error {
	if c.Role == "" || c.Schema == "" {
		return errors.New("BUG: a role without name or schema")
	}
	for _, list := range [][]string{{c.Role, c.Tenant, c.Schema, c.Weir}, c.Read, c.Write, c.Functions} {
		for _, name := range list {
			if strings.ContainsAny(name, "$\x00\n") {
				return fmt.Errorf("the name %q has a $ or a line break: choose another", name)
			}
		}
	}
	return nil
}

// RoleSQL returns what MakeRole runs, for a DBA to read and run with psql. The
// role gets no password by it.
func RoleSQL(c RoleConfig) (string, error) {
	if err := c.check(); err != nil {
		return "", err
	}
	array := func(list []string) string {
		quoted := make([]string, len(list))
		for i, s := range list {
			quoted[i] = quoteLiteral(s)
		}
		return "array[" + strings.Join(quoted, ", ") + "]::text[]"
	}
	script := strings.NewReplacer(
		"$ROLE", quoteLiteral(c.Role), "$TENANT", quoteLiteral(cmp.Or(c.Tenant, c.Schema)), "$SCHEMA", quoteLiteral(c.Schema), "$WEIR", quoteLiteral(cmp.Or(c.Weir, "weir")),
		"$READ", array(c.Read), "$WRITE", array(c.Write), "$FUNCTIONS", array(c.Functions),
		"$LIMIT", fmt.Sprint(cmp.Or(max(c.Connections, 0), 40)),
	).Replace(roleText)
	if c.Public {
		script += "\n" + publicText
	}
	return "begin;\n\n" + script + "\ncommit;\n", nil
}

// MakeRole makes the role, or makes it what the config says again, as an
// administrator: a superuser, or a role that may make roles and grant on the
// tables.
func MakeRole(ctx context.Context, adminURL string, c RoleConfig) (made MadeRole, err error) {
	script, err := RoleSQL(c)
	if err != nil {
		return made, err
	}
	config, err := pgconn.ParseConfig(adminURL)
	if err != nil {
		return made, fmt.Errorf("database url: %w", err)
	}
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return made, fault("connect to the database", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	there := conn.ExecParams(ctx, "select from pg_catalog.pg_roles where rolname = $1", [][]byte{[]byte(c.Role)}, nil, nil, nil).Read()
	if there.Err != nil {
		return made, fault("look for the role", there.Err)
	}
	made.New = len(there.Rows) == 0
	if err := conn.Exec(ctx, script).Close(); err != nil {
		return made, fmt.Errorf("make the role %s: %w", c.Role, err)
	}
	if c.Password != "" && (made.New || !c.KeepPassword) {
		salt := make([]byte, 16)
		_, _ = rand.Read(salt) // it never fails
		verifier, err := scramVerifier(c.Password, salt)
		if err != nil {
			return made, err
		}
		sql := "alter role " + quoteIdentifier(c.Role) + " password " + quoteLiteral(verifier)
		if err := conn.Exec(ctx, sql).Close(); err != nil {
			return made, fmt.Errorf("set the password of %s: %w", c.Role, err)
		}
	}
	made.Excess, err = findExcess(ctx, config, c.Role, c.Functions)
	return made, err
}

// scramVerifier returns what PostgreSQL keeps of a password, so that neither the
// statement nor a log has it. The password must be ASCII.
func scramVerifier(password string, salt []byte) (string, error) {
	const rounds = 4096
	if strings.ContainsFunc(password, func(r rune) bool { return r < ' ' || r > '~' }) {
		return "", errors.New("the password has characters beyond ASCII: choose another")
	}
	salted, err := pbkdf2.Key(sha256.New, password, salt, rounds, sha256.Size)
	if err != nil {
		return "", err
	}
	mac := func(what string) []byte {
		m := hmac.New(sha256.New, salted)
		m.Write([]byte(what))
		return m.Sum(nil)
	}
	stored := sha256.Sum256(mac("Client Key"))
	encode := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", rounds, encode(salt), encode(stored[:]), encode(mac("Server Key"))), nil
}

func quoteLiteral(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func quoteIdentifier(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
