package host_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weir/abi"
	"weir/host"
	"weir/host/hosttest"
	"weir/host/wasm/wasmtest"
)

// conditionOf asks /readyz for one condition.
func conditionOf(t *testing.T, s *hosttest.Server, name string) (status int, ok bool, message string) {
	t.Helper()
	status, answer := get(t, s.Admin+"/readyz")
	for _, c := range answer["conditions"].([]any) {
		if c := c.(map[string]any); c["name"] == name {
			message, _ = c["message"].(string)
			return status, c["ok"] == true, message
		}
	}
	t.Fatalf("readyz has no %s: %v", name, answer)
	return 0, false, ""
}

// TestReloadIsAllOrNothing: an error in one tenant leaves all as it was, is told
// in a sentence and in /readyz, and takes no node away; the next file mends it.
func TestReloadIsAllOrNothing(t *testing.T) {
	t.Parallel()
	s := two(t, hosttest.Config{})
	stream := watch(t, s.URL+"/t/acme/v1/q/items.open")
	stream.result(t)
	calls := metric(t, s, "weir_plugin_calls_total")
	f := func(name, want string, toml string) {
		t.Helper()
		err := s.Host.Reload(s.File(t, toml))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want a sentence with %q", name, err, want)
		}
		if status, ok, message := conditionOf(t, s, "config"); status != 200 || ok || !strings.Contains(message, want) {
			t.Errorf("%s: readyz is %d, config %v %q", name, status, ok, message)
		}
		// acme's new limit did not come with it, nor did its host go.
		if status, text := onHost(t, http.MethodGet, s.URL+"/v1/q/items.open", "acme.test", "", ""); status != 200 {
			t.Errorf("%s: what served before: %d %s", name, status, text)
		}
	}
	change := func(pairs ...string) string {
		text := strings.NewReplacer(pairs...).Replace(twoTenants)
		return strings.Replace(text, `hosts = ["acme.test"]`, `hosts = ["moved.test"]`, 1)
	}
	f("a grant that a plugin lives by", `add "public" to grant of tenant bolt`, strings.Replace(change(), "plugins = \"bolt\"\ngrant = [\"public\"]", "plugins = \"bolt\"", 1))
	f("a role that is not there", "tenant cyan", change()+"[tenant.cyan]\nplugins = \"cyan\"\nguest = \"postgres://nobody@127.0.0.1:1/"+s.DB.Name+"\"\n")
	f("a key that is none", "tenant bolt", change("hs256 = \"bolt's secret, which is long enough for HS256\"", `public_key = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"`))
	f("an address", "server.listen cannot change while weir runs: restart weir", change("[server]", "[server]\nlisten = \":1\""))
	f("a limit of the server", "limits.total_executions cannot change", change()+"[limits]\ntotal_executions = 3\n")
	if err := s.Host.Reload(s.File(t, change("[server]", "[server]\nlisten = \":1\""))); !errors.Is(err, host.ErrRestart) {
		t.Errorf("an address: %v is no ErrRestart", err)
	}
	if err := s.Host.Reload(s.File(t, change())); err != nil {
		t.Fatal(err)
	}
	if _, ok, message := conditionOf(t, s, "config"); !ok {
		t.Errorf("mended: %s", message)
	}
	for name, want := range map[string]int{"acme.test": 421, "moved.test": 200} {
		if status, text := onHost(t, http.MethodGet, s.URL+"/v1/q/items.open", name, "", ""); status != want {
			t.Errorf("%s: %d %s, want %d", name, status, text, want)
		}
	}
	s.SQL(t, `update acme.items set title = 'still live' where id = 1`)
	if got := stream.result(t).Rows[0]["title"]; got != "still live" {
		t.Errorf("the stream shows %v", got)
	}
	if n := metric(t, s, "weir_plugin_calls_total"); n != calls {
		t.Errorf("plugins that did not change were loaded again: %v guest calls, %v before", n, calls)
	}
}

// TestReloadTakesTenantsInAndOut: a new one serves when Reload returns; one that
// is gone is as if it had never been, for its streams too.
func TestReloadTakesTenantsInAndOut(t *testing.T) {
	t.Parallel()
	s := two(t, hosttest.Config{})
	i := strings.Index(twoTenants, "[tenant.bolt]")
	open := []*stream{
		session(t, s.URL+"/t/bolt/v1/stream", tokenOf(t, "bolt"), `{"subs":[{"id":1,"q":"items.list"}]}`),
		watch(t, s.URL+"/t/bolt/v1/q/items.open"),
	}
	for _, st := range open {
		st.result(t)
	}
	if err := s.Host.Reload(s.File(t, twoTenants[:i])); err != nil {
		t.Fatal(err)
	}
	for _, st := range open {
		if got := st.named(t, "close")["reason"]; got != "tenant_removed" {
			t.Errorf("%s closes for %v", st.url, got)
		}
	}
	for path, want := range map[string]int{"/t/bolt/v1/q/items.open": 404, "/t/bolt/v1/schema": 404, "/t/acme/v1/q/items.list": 401} {
		if status, text := onHost(t, http.MethodGet, s.URL+path, "default.test", tokenOf(t, "bolt"), ""); status != want {
			t.Errorf("%s with a token of the removed tenant: %d %s, want %d", path, status, text, want)
		}
	}
	if status, _ := onHost(t, http.MethodGet, s.URL+"/v1/q/items.open", "bolt.test", "", ""); status != 421 {
		t.Errorf("its host: %d", status)
	}
	if err := s.Host.Reload(s.File(t, twoTenants)); err != nil {
		t.Fatal(err)
	}
	again := watch(t, s.URL+"/t/bolt/v1/q/items.open")
	again.result(t)
	s.SQL(t, `update bolt.items set title = 'back' where id = 1`)
	if got := again.result(t).Rows[0]["title"]; got != "back" {
		t.Errorf("after it came back: %v", got)
	}
}

