package host_test

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"weir/abi"
	"weir/host/config"
	"weir/host/hosttest"
	"weir/reactor"
)

// twoTenants is a file of two tenants beside default, each with a key of its own.
const twoTenants = `plugins = "plugins"
[server]
hosts = ["default.test"]
[tenant.acme]
hosts = ["acme.test"]
plugins = "acme"
grant = ["public"]
auth.keys = [{ issuer = "acme", audience = "weir", hs256 = "acme's secret, which is long enough for HS256" }]
[tenant.bolt]
hosts = ["bolt.test"]
plugins = "bolt"
grant = ["public"]
auth.keys = [{ issuer = "bolt", audience = "weir", hs256 = "bolt's secret, which is long enough for HS256" }]
`

// items is a table with the same rows in every tenant but for the first title.
func items(owner string) string {
	return `create table items (id int primary key, title text not null);
		insert into items values (1, '` + owner + `'), (2, 'of all')`
}

// listing is a plugin over items: a public query, one for the signed in, a
// mutation, and a query of equal content everywhere.
func listing() []byte { return named("items") }

// named is listing under another name than items.
func named(name string) []byte {
	zero, one, two := 0, 1, 2
	signedIn := abi.Access{SignedIn: true}
	m := abi.Manifest{
		Statements: []abi.Statement{
			{SQL: `select id, title from items order by id`},
			{SQL: `update items set title = title where id = 2`},
			{SQL: `select id, title from items where id = 2`},
		},
		Functions: []abi.Function{
			{Name: name + ".open", Kind: abi.Query, Statement: &zero, Access: abi.Access{Public: true}},
			{Name: name + ".list", Kind: abi.Query, Statement: &zero, Access: signedIn},
			{Name: name + ".touch", Kind: abi.Mutation, Statement: &one, Access: signedIn},
			{Name: name + ".same", Kind: abi.Query, Statement: &two, Access: signedIn},
		},
	}
	return guest(name, m, nil, constant(0))
}

// two starts a host of the tenants default, acme and bolt. Modules of cfg.Tenants
// are loaded beside listing.
func two(t *testing.T, cfg hosttest.Config) *hosttest.Server {
	t.Helper()
	if cfg.TOML == "" {
		cfg.TOML = twoTenants
	}
	more := cfg.Tenants
	cfg.Tenants = map[string]hosttest.Tenant{}
	for _, name := range []string{"acme", "bolt"} {
		modules := map[string][]byte{"items.wasm": listing()}
		maps.Copy(modules, more[name].Modules)
		cfg.Tenants[name] = hosttest.Tenant{Schema: items(name), Modules: modules}
	}
	return hosttest.Start(t, cfg)
}

// tokenOf is a token of a user of a tenant.
func tokenOf(t *testing.T, tenant string) string {
	t.Helper()
	return token(t, tenant+"'s secret, which is long enough for HS256", "iss", tenant)
}

