package host_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/abi"
	"weir/host"
	"weir/host/auth"
	"weir/host/hosttest"
	"weir/host/wasm/wasmtest"
	"weir/reactor"
)

const secret = "a secret of the test, long enough for HS256"

const withKey = `plugins = "plugins"
[auth]
claims = { org = "org.name" }
[[auth.keys]]
issuer = "https://id.test"
audience = "weir"
hs256 = "` + secret + `"
`

// claims are those of a good token, changed by pairs of name and value; nil takes
// a claim out.
func claims(pairs ...any) map[string]any {
	now := time.Now()
	c := map[string]any{"iss": "https://id.test", "aud": "weir", "sub": "ann", "exp": now.Add(time.Hour).Unix(), "iat": now.Unix()}
	for i := 0; i < len(pairs); i += 2 {
		if c[pairs[i].(string)] = pairs[i+1]; pairs[i+1] == nil {
			delete(c, pairs[i].(string))
		}
	}
	return c
}

func token(t *testing.T, key string, pairs ...any) string {
	t.Helper()
	text, err := auth.Mint([]byte(key), claims(pairs...))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// unsigned is a token of the algorithm none.
func unsigned(t *testing.T) string {
	t.Helper()
	body, err := json.Marshal(claims())
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + encode(body) + "."
}

// claiming assembles a plugin of three queries over todos: with the claim org,
// with the claim sub, and with none.
func claiming() []byte {
	zero, one := 0, 1
	text := abi.Schema{Type: "string"}
	signedIn := abi.Access{SignedIn: true}
	m := abi.Manifest{
		Statements: []abi.Statement{
			{SQL: `select id, title from todos where title like $who || '%' order by id`},
			{SQL: `select id, title from todos order by id`},
		},
		Functions: []abi.Function{
			{Name: "of.org", Kind: abi.Query, Statement: &zero, Access: signedIn, Claims: []abi.Claim{{Name: "who", Claim: "org", Schema: text}}},
			{Name: "of.me", Kind: abi.Query, Statement: &zero, Access: signedIn, Claims: []abi.Claim{{Name: "who", Claim: "sub", Schema: text}}},
			{Name: "of.all", Kind: abi.Query, Statement: &one, Access: signedIn},
		},
	}
	return guest("claiming", m, nil, wasmtest.Unreachable())
}

// TestTokens: only a token that is signed with the key, for this server, now, is
// a caller; without one nothing that needs a caller is told.
func TestTokens(t *testing.T) {
	t.Parallel()
	s := hosttest.Start(t, hosttest.Config{TOML: withKey, Schema: todos, Modules: map[string][]byte{"c.wasm": claiming()}})
	f := func(name, token string, status int, code string) {
		t.Helper()
		got, a := decode(t, request(t, http.MethodGet, s.URL+"/v1/q/of.all", token, ""))
		if a["code"] == nil {
			a["code"] = ""
		}
		if got != status || a["code"] != code {
			t.Errorf("%s: %d %v, want %d %s", name, got, a, status, code)
		}
	}
	good := token(t, secret)
	f("good", good, 200, "")
	f("none at all", "", 401, "unauthenticated")
	f("expired", token(t, secret, "exp", time.Now().Add(-time.Minute).Unix()), 401, "expired")
	f("without exp", token(t, secret, "exp", nil), 401, "expired")
	f("not yet", token(t, secret, "nbf", time.Now().Add(time.Hour).Unix()), 401, "unauthenticated")
	f("wrong key", token(t, strings.ToUpper(secret)), 401, "unauthenticated")
	f("other issuer", token(t, secret, "iss", "https://evil.test"), 401, "unauthenticated")
	f("other audience", token(t, secret, "aud", "bank"), 401, "unauthenticated")
	f("alg none", unsigned(t), 401, "unauthenticated")
	f("signature cut off", good[:strings.LastIndex(good, ".")+1], 401, "unauthenticated")
	f("garbage", "x.y.z", 401, "unauthenticated")
	f("long", good+strings.Repeat("a", 9000), 413, "too_large")
}

// TestClaimsAreTheOnlyDifference: W4. Users share one group, one run and one
// frame unless the function declares a claim in which they differ.
// Cases: 78, 79.
func TestClaimsAreTheOnlyDifference(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex // protects the field below
	groups := map[string]map[string]int{}
	s := hosttest.Start(t, hosttest.Config{
		TOML: withKey, Modules: map[string][]byte{"c.wasm": claiming()},
		Schema: `create table todos (id int primary key, title text not null);
			insert into todos values (1, 'acme todo'), (2, 'ann todo'), (3, 'bob todo'), (4, 'evil todo');`,
		Observe: func(r reactor.Run) {
			mu.Lock()
			defer mu.Unlock()
			if r.Cause.Reason != reactor.First {
				return // weir's own set-up is DDL that may still be in the log
			}
			if groups[r.Name] == nil {
				groups[r.Name] = map[string]int{}
			}
			groups[r.Name][r.Query]++
		},
	})
	user := func(name, org string) string {
		return token(t, secret, "sub", name, "org", map[string]any{"name": org})
	}
	f := func(name string, want map[string][]string) {
		t.Helper()
		for who, titles := range want {
			tok := user(who, "acme")
			if who == "eve" {
				tok = user(who, "evil")
			}
			stream := session(t, s.URL+"/v1/stream", tok, `{"subs":[{"id":1,"q":"`+name+`"}]}`)
			var got []string
			for _, row := range stream.result(t).Rows {
				got = append(got, row["title"].(string))
			}
			if strings.Join(got, ",") != strings.Join(titles, ",") {
				t.Errorf("%s sees of %s: %v, want %v", who, name, got, titles)
			}
		}
	}
	all := []string{"acme todo", "ann todo", "bob todo", "evil todo"}
	f("of.org", map[string][]string{"ann": {"acme todo"}, "bob": {"acme todo"}, "eve": {"evil todo"}})
	f("of.me", map[string][]string{"ann": {"ann todo"}, "bob": {"bob todo"}, "eve": nil})
	f("of.all", map[string][]string{"ann": all, "bob": all, "eve": all})
	metric(t, s, "weir_reactor_executions_total") // the loop has told of every run
	mu.Lock()
	defer mu.Unlock()
	for name, want := range map[string]int{"of.org": 2, "of.me": 3, "of.all": 1} {
		if len(groups[name]) != want {
			t.Errorf("%s has %d groups, want %d", name, len(groups[name]), want)
		}
		for group, runs := range groups[name] {
			if runs != 1 {
				t.Errorf("group %s of %s ran %d times", group, name, runs)
			}
		}
	}
}

// TestMissingClaimOfAFunction: who has no token is asked to sign in; who has one
// without the claim is denied. A client cannot set it.
func TestMissingClaimOfAFunction(t *testing.T) {
	t.Parallel()
	s := hosttest.Start(t, hosttest.Config{TOML: withKey, Schema: todos, Modules: map[string][]byte{"c.wasm": claiming()}})
	f := func(query, token string, status int, code string) {
		t.Helper()
		if got, a := decode(t, request(t, http.MethodGet, s.URL+"/v1/q/"+query, token, "")); got != status || a["code"] != code {
			t.Errorf("%s: %d %v, want %d %s", query, got, a, status, code)
		}
	}
	f("of.org", "", 401, "unauthenticated")
	f("of.org", token(t, secret), 403, "denied")
	f("of.org", token(t, secret, "org", map[string]any{"name": 7}), 403, "denied")
	f("of.org?who=acme", token(t, secret), 400, "bad_request")
	f("of.org?org=acme", token(t, secret), 400, "bad_request")
}

// TestDevelopmentIdentities: ?as= and dev: tokens are users on loopback.
func TestDevelopmentIdentities(t *testing.T) {
	t.Parallel()
	s := hosttest.Start(t, hosttest.Config{Schema: todos, Modules: map[string][]byte{"c.wasm": claiming()}})
	if status, a := get(t, s.URL+"/v1/q/of.all?as=ann"); status != 200 {
		t.Errorf("?as=ann: %d %v", status, a)
	}
	if status, a := decode(t, request(t, http.MethodGet, s.URL+"/v1/q/of.all", "dev:ann", "")); status != 200 {
		t.Errorf("dev:ann: %d %v", status, a)
	}
	if status, a := get(t, s.URL+"/v1/q/of.all?as=%00"); status != 401 {
		t.Errorf("?as= with NUL: %d %v", status, a)
	}
}

// TestSandboxedPluginsNeedGrants: G16. The sentence says which line to add; with
// it the plugin loads.
func TestSandboxedPluginsNeedGrants(t *testing.T) {
	t.Parallel()
	f := func(name, grant string, module []byte, want string) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			failed, onEvent := failures()
			s := hosttest.Start(t, hosttest.Config{
				TOML:   "trust = \"sandboxed\"\ngrant = [" + grant + "]\n" + withKey,
				Schema: todos, Modules: map[string][]byte{"p.wasm": module}, Event: onEvent,
			})
			if want == "" {
				if len(failed) > 0 {
					t.Errorf("refused: %v", (<-failed).Err)
				}
				return
			}
			if e := <-failed; !strings.Contains(e.Err.Error(), want) {
				t.Errorf("the refusal %q does not say %q", e.Err, want)
			}
			if status, a := get(t, s.URL+"/v1/q/todos.list?list=1"); status != 404 {
				t.Errorf("it serves: %d %v", status, a)
			}
		})
	}
	f("public", ``, module(byList), `todos.list is public: add "public" to grant of tenant default`)
	f("public granted", `"public"`, module(byList), "")
	f("claim", `"public"`, claiming(), `of.org reads the claim org: add "claim:org" to grant of tenant default`)
	f("claim granted", `"claim:org"`, claiming(), "")
	f("dynamic", `"public"`, dynamic(true), `it asks for the capability "sql.dynamic": add it to grant of tenant default`)
	f("dynamic granted", `"public", "sql.dynamic"`, dynamic(true), "")
	f("dynamic unasked", `"public", "sql.dynamic"`, dynamic(false), `it imports query_sql without asking for the capability: add "sql.dynamic"`)
}