// TestCountersGoOnOverReloads: also over one that makes a tenant's connections anew,
// and one that takes the tenant out.
func TestCountersGoOnOverReloads(t *testing.T) {
	t.Parallel()
	s := two(t, hosttest.Config{})
	i := strings.Index(twoTenants, "[tenant.bolt]")
	listed := strings.Replace(twoTenants, "plugins = \"bolt\"", "plugins = \"bolt\"\nsql.functions = [\"bolt.none\"]", 1)
	counters := []string{"weir_db_waves_total", "weir_db_dials_total", "weir_plugin_calls_total"}
	for _, text := range []string{listed, twoTenants[:i], twoTenants} {
		if status, _ := onHost(t, http.MethodGet, s.URL+"/t/bolt/v1/q/items.open", "default.test", "", ""); status != 200 && status != 404 {
			t.Errorf("a request: %d", status)
		}
		before := map[string]float64{}
		for _, name := range counters {
			before[name] = metric(t, s, name)
		}
		if err := s.Host.Reload(s.File(t, text)); err != nil {
			t.Fatal(err)
		}
		for _, name := range counters {
			if now := metric(t, s, name); now < before[name] {
				t.Errorf("%s was %v, and %v after a reload", name, before[name], now)
			}
		}
	}
}

// TestReloadChangesKeys: tokens are verified by the keys of now, at the next
// request; streams keep their token.
func TestReloadChangesKeys(t *testing.T) {
	t.Parallel()
	s := two(t, hosttest.Config{})
	stream := session(t, s.URL+"/t/acme/v1/stream", tokenOf(t, "acme"), `{"subs":[{"id":1,"q":"items.list"}]}`)
	stream.result(t)
	next := strings.ReplaceAll(twoTenants, "acme's secret", "quite another")
	if err := s.Host.Reload(s.File(t, next)); err != nil {
		t.Fatal(err)
	}
	fresh := token(t, "quite another, which is long enough for HS256", "iss", "acme")
	for key, want := range map[string]int{tokenOf(t, "acme"): 401, fresh: 200} {
		if status, text := onHost(t, http.MethodGet, s.URL+"/t/acme/v1/q/items.list", "default.test", key, ""); status != want {
			t.Errorf("%d %s, want %d", status, text, want)
		}
	}
	s.SQL(t, `update acme.items set title = 'on' where id = 1`)
	if got := stream.result(t).Rows[0]["title"]; got != "on" {
		t.Errorf("the stream shows %v", got)
	}
}

// reserved is a plugin of an open query and a policy that denies.
func reserved() []byte {
	zero, one := 0, 1
	m := abi.Manifest{
		Statements: []abi.Statement{{SQL: `select id, title from items order by id`}, {SQL: `select id from items where id = 99`}},
		Functions: []abi.Function{
			{Name: "items.open", Kind: abi.Query, Statement: &zero, Access: abi.Access{Public: true}},
			{Name: "never", Kind: abi.Policy, Statement: &one},
		},
	}
	return guest("items", m, nil, constant(0))
}

// TestReloadRequiresMoreOfOpenStreams: a policy that the file requires now guards
// what is watched already, and no longer when it is taken back.
// Cases: 87.
func TestReloadRequiresMoreOfOpenStreams(t *testing.T) {
	t.Parallel()
	s := two(t, hosttest.Config{})
	loaded := make(chan struct{})
	s.Write(t, filepath.Join("tenants", "acme", "items.wasm"), reserved())
	go func() {
		defer close(loaded)
		for {
			status, _ := tryGet(s.URL + "/t/acme/v1/q/items.list")
			if status == 404 {
				return
			}
		}
	}()
	<-loaded
	stream := session(t, s.URL+"/t/acme/v1/stream", "", `{"subs":[{"id":1,"q":"items.open"}]}`)
	other := session(t, s.URL+"/t/bolt/v1/stream", "", `{"subs":[{"id":1,"q":"items.open"}]}`)
	stream.result(t)
	other.result(t)
	guarded := strings.Replace(twoTenants, `plugins = "acme"`, "plugins = \"acme\"\nrequire = { \"items.*\" = [\"never\"] }", 1)
	if err := s.Host.Reload(s.File(t, guarded)); err != nil {
		t.Fatal(err)
	}
	stream.status(t, "denied")
	if err := s.Host.Reload(s.File(t, twoTenants)); err != nil {
		t.Fatal(err)
	}
	stream.result(t)
	s.SQL(t, `update bolt.items set title = 'untouched' where id = 1`)
	if got := other.result(t).Rows[0]["title"]; got != "untouched" {
		t.Errorf("the other tenant's stream shows %v", got)
	}
}

