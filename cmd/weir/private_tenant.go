package main

import (
	"context"
	"fmt"
	"maps"

	"github.com/jackc/pgx/v5"

	"weir/host/config"
	"weir/host/db"
	"weir/host/devdb"
)

// tenantRole is the role of a tenant's SQL on a private server.
func tenantRole(name string) string { return "tenant_" + name }

// onPrivate returns the configuration with the private database in it, for every
// tenant.
func onPrivate(file *config.Config, cluster *devdb.Cluster, database string) *config.Config {
	c := *file
	c.Database.URL = config.Secret(cluster.UserURL(weirRole, database))
	c.Database.Guest = config.Secret(cluster.UserURL(guestRole, database))
	c.Tenant = maps.Clone(c.Tenant)
	for name, t := range c.Tenant {
		t.Guest = config.Secret(cluster.UserURL(tenantRole(name), database))
		c.Tenant[name] = t
	}
	return &c
}

// admitTenants makes on a private database what weir tenant init makes on another:
// the role of each tenant, and its schema if the project's SQL did not. The role may
// read and write all tables of the schema, because this is for development. It may be
// called again.
func (p *project) admitTenants(ctx context.Context, cluster *devdb.Cluster, database string) error {
	for name, t := range p.config.Tenant {
		if err := admitTenant(ctx, cluster.URL(database), name, t); err != nil {
			return &fileError{fmt.Errorf("tenant %s on the private database: %w", name, err)}
		}
	}
	return nil
}

func admitTenant(ctx context.Context, url, name string, t config.Tenant) error {
	role := db.RoleConfig{Role: tenantRole(name), Tenant: name, Schema: t.Schema, Functions: t.SQL.Functions, Weir: weirRole}
	return withConn(ctx, url, func(conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, `select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
			where n.nspname = $1 and c.relkind in ('r', 'p', 'v', 'm', 'f')`, t.Schema)
		if err != nil {
			return err
		}
		if role.Write, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
			return err
		}
		if _, err := db.MakeRole(ctx, url, role); err != nil {
			return err
		}
		// What a developer makes by hand later is for the plugins too.
		schema, to := pgx.Identifier{t.Schema}.Sanitize(), pgx.Identifier{role.Role}.Sanitize()
		for _, sql := range []string{
			"grant usage, select on all sequences in schema %[1]s to %[2]s",
			"alter default privileges in schema %[1]s grant select, insert, update, delete on tables to %[2]s",
			"alter default privileges in schema %[1]s grant usage, select on sequences to %[2]s",
		} {
			if _, err := conn.Exec(ctx, fmt.Sprintf(sql, schema, to)); err != nil {
				return err
			}
		}
		return nil
	})
}
