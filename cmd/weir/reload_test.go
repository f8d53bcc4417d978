package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"weir/abi"
	"weir/host/devdb/devdbtest"
	"weir/host/wasm/wasmtest"
)

// itemsModule is a plugin of two queries over items, one of them public, and a
// policy.
func itemsModule() []byte {
	list, always := 0, 1
	m := abi.Manifest{
		ABI: abi.Version, Name: "items", Version: "1",
		Statements: []abi.Statement{{SQL: "select id, title from items order by id"}, {SQL: "select 1 as one"}},
		Functions: []abi.Function{
			{Name: "items.open", Kind: abi.Query, Statement: &list, Access: abi.Access{Public: true}},
			{Name: "items.mine", Kind: abi.Query, Statement: &list, Access: abi.Access{SignedIn: true}},
			{Name: "always", Kind: abi.Policy, Statement: &always},
		},
	}
	return wasmtest.Guest{Manifest: abi.AppendManifest(nil, &m)}.Bytes()
}

// twoTenants makes a project of the tenants acme and bolt with their roles, as an
// operator would, and returns its directory and its weir.toml.
func twoTenants(t *testing.T) (dir, text string) {
	t.Helper()
	db := devdbtest.New(t)
	dir = t.TempDir()
	weirName := "weir_" + db.Name
	t.Cleanup(func() { weir(t, dir, "db", "uninstall", "--admin-url", db.URL) })
	weir(t, dir, "db", "setup", "--admin-url", db.URL, "--weir-role", weirName, "--guest-role", "guest_"+db.Name).must(t)
	text = patient + "[server]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"localhost:0\"\n" +
		"[database]\nurl = \"" + db.As(weirName, "") + "\"\n"
	for _, name := range []string{"acme", "bolt"} {
		role := name + "_" + db.Name
		db.Exec(t, fmt.Sprintf(`create schema %[1]s; create table %[1]s.items (id int primary key, title text); insert into %[1]s.items values (1, 'of %[1]s')`, name))
		t.Cleanup(func() { db.Exec(t, "drop owned by "+role+"; drop role "+role) })
		weir(t, dir, "tenant", "init", name, "--admin-url", db.URL, "--role", role, "--weir-role", weirName, "--read", "items").must(t)
		db.Exec(t, fmt.Sprintf(`grant usage on schema %[1]s to %[2]s; grant trigger on %[1]s.items to %[2]s`, name, weirName))
		write(t, filepath.Join(dir, name, "items.wasm"), string(itemsModule()))
		write(t, filepath.Join(dir, name+".key"), strings.Repeat(name[:1], 32))
		text += fmt.Sprintf("[tenant.%[1]s]\nplugins = %[1]q\nguest = %[2]q\nhosts = [\"%[1]s.test\"]\ntrust = \"trusted\"\n"+
			"auth.keys = [{ issuer = %[1]q, audience = \"weir\", hs256_file = \"%[1]s.key\" }]\n", name, db.As(role, ""))
	}
	write(t, filepath.Join(dir, "weir.toml"), text)
	return dir, text
}

// replace puts a file in the place of another, as deployments do.
func replace(t *testing.T, path, text string) {
	t.Helper()
	write(t, path+"~", text)
	if err := os.Rename(path+"~", path); err != nil {
		t.Fatal(err)
	}
}

// askHost asks for a path under a host name.
func askHost(t *testing.T, url, name, token string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = name
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(r)
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

// TestServeReloadsItsFileAllOrNothing: a process with two tenants follows its file,
// reads it again with what it names on SIGHUP, and takes nothing of a file that is
// wrong in one tenant.
func TestServeReloadsItsFileAllOrNothing(t *testing.T) {
	t.Parallel()
	dir, text := twoTenants(t)
	file := filepath.Join(dir, "weir.toml")
	log, signal, wait := process(t, dir, "serve")
	url := servedURL.FindStringSubmatch(log.wait(t, "plugin loaded", 2))[1]
	token := func(name, key string) string {
		return strings.TrimSpace(weir(t, dir, "token", "--key", key, "--claim", "iss="+name, "--claim", "aud=weir", "--claim", "sub=ann").must(t))
	}
	f := func(what, path, host, token string, want int) {
		t.Helper()
		if status, text := askHost(t, url+"/v1/q/"+path, host, token); status != want {
			t.Errorf("%s: %s of %s: %d %s, want %d", what, path, host, status, text, want)
		}
	}
	for _, name := range []string{"acme", "bolt"} {
		f("at first", "items.open", name+".test", "", 200)
		f("at first", "items.mine", name+".test", token(name, name+".key"), 200)
	}

	// A good file is followed, without a signal.
	moved := strings.Replace(text, "acme.test", "moved.test", 1)
	replace(t, file, moved)
	log.wait(t, "configuration reloaded", 1)
	f("followed", "items.open", "moved.test", "", 200)
	f("followed", "items.open", "acme.test", "", 421)

	// What the file names is read again on SIGHUP, and only then.
	old := token("bolt", "bolt.key")
	replace(t, filepath.Join(dir, "bolt.key"), strings.Repeat("z", 32))
	f("before SIGHUP", "items.mine", "bolt.test", old, 200)
	signal(syscall.SIGHUP)
	log.wait(t, "configuration reloaded", 2)
	f("after SIGHUP", "items.mine", "bolt.test", old, 401)
	f("after SIGHUP", "items.mine", "bolt.test", token("bolt", "bolt.key"), 200)

	// One tenant of the next file is wrong: nothing of it is taken.
	wrong := strings.Replace(moved, "moved.test", "acme.test", 1)
	wrong = strings.Replace(wrong, "plugins = \"bolt\"", "plugins = \"bolt\"\nrequire = { \"items.*\" = [\"alway\"] }", 1)
	replace(t, file, wrong)
	signal(syscall.SIGHUP)
	said := log.wait(t, "configuration refused", 1)
	if want := `tenant bolt: require \"items.*\" names the policy \"alway\", but no plugin has it: there is always; did you mean \"always\"?`; !strings.Contains(said, want) {
		t.Errorf("the log does not say %s:\n%s", want, said)
	}
	f("refused", "items.open", "moved.test", "", 200)
	f("refused", "items.open", "acme.test", "", 421)
	f("refused", "items.open", "bolt.test", "", 200)

	signal(syscall.SIGTERM)
	if code := wait(); code != 0 {
		said, _ := log.now()
		t.Errorf("exit %d: %s", code, said)
	}
}

// TestServeDoesNotStartWithoutARequiredPolicy: the sentence is the end of it.
func TestServeDoesNotStartWithoutARequiredPolicy(t *testing.T) {
	t.Parallel()
	dir, text := twoTenants(t)
	write(t, filepath.Join(dir, "weir.toml"), strings.Replace(text, "plugins = \"bolt\"", "plugins = \"bolt\"\nrequire = { \"items.*\" = [\"nobody\"] }", 1))
	out := weir(t, dir, "serve")
	last := out.errors[strings.LastIndex(strings.TrimSpace(out.errors), "\n")+1:]
	if want := `weir: serve: tenant bolt: require "items.*" names the policy "nobody", but no plugin has it: there is always` + "\n"; out.code != 1 || last != want {
		t.Errorf("exit %d: %q, want %q", out.code, last, want)
	}
}
