package changelog

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Part is what another room keeps in the schema weir. Setup makes it, Check asks
// for it, Uninstall takes it away with the schema.
type Part struct {
	// Name is the name for messages, and unique.
	Name string
	// Version is that of SQL. A database where another one was installed needs
	// Setup.
	Version int
	// SQL is run as weir's role, in Setup's transaction, and may be run again.
	// $WEIR and $GUEST in it stand for quoted literals of the roles' names.
	SQL string
}

// sql returns the part's statements, and those that note its version. Read sets
// that were derived before a change of definitions are void (R4); nothing else
// tells of definitions in the schema weir.
func (p *Part) sql() string {
	return fmt.Sprintf(`%s
insert into weir.log (slot, rel, op) select r.slot, 0, 'X' from weir.reader r
	where not exists (select from weir.part where name = %[2]s and version = %[3]d);
insert into weir.part values (%[2]s, %[3]d) on conflict (name) do update set version = excluded.version;
`, p.SQL, literal(p.Name), p.Version)
}

// CheckParts finds out whether the parts are there, in the versions that this
// weir needs. It finds nothing where the change log is missing: Check says that.
func CheckParts(ctx context.Context, url string, parts []Part) ([]Finding, error) {
	var findings []Finding
	err := withConn(ctx, url, func(conn *pgx.Conn) (err error) {
		findings, err = checkParts(ctx, conn, parts)
		return err
	})
	return findings, err
}

func checkParts(ctx context.Context, conn *pgx.Conn, parts []Part) ([]Finding, error) {
	var schema, known bool
	err := conn.QueryRow(ctx, `select to_regclass('weir.log') is not null, to_regclass('weir.part') is not null`).Scan(&schema, &known)
	if err != nil || !schema {
		return nil, err
	}
	versions := map[string]int{}
	if known {
		rows, err := conn.Query(ctx, `select name, version from weir.part`)
		if err != nil {
			return nil, err
		}
		var name string
		var version int
		if _, err := pgx.ForEachRow(rows, []any{&name, &version}, func() error { versions[name] = version; return nil }); err != nil {
			return nil, err
		}
	}
	fs := make([]Finding, 0, len(parts))
	for i := range parts {
		p := &parts[i]
		switch version, there := versions[p.Name]; {
		case !there:
			fs = append(fs, Finding{LevelMissing, p.Name, "weir db setup --admin-url URL"})
		case version != p.Version:
			fs = append(fs, Finding{
				LevelMissing, fmt.Sprintf("%s in version %d, the database has version %d", p.Name, p.Version, version),
				"weir db setup --admin-url URL, of the weir that is to run",
			})
		default:
			fs = append(fs, Finding{LevelOK, p.Name, ""})
		}
	}
	return fs, nil
}
