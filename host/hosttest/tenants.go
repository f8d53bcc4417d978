package hosttest

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"weir/host/config"
)

// File reads a configuration for Host.Reload, with the database and directories of
// this server. Tenants of Config.Tenants have their roles in it.
func (s *Server) File(t testing.TB, toml string) *config.Config {
	t.Helper()
	file, err := config.Parse("weir.toml", []byte(toml), os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	s.fill(file)
	return file
}

// fill sets what a test does not know.
func (s *Server) fill(file *config.Config) {
	file.Database.URL, file.Database.Guest = s.urls.URL, s.urls.Guest
	// Under the race detector, beside other tests, a guest compiles for long.
	file.Limits.CompileTimeout = max(file.Limits.CompileTimeout, compileTimeout)
	file.Plugins = s.Plugins
	for name, t := range file.Tenant {
		if _, made := s.tenants[name]; made && t.Guest == "" {
			t.Guest = s.guest(name)
		}
		t.Plugins, t.Limits.CompileTimeout = s.TenantDir(name), file.Limits.CompileTimeout
		file.Tenant[name] = t
	}
}

// TenantDir is the directory of a tenant's plugins.
func (s *Server) TenantDir(name string) string { return filepath.Join(s.Plugins, "tenants", name) }

// TenantRole is the role of a tenant's SQL.
func (s *Server) TenantRole(name string) string { return name + "_of_" + s.DB.Name }

func (s *Server) guest(name string) config.Secret {
	return config.Secret(s.DB.As(s.TenantRole(name), ""))
}

// makeTenants makes schemas, roles and directories.
func (s *Server) makeTenants(t testing.TB, tenants map[string]Tenant) {
	t.Helper()
	for name, tenant := range tenants {
		role := s.TenantRole(name)
		s.SQL(t, fmt.Sprintf(`create role %s login`, role))
		t.Cleanup(func() {
			s.DB.Exec(t, fmt.Sprintf(`select weir.tenant_dismiss('%[1]s'); drop owned by %[1]s; drop role %[1]s`, role))
		})
		s.SQL(t, fmt.Sprintf(`create schema %[1]s; set search_path = %[1]s; %[2]s;
			reset search_path;
			grant usage on schema %[1]s to weir, %[3]s;
			grant trigger on all tables in schema %[1]s to weir;
			grant select, insert, update, delete on all tables in schema %[1]s to %[3]s;
			select weir.tenant_admit('%[3]s', '%[1]s')`, name, tenant.Schema, role))
		if err := os.MkdirAll(s.TenantDir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		for file, code := range tenant.Modules {
			s.Write(t, filepath.Join("tenants", name, file), code)
		}
	}
}
