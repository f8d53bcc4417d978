package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/jackc/pgx/v5"

	"weir/abi"
	"weir/host/db"
)

// checkAgainst says what a plugin would break in the place of the one that runs.
func (m *Main) checkAgainst(ctx context.Context, args, against []string, flags clientFlags) error {
	if len(args) == 0 || !isPlugin(args[0]) {
		return usagef("--against checks a plugin: name a *.wasm file, which weir build makes, or a *.js file")
	}
	about, err := m.readPlugin(ctx, args[0])
	if err != nil {
		return err
	}
	c := &compatibility{plugin: about.manifest}
	next := publishedBy(about.manifest)
	var past []published
	var old *module
	var databases []string
	for _, what := range against {
		switch {
		case strings.HasPrefix(what, "postgres://"), strings.HasPrefix(what, "postgresql://"):
			databases = append(databases, what)
		case strings.HasPrefix(what, "http://"), strings.HasPrefix(what, "https://"):
			flags.url = what
			past, err = m.publishedAt(ctx, flags)
		case isPlugin(what):
			if old, err = m.readPlugin(ctx, what); err == nil {
				past = publishedBy(old.manifest)
			}
		default:
			err = usagef("--against %q is no weir, plugin or database: write http://host:port, old.wasm or postgres://user@host/database", what)
		}
		if err != nil {
			return err
		}
	}
	for _, url := range databases {
		if err := c.prepare(ctx, url, next); err != nil {
			return err
		}
		if old != nil {
			before := &compatibility{plugin: old.manifest} // what is broken in the old one is not asked
			if err := before.prepare(ctx, url, past); err != nil {
				return err
			}
		}
	}
	if past != nil {
		c.compare(past, next)
	}
	return c.tell(m, args[0])
}

func isPlugin(name string) bool {
	return strings.HasSuffix(name, ".wasm") || strings.HasSuffix(name, ".js")
}

// readPlugin asks the plugin in a file what is in it.
func (m *Main) readPlugin(ctx context.Context, name string) (*module, error) {
	path, code, err := m.readFile(name)
	if err != nil {
		return nil, err
	}
	about, err := m.describeFile(ctx, path, m.engineFor(path), code)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.shown(path), err)
	}
	about.bytes = len(code)
	return about, nil
}

// readFile reads a plugin's file that the user named.
func (m *Main) readFile(name string) (path string, code []byte, err error) {
	path = m.path(name)
	code, err = readModule(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = usagef("there is no %s: name a *.wasm file, which weir build makes, or a *.js file", m.shown(path))
	}
	return path, code, err
}

// publishedBy is what the functions of a plugin promise to clients, as far as the
// plugin itself knows.
func publishedBy(manifest *abi.Manifest) []published {
	list := []published{} // a plugin may have none
	for i := range manifest.Functions {
		f := &manifest.Functions[i]
		if f.Kind == abi.Policy {
			continue
		}
		p := published{Name: f.Name, Kind: string(f.Kind), Plugin: manifest.Name, Args: *shapeOf(f.Arguments()), source: f}
		if f.Result != nil {
			p.Result = shapeOf(f.Result)
		}
		list = append(list, p)
	}
	return list
}

// publishedAt is what a running weir promises.
func (m *Main) publishedAt(ctx context.Context, flags clientFlags) ([]published, error) {
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
	doc := struct{ Functions []published }{Functions: []published{}}
	if err := json.Unmarshal(body, &doc); err != nil {
		return nil, fmt.Errorf("the description of the functions cannot be read: %w: is %s a weir?", err, c.base)
	}
	return doc.Functions, nil
}

// prepare checks the statements on a database and completes the results of
// functions that are one statement. Nothing is written.
func (c *compatibility) prepare(ctx context.Context, url string, list []published) error {
	if err := withConn(ctx, url, func(*pgx.Conn) error { return nil }); err != nil {
		return err // in the words that other commands have for it
	}
	database, err := db.Open(ctx, db.Config{URL: url, Connections: 2})
	if err != nil {
		return err
	}
	defer database.Close()
	for i := range c.plugin.Functions {
		f := &c.plugin.Functions[i]
		kind, uses := db.Read, f.Uses
		if f.Kind == abi.Mutation {
			kind = db.Write
		}
		if f.Statement != nil {
			uses = []int{*f.Statement}
		}
		for _, index := range uses {
			s, err := database.Prepare(ctx, c.plugin.Statements, index, kind)
			if err != nil {
				c.broken(f.Name, "%v", err)
				continue
			}
			if f.Statement == nil {
				continue
			}
			for at := range list {
				if rows := s.Schema(); list[at].Name == f.Name && rows != nil {
					list[at].Result = shapeOf(rows)
				}
			}
			if err := c.keys(ctx, url, f.Name, s); err != nil {
				return err
			}
		}
	}
	return nil
}

// maxExact is the largest integer that JavaScript holds exactly with all below it.
const maxExact = 1<<53 - 1

const oidInt8 = 20

// keys looks at row keys that JavaScript may round: two rows would be one.
func (c *compatibility) keys(ctx context.Context, url, function string, s *db.Statement) error {
	for _, name := range s.Key() {
		for _, column := range s.Columns() {
			if column.Name != name || column.OID != oidInt8 {
				continue
			}
			table, beyond, err := largeValues(ctx, url, column)
			switch {
			case err != nil:
				return err
			case beyond:
				c.broken(function, "the key column %s is a bigint, and %s has values beyond %d, which JavaScript rounds: write %[1]s::text as %[1]s", name, table, maxExact)
			default:
				c.note(function, "the key column %s is a bigint, which JavaScript holds exactly up to %d only: write %[1]s::text as %[1]s if it may grow beyond", name, maxExact)
			}
		}
	}
	return nil
}

// largeValues looks for integers beyond maxExact where a column comes from.
func largeValues(ctx context.Context, url string, column db.Column) (table string, beyond bool, err error) {
	if column.Table == 0 {
		return "", false, nil
	}
	err = withConn(ctx, url, func(conn *pgx.Conn) error {
		var attribute string
		err := conn.QueryRow(ctx, `select attrelid::regclass::text, quote_ident(attname) from pg_attribute where attrelid = $1 and attnum = $2`,
			column.Table, int16(column.Attr)).Scan(&table, &attribute)
		if err != nil {
			return err
		}
		// A statement on a view may name what the role may not read by itself.
		if conn.QueryRow(ctx, fmt.Sprintf("select exists (select from %s where %s > %d) or exists (select from %[1]s where %[2]s < -%[3]d)",
			table, attribute, maxExact)).Scan(&beyond) != nil {
			beyond = false
		}
		return nil
	})
	return table, beyond, err
}