// dynamic assembles a plugin that makes up its SQL.
func dynamic(asks bool) []byte { return dynamicGuest(`select id, text from notes order by id`, asks) }

// dynamicSQL assembles one that runs the given SQL.
func dynamicSQL(sql string) []byte { return dynamicGuest(sql, true) }

func dynamicGuest(sql string, asks bool) []byte {
	m := abi.Manifest{ABI: abi.Version, Name: "dynamic", Version: "1", Functions: []abi.Function{public("notes.all")}}
	if asks {
		m.Capabilities = []string{"sql.dynamic"}
	}
	return wasmtest.Guest{
		Manifest: abi.AppendManifest(nil, &m),
		Imports:  []wasmtest.Import{wasmtest.Host(abi.ImportQuerySQL, "iiii:i")},
		Data:     map[uint32][]byte{wasmtest.DataAt: []byte(sql)},
		Call: wasmtest.Join(wasmtest.I32(wasmtest.DataAt), wasmtest.I32(int32(len(sql))), wasmtest.I32(0), wasmtest.I32(0),
			wasmtest.Invoke(0), wasmtest.PackHandle()),
	}.Bytes()
}

// TestDynamicSQLIsLive: its tables are captured before it is first run, though
// no manifest names them; trust alone does not grant it.
func TestDynamicSQLIsLive(t *testing.T) {
	t.Parallel()
	const notes = `create table notes (id int primary key, text text not null); insert into notes values (1, 'first');`
	s := hosttest.Start(t, hosttest.Config{
		TOML: "plugins = \"plugins\"\ngrant = [\"sql.dynamic\"]\n", Schema: notes,
		Modules: map[string][]byte{"d.wasm": dynamic(true)},
	})
	stream := watch(t, s.URL+"/v1/q/notes.all")
	if got := stream.result(t).Rows; len(got) != 1 || got[0]["text"] != "first" {
		t.Fatalf("got %v", got)
	}
	s.SQL(t, `update notes set text = 'second'`)
	if got := stream.result(t).Rows[0]["text"]; got != "second" {
		t.Errorf("after a change: %v", got)
	}
	s.SQL(t, `alter table notes add column extra int; insert into notes values (2, 'third')`)
	if got := stream.result(t).Rows; len(got) != 2 {
		t.Errorf("after its table changed: %v", got)
	}

	failed, onEvent := failures()
	hosttest.Start(t, hosttest.Config{Schema: notes, Modules: map[string][]byte{"d.wasm": dynamic(true)}, Event: onEvent})
	if e := <-failed; e.Kind != host.PluginFailed || !strings.Contains(e.Err.Error(), "sql.dynamic") {
		t.Errorf("a trusted plugin without the grant: %v", e)
	}
}