// onHost does a request under a host name.
func onHost(t *testing.T, method, url, host, token, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// TestTenantsHaveTheSameNamesAndNothingElse: W7. Plugins and functions of equal
// names, by host name and by path, read the tables of their own tenant.
// Cases: 58, 83.
func TestTenantsHaveTheSameNamesAndNothingElse(t *testing.T) {
	t.Parallel()
	s := two(t, hosttest.Config{})
	for _, name := range []string{"acme", "bolt"} {
		want := fmt.Sprintf(`"title":%q`, name)
		if status, text := onHost(t, http.MethodGet, s.URL+"/v1/q/items.open", name+".test", "", ""); status != 200 || !strings.Contains(text, want) {
			t.Errorf("%s by host: %d %s", name, status, text)
		}
		if status, text := onHost(t, http.MethodGet, s.URL+"/t/"+name+"/v1/q/items.open", "default.test", "", ""); status != 200 || !strings.Contains(text, want) {
			t.Errorf("%s by path: %d %s", name, status, text)
		}
		if status, _ := onHost(t, http.MethodPost, s.URL+"/t/"+name+"/v1/call/items.touch", name+".test", tokenOf(t, name), `{}`); status != 200 {
			t.Errorf("%s: a mutation: %d", name, status)
		}
		stream := watch(t, s.URL+"/t/"+name+"/v1/q/items.open")
		stream.result(t)
		s.SQL(t, `update `+name+`.items set title = 'changed' where id = 1`)
		if got := stream.result(t).Rows[0]["title"]; got != "changed" {
			t.Errorf("%s: after a change %v", name, got)
		}
	}
	if status, text := onHost(t, http.MethodGet, s.URL+"/v1/q/items.open", "default.test", "", ""); status != 404 {
		t.Errorf("default has no such function: %d %s", status, text)
	}
	if status, _ := onHost(t, http.MethodGet, s.URL+"/t/cyan/v1/q/items.open", "default.test", "", ""); status != 404 {
		t.Errorf("a tenant that is not there: %d", status)
	}
	if status, _ := onHost(t, http.MethodGet, s.URL+"/v1/q/items.open", "cyan.test", "", ""); status != 421 {
		t.Errorf("a host that is nobody's: %d", status)
	}
}

// TestTokensOfOneTenantAreUselessForAnother: 403 at every endpoint, and another
// tenant's session is none.
func TestTokensOfOneTenantAreUselessForAnother(t *testing.T) {
	t.Parallel()
	s := two(t, hosttest.Config{})
	acme, bolt := s.URL+"/t/acme", tokenOf(t, "bolt")
	stream := session(t, acme+"/v1/stream", tokenOf(t, "acme"), `{"subs":[{"id":1,"q":"items.list"}]}`)
	sid := stream.named(t, "hello")["sid"].(string)
	for _, r := range []struct{ method, path, body string }{
		{http.MethodGet, "/v1/q/items.open", ""},
		{http.MethodGet, "/v1/q/items.list", ""},
		{http.MethodPost, "/v1/q/items.list", `{}`},
		{http.MethodPost, "/v1/call/items.touch", `{}`},
		{http.MethodPost, "/v1/stream", `{"subs":[]}`},
		{http.MethodGet, "/v1/stream", ""},
		{http.MethodPost, "/v1/stream/" + sid, `{"drop":[1]}`},
		{http.MethodGet, "/v1/schema", ""},
	} {
		if status, text := onHost(t, r.method, acme+r.path, "default.test", bolt, r.body); status != 403 || !strings.Contains(text, "another tenant") {
			t.Errorf("%s %s: %d %s, want 403", r.method, r.path, status, text)
		}
		if status, text := onHost(t, r.method, acme+r.path, "default.test", "x.y.z", r.body); status != 401 {
			t.Errorf("%s %s with garbage: %d %s, want 401", r.method, r.path, status, text)
		}
	}
	// The same principal's own tenant does not know the session.
	if status, text := onHost(t, http.MethodPost, s.URL+"/t/bolt/v1/stream/"+sid, "default.test", bolt, `{"drop":[1]}`); status != 404 || !strings.Contains(text, "session_gone") {
		t.Errorf("a session of another tenant: %d %s", status, text)
	}
}

// TestTenantsShareNothing: W4. Everything is equal but the tenant, and each has a
// run of its own.
// Cases: 19, 83.
func TestTenantsShareNothing(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex // protects the field below
	runs := map[string]int{}
	s := two(t, hosttest.Config{Observe: func(r reactor.Run) {
		mu.Lock()
		defer mu.Unlock()
		if r.Cause.Reason == reactor.First { // weir's own set-up is DDL that may still be in the log
			runs[r.Tenant+" "+r.Name]++
		}
	}})
	q := map[string]any{}
	for _, name := range []string{"acme", "bolt"} {
		for range 2 {
			stream := session(t, s.URL+"/t/"+name+"/v1/stream", tokenOf(t, name), `{"subs":[{"id":1,"q":"items.same"}]}`)
			q[name] = stream.named(t, "sub")["q"]
			stream.result(t)
		}
	}
	if q["acme"] == q["bolt"] {
		t.Errorf("two tenants share the group %v", q["acme"])
	}
	mu.Lock()
	defer mu.Unlock()
	if runs["acme items.same"] != 1 || runs["bolt items.same"] != 1 {
		t.Errorf("runs: %v", runs)
	}
}

// TestTenantsCannotReadEachOther: the role of a tenant reaches its own schema
// only, so that such a plugin is refused when it loads; so is one that claims what
// was not granted (G16), and one whose functions are there already.
// Cases: 46.
func TestTenantsCannotReadEachOther(t *testing.T) {
	t.Parallel()
	failed, onEvent := failures()
	s := two(t, hosttest.Config{Event: onEvent})
	f := func(name string, code []byte, want string) {
		t.Helper()
		s.Write(t, filepath.Join("tenants", "acme", name+".wasm"), code)
		if e := <-failed; !strings.Contains(e.Err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, e.Err, want)
		}
	}
	zero := 0
	of := func(name, sql string, change func(*abi.Function)) []byte {
		fn := abi.Function{Name: name + ".run", Kind: abi.Query, Statement: &zero, Access: abi.Access{SignedIn: true}}
		change(&fn)
		return guest(name, abi.Manifest{Statements: []abi.Statement{{SQL: sql}}, Functions: []abi.Function{fn}}, nil, constant(0))
	}
	none := func(*abi.Function) {}
	f("spy", of("spy", `select id, title from bolt.items order by id`, none), "bolt")
	f("claims", of("claims", `select id, $who as who from items order by id`, func(fn *abi.Function) {
		fn.Claims = []abi.Claim{{Name: "who", Claim: "email", Schema: abi.Schema{Type: "string"}}}
	}), `"claim:email"`)
	f("again", of("again", `select id from items order by id`, func(fn *abi.Function) { fn.Name = "items.list" }), "items.list is already in plugin items")
	if status, text := onHost(t, http.MethodGet, s.URL+"/t/acme/v1/q/items.open", "default.test", "", ""); status != 200 {
		t.Errorf("what served before: %d %s", status, text)
	}
}

