package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestDevServesEveryTenant: each has its role and schema on the private database,
// without a word about them in weir.toml; also one that comes while it runs, and
// tables that are made by hand.
func TestDevServesEveryTenant(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	text, schema := patient+"[dev]\nschema = \"schema.sql\"\n", ""
	one := func(name string) string {
		return fmt.Sprintf("[tenant.%[1]s]\nplugins = \"tenants/%[1]s\"\ngrant = [\"public\"]\n", name)
	}
	for _, name := range []string{"acme", "guest"} {
		text += one(name)
		schema += fmt.Sprintf("create schema %[1]s; create table %[1]s.items (id int primary key, title text); insert into %[1]s.items values (1, 'of %[1]s');\n", name)
		write(t, filepath.Join(dir, "tenants", name, "items.wasm"), string(itemsModule()))
	}
	file := filepath.Join(dir, "weir.toml")
	write(t, file, text)
	write(t, filepath.Join(dir, "schema.sql"), schema)
	forgetCluster(t, dir)
	out, errs, stop := background(t, dir, "dev", "--listen", "127.0.0.1:0")
	greeting := out.wait(t, "  change  ", 1)
	url := pageURL.FindString(greeting)
	for _, want := range []string{url + "/t/acme/v1/q/items.open?as=ann", "insert into acme.items (id) values (2)"} {
		if !strings.Contains(greeting, want) {
			t.Errorf("dev does not print %q:\n%s", want, greeting)
		}
	}
	f := func(name, want string) {
		t.Helper()
		if status, text := askHost(t, url+"/t/"+name+"/v1/q/items.mine?as=ann", "", ""); status != 200 || !strings.Contains(text, want) {
			t.Errorf("%s: %d %s, want %q", name, status, text, want)
		}
	}
	f("acme", "of acme")
	f("guest", "of guest")
	weir(t, dir, "sql", "insert into guest.items values (2, 'by hand')").must(t)
	f("guest", "by hand")

	edit(t, file, "[tenant.acme]", one("cyan")+"[tenant.acme]")
	out.wait(t, "configuration reloaded", 1)
	weir(t, dir, "sql", "create table cyan.items (id int primary key, title text); insert into cyan.items values (1, 'of cyan')").must(t)
	replace(t, filepath.Join(dir, "tenants", "cyan", "items.wasm"), string(itemsModule()))
	out.wait(t, "plugin loaded", 3)
	f("cyan", "of cyan")
	if code := stop(); code != 0 {
		text, _ := errs.now()
		t.Errorf("dev ends with %d: %s", code, text)
	}
}

// TestSourcesAreBuiltForTheirTenant: a source in a tenant's directory is its own,
// any other is of the tenant default, or of all when there is none.
func TestSourcesAreBuiltForTheirTenant(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, source := range []string{"app", "tenants/acme/notes"} {
		if err := os.MkdirAll(filepath.Join(dir, source), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	f := func(top string, want ...string) {
		t.Helper()
		write(t, filepath.Join(dir, "weir.toml"), top+"[dev]\nsources = [\"app\", \"tenants/acme/notes\"]\n"+
			"[tenant.acme]\nplugins = \"tenants/acme\"\n[tenant.bolt]\nplugins = \"tenants/bolt\"\n")
		p, err := (&Main{Dir: dir}).openProject(".")
		if err != nil {
			t.Fatal(err)
		}
		builds, err := p.builds()
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, b := range builds {
			rel, err := filepath.Rel(dir, b.output)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, rel)
		}
		if !slices.Equal(got, want) {
			t.Errorf("built to %v, want %v", got, want)
		}
	}
	f("plugins = \"plugins\"\n", "plugins/app.wasm", "tenants/acme/notes.wasm")
	f("", "tenants/acme/app.wasm", "tenants/bolt/app.wasm", "tenants/acme/notes.wasm")
}