func tryGet(url string) (int, error) {
	resp, err := http.Get(url)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

// TestReloadedSettingsReachGuestsThatKeepThem: a guest asks once and remembers;
// after a reload no instance that remembers answers.
func TestReloadedSettingsReachGuestsThatKeepThem(t *testing.T) {
	t.Parallel()
	value := func(v string) string {
		return "plugins = \"plugins\"\n[plugin.memory]\ninstances = \"sticky\"\n[plugin.memory.config]\nword = \"" + v + "\"\n"
	}
	s := hosttest.Start(t, hosttest.Config{TOML: value("one"), Schema: todos, Modules: map[string][]byte{"memory.wasm": remembering()}})
	stream := watch(t, s.URL+"/v1/q/memory.word")
	want := func(word string) {
		t.Helper()
		e := stream.next(t, func(e event) bool { return e.kind == "" })
		if !strings.Contains(e.data, fmt.Sprintf(`"value":%q`, word)) {
			t.Errorf("the stream shows %s, want %s", e.data, word)
		}
	}
	want("one")
	for _, word := range []string{"two", "six", "one"} {
		if err := s.Host.Reload(s.File(t, value(word))); err != nil {
			t.Fatal(err)
		}
		want(word)
		if _, answer := get(t, s.URL+"/v1/q/memory.word"); answer["value"] != word {
			t.Errorf("asked: %v, want %s", answer, word)
		}
	}
}

// TestFileIsFollowed: a new file in the place of the old one, as editors and
// deployments put it, is reloaded; a mistake is told and mended.
func TestFileIsFollowed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "weir.toml")
	put := func(text string) {
		t.Helper()
		if err := os.WriteFile(path+"~", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+"~", path); err != nil {
			t.Fatal(err)
		}
	}
	told := make(chan host.Event, 16)
	base := "plugins = \"plugins\"\n"
	put(base)
	s := hosttest.Start(t, hosttest.Config{
		TOML: base, Path: path, Schema: todos, Modules: map[string][]byte{"todos.wasm": module(byList)},
		Event: func(e host.Event) {
			if e.Kind == host.ConfigReloaded || e.Kind == host.ConfigRefused {
				told <- e
			}
		},
	})
	put(base + "[limit]\n")
	if e := <-told; e.Kind != host.ConfigRefused || !strings.Contains(e.Err.Error(), "unknown key limit: did you mean limits?") {
		t.Errorf("a mistake: %v %v", e.Kind, e.Err)
	}
	// The file of this test names no database, which is a change of it.
	put(base + "[limits]\nsessions = 7\n")
	if e := <-told; e.Kind != host.ConfigRefused || !strings.Contains(e.Err.Error(), "database.url") {
		t.Errorf("another database: %v %v", e.Kind, e.Err)
	}
	s.Host.Reread()
	if e := <-told; e.Kind != host.ConfigRefused {
		t.Errorf("read again: %v %v", e.Kind, e.Err)
	}
	if status, ok, _ := conditionOf(t, s, "config"); status != 200 || ok {
		t.Errorf("readyz: %d, config %v", status, ok)
	}
}

// remembering is a guest that keeps the word of its configuration, which has three
// bytes, in its memory.
func remembering() []byte {
	const keyAt, flagAt, outAt = wasmtest.DataAt, wasmtest.DataAt + 64, wasmtest.DataAt + 128
	m := abi.Manifest{ABI: abi.Version, Name: "memory", Version: "1", Functions: []abi.Function{public("memory.word")}}
	answer := wasmtest.Pack(abi.TagValue, outAt, 4)
	set := func(at, v int32) []byte { return wasmtest.Join(wasmtest.I32(at), wasmtest.I32(v), wasmtest.Store()) }
	call := wasmtest.Join(
		// An input of no bytes is a warm-up: an image would remember its answer.
		wasmtest.Get(1), []byte{0x45}, wasmtest.If(wasmtest.Join(answer, wasmtest.Return())),
		wasmtest.I32(flagAt), wasmtest.Load(), wasmtest.If(wasmtest.Join(answer, wasmtest.Return())),
		set(outAt, 0x63), // the head of a text of three bytes
		wasmtest.I32(keyAt), wasmtest.I32(4), wasmtest.I32(outAt+1), wasmtest.I32(3), wasmtest.Invoke(0), wasmtest.Drop(),
		set(flagAt, 1), answer)
	return wasmtest.Guest{
		Manifest: abi.AppendManifest(nil, &m), Call: call,
		Imports: []wasmtest.Import{wasmtest.Host(abi.ImportConfig, "iiii:i")},
		Data:    map[uint32][]byte{keyAt: []byte("word")},
	}.Bytes()
}