// TestFilesThatMixTenantsAreRefused: in a sentence that says what to write.
func TestFilesThatMixTenantsAreRefused(t *testing.T) {
	t.Parallel()
	f := func(name, toml, want string) {
		t.Helper()
		_, err := config.Parse("weir.toml", []byte(toml), func(string) string { return "" })
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	change := func(from, to string) string { return strings.Replace(twoTenants, from, to, 1) }
	f("one host name", change("bolt.test", "acme.test"), "a host leads to one tenant")
	f("a host of default", change("bolt.test", "default.test"), "a host leads to one tenant")
	f("one audience", change(`issuer = "bolt"`, `issuer = "acme"`), "give each tenant an audience of its own")
	f("no role", twoTenants+"[database]\nurl = \"postgres://weir@db/app\"\nguest = \"postgres://g@db/app\"\n", "tenant.acme has no guest")
	f("a database of its own", twoTenants+"url = \"postgres://db/other\"\n", "give the tenant a schema and a guest role there")
	f("too few connections", twoTenants+"[database]\nconnections = 9\n", "weir's own 4 and those of the tenants are 10")
	f("a limit of the server", twoTenants+"[tenant.bolt.limits]\ncompile_timeout = \"1s\"\n", "bounds the whole server")
}

// TestATenantOfAnotherDatabaseIsRefused: its changes would never be seen. Nor is
// one taken without a role.
func TestATenantOfAnotherDatabaseIsRefused(t *testing.T) {
	t.Parallel()
	s := hosttest.Start(t, hosttest.Config{Schema: todos})
	for guest, want := range map[string]string{
		"postgres://x@localhost/elsewhere": "change log is one",
		"":                                 "has no guest",
	} {
		file := s.File(t, twoTenants)
		tenant := file.Tenant["acme"]
		tenant.Guest = config.Secret(guest)
		file.Tenant = map[string]config.Tenant{"acme": tenant}
		if err := s.Host.Reload(file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("guest %q: %v, want %q", guest, err, want)
		}
	}
}
