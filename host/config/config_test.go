package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

// environment is what ${…} sees in tests.
var environment = map[string]string{
	"DATABASE_URL":       "postgres://weir:canary-weir@db/chat",
	"GUEST_DATABASE_URL": "postgres://weir_guest:canary-guest@db/chat",
	"ACME_GUEST_URL":     "postgres://acme:canary-acme@db/chat",
	"NAME":               "chat",
	"NESTED":             "${NAME}",
	"QUOTES":             "a\"\n[server]\nlisten = \":1\"",
}

func getenv(name string) string { return environment[name] }

// The number of cores is not that of every machine.
var cores = regexp.MustCompile(`(?m)^running_guests = \d+ `)

// TestGolden runs testdata/golden. D8: errors.txt has the operator's address that others
// can reach. `parse` gives the errors, or what is not a
// default; `dump` gives everything.
func TestGolden(t *testing.T) {
	t.Parallel()
	datadriven.Walk(t, "testdata/golden", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, td *datadriven.TestData) string {
			c, err := Parse("weir.toml", []byte(td.Input), getenv)
			if err != nil {
				return err.Error() + "\n"
			}
			var out bytes.Buffer
			if err := c.Dump(&out); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(out.String(), "canary") {
				t.Errorf("K4: the dump shows a secret:\n%s", out.String())
			}
			if td.Cmd == "dump" {
				return cores.ReplaceAllString(out.String(), "running_guests = N ")
			}
			return notDefault(out.String())
		})
	})
}

// notDefault keeps the lines that are set and the headers above them.
func notDefault(dump string) string {
	var out, header []string
	for line := range strings.Lines(dump) {
		switch {
		case strings.HasPrefix(line, "["):
			header = []string{line}
		case strings.HasSuffix(line, "# set\n"):
			out = append(append(out, header...), strings.Join(strings.Fields(line), " ")+"\n")
			header = nil
		}
	}
	return strings.Join(out, "")
}

func mustParse(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse("weir.toml", []byte(text), getenv)
	if err != nil {
		t.Fatalf("Parse: %v", err)
	}
	return c
}

// An empty file is a whole configuration: the first five minutes need none.
func TestEmptyFileIsTheDefault(t *testing.T) {
	t.Parallel()
	var empty, deflt bytes.Buffer
	if err := mustParse(t, "").Dump(&empty); err != nil {
		t.Fatal(err)
	}
	if err := Default().Dump(&deflt); err != nil {
		t.Fatal(err)
	}
	if empty.String() != deflt.String() {
		t.Errorf("empty file:\n%s\ndefault:\n%s", &empty, &deflt)
	}
	if err := Default().Validate(); err != nil {
		t.Errorf("the default is not valid: %v", err)
	}
}

// What Dump writes, Parse reads as the same configuration.
func TestDumpIsReadBackAsTheSame(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/full.toml")
	if err != nil {
		t.Fatal(err)
	}
	first := mustParse(t, string(text))
	var dump, again bytes.Buffer
	if err := first.Dump(&dump); err != nil {
		t.Fatal(err)
	}
	// Secrets cannot come back; anything that passes the rules stands for them.
	n := 0
	hidden := strings.ReplaceAll(dump.String(), `token = "***"`, `token = "${DATABASE_URL}"`)
	masked := regexp.MustCompile(`"\*\*\*"`).ReplaceAllStringFunc(hidden, func(string) string {
		n++
		return fmt.Sprintf(`"postgres://role%d:with-a-password-long-enough@db/chat"`, n)
	})
	second := mustParse(t, masked)
	if err := second.Dump(&again); err != nil {
		t.Fatal(err)
	}
	marks := regexp.MustCompile(`(?m) *# (default|set|from limits)$`)
	if a, b := marks.ReplaceAllString(dump.String(), ""), marks.ReplaceAllString(again.String(), ""); a != b {
		t.Errorf("first:\n%s\nagain:\n%s", a, b)
	}
}

// K4: whatever prints a Config does not print its secrets.
func TestSecretsDoNotPrint(t *testing.T) {
	t.Parallel()
	c := mustParse(t, "[database]\nurl = \"${DATABASE_URL}\"\n[[auth.keys]]\nissuer = \"i\"\naudience = \"a\"\nhs256 = \"canary-canary-canary-canary-canary-\"\n[plugin.p.config]\ntoken = \"x${DATABASE_URL}\"")
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "url", c.Database.URL, "config", c)
	asJSON, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var dump bytes.Buffer
	if err := c.Dump(&dump); err != nil {
		t.Fatal(err)
	}
	for _, printed := range []string{
		fmt.Sprint(c), fmt.Sprintf("%+v", *c), fmt.Sprintf("%#v", c.Database), fmt.Sprintf("%s %v %q", c.Database.URL, c.Database.URL, c.Database.URL),
		fmt.Sprintf("%#v %v %+v %q", c.Plugin["p"], c.Plugin, c.Plugin["p"].Config, c.Plugin["p"].Config["token"]),
		log.String(), string(asJSON), dump.String(),
	} {
		if strings.Contains(printed, "canary") {
			t.Errorf("a secret is printed: %s", printed)
		}
	}
	if got, want := c.Database.URL.Reveal(), environment["DATABASE_URL"]; got != want {
		t.Errorf("Reveal = %q, want %q", got, want)
	}
	if got, want := c.Plugin["p"].Settings()["token"], "x"+environment["DATABASE_URL"]; got != want {
		t.Errorf("Settings = %q, want %q", got, want)
	}
}

// A plugin's configuration is text to it, and belongs to one tenant.
func TestPluginsAreConfigured(t *testing.T) {
	t.Parallel()
	c := mustParse(t, `
plugins = "own"
[plugin.chat.config]
text = "a $${b} ${NAME}"
whole = -30
ratio = 1.0
small = 1e-9
large = 1_000e30
beta = true
"smtp.user" = ""
[plugin.notes]
instances = "sticky"
[tenant.acme]
plugins = "acme"
plugin.chat.config.text = "hi"
`)
	want := map[string]string{
		"text": "a ${b} chat", "whole": "-30", "ratio": "1.0", "small": "1e-09", "large": "1e+33", "beta": "true", "smtp.user": "",
	}
	list := c.Tenants()
	if got := list[0].Plugin["chat"].Settings(); !reflect.DeepEqual(got, want) {
		t.Errorf("default: %q, want %q", got, want)
	}
	if got := list[0].Plugin["notes"].Settings(); got != nil {
		t.Errorf("notes: %q", got)
	}
	if got := list[1].Plugin["chat"].Settings(); !reflect.DeepEqual(got, map[string]string{"text": "hi"}) {
		t.Errorf("acme: %q", got)
	}
	if a, b := list[0].Plugin["notes"].Instances, list[1].Plugin["chat"].Instances; a != "sticky" || b != "pristine" {
		t.Errorf("instances: %q and %q", a, b)
	}
	long := strings.Repeat("x", maxSetting+1)
	if _, err := Parse("weir.toml", []byte("[plugin.p.config]\nk = '"+long+"'"), getenv); err == nil || strings.Contains(err.Error(), "xx") {
		t.Errorf("a value that is too long: %.200v", err)
	}
}

// K5: off is -1 inside, so that it differs from a limit that is not set.
func TestZeroIsOffWhereThatIsAllowed(t *testing.T) {
	t.Parallel()
	c := mustParse(t, "[limits]\nresync_sweep = 0\nlinger = \"0s\"\naddress_sessions = 0\n[tenant.a]\nplugins = \"a\"\nlimits.linger = \"1s\"")
	a := c.Tenant["a"].Limits
	got := []any{c.Limits.ResyncSweep, c.Limits.Linger, c.Limits.MaxAddressSessions, a.ResyncSweep, a.Linger}
	want := []any{time.Duration(-1), time.Duration(-1), -1, time.Duration(-1), time.Second}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// Tenants inherit [limits] and nothing else.
func TestTenantsInheritLimitsOnly(t *testing.T) {
	t.Parallel()
	c := mustParse(t, `
plugins = "own"
grant = ["public"]
[auth]
claims = { roles = "r" }
[limits]
executions = 3
[tenant.acme]
plugins = "acme"
[tenant.acme.limits]
sessions = 7
`)
	list := c.Tenants()
	if len(list) != 2 || list[0].Name != "default" || list[1].Name != "acme" {
		t.Fatalf("tenants: %+v", list)
	}
	deflt, acme := list[0], list[1]
	if acme.Limits.MaxExecutions != 3 || acme.Limits.MaxSessions != 7 || acme.Limits.MaxGroups != 50_000 {
		t.Errorf("limits of acme: %+v", acme.Limits)
	}
	if deflt.Limits.MaxSessions != 10_000 || deflt.Trust != "trusted" || deflt.Schema != "public" || !reflect.DeepEqual(deflt.Grant, []string{"public"}) {
		t.Errorf("default: %+v", deflt)
	}
	if len(acme.Auth.Claims) != 0 || len(acme.Grant) != 0 || acme.Trust != "sandboxed" || acme.Schema != "acme" || acme.Weight != 1 {
		t.Errorf("acme: %+v", acme)
	}
}

// K3: what a variable holds is a value, never text of the file.
func TestVariablesCannotAddKeys(t *testing.T) {
	t.Parallel()
	c := mustParse(t, "server.web = \"/${QUOTES}\"\nplugins = \"/${NESTED}/$${NAME}/$NAME\"")
	if want := "/" + environment["QUOTES"]; c.Server.Web != want || c.Server.Listen != ":8090" {
		t.Errorf("web = %q, listen = %q", c.Server.Web, c.Server.Listen)
	}
	if want := "/${NAME}/${NAME}/$NAME"; c.Plugins != want {
		t.Errorf("plugins = %q, want %q", c.Plugins, want)
	}
}

// K4: a secret in the wrong place is not repeated by the error about it.
func TestErrorsDoNotRepeatVariables(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"server.listen = \"${DATABASE_URL}\"", "admin.listen = \"${DATABASE_URL}\"", "server.hosts = [\"${DATABASE_URL}\"]", "server.origins = [\"${DATABASE_URL}\"]",
		"server.trusted_proxies = [\"${DATABASE_URL}\"]", "limits.result_bytes = \"${DATABASE_URL}\"", "limits.linger = \"${DATABASE_URL}\"", "trust = \"${DATABASE_URL}\"",
		"grant = [\"${DATABASE_URL}\"]", "require.x = [\"${DATABASE_URL} \"]", "sql.functions = [\"${DATABASE_URL}\"]", "[tenant.a]\nplugins = \"p\"\nschema = \"pg_${DATABASE_URL}\"",
		"[[auth.keys]]\nissuer = \"i\"\naudience = \"a\"\njwks = \"${DATABASE_URL}\"\nalgorithm = \"${DATABASE_URL}\"",
	} {
		if _, err := Parse("weir.toml", []byte(text), getenv); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// K2, K6: Load reads the files beside it and reports all that is wrong.
func TestLoadReadsSecretsBesideTheFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	secret := strings.Repeat("s", 40)
	write("url", "postgres://u:p@db/x\n")
	write("key", secret+"\r\n")
	write("short", "tiny")
	write("empty", "\n")
	write("good.toml", `
plugins = "plugins"
database.url_file = "url"
[[auth.keys]]
issuer = "i"
audience = "a"
hs256_file = "key"
[tenant.a]
plugins = "a"
guest_file = "`+filepath.Join(dir, "key")+`"
`)
	c, err := Load(filepath.Join(dir, "good.toml"))
	if err == nil || !strings.Contains(err.Error(), "tenant.a.guest is not a PostgreSQL URL") {
		t.Fatalf("a guest that is no URL: %v, %v", c, err)
	}
	write("key2", "postgres://g:p@db/x")
	good, _ := os.ReadFile(filepath.Join(dir, "good.toml"))
	write("good.toml", strings.Replace(string(good), filepath.Join(dir, "key"), "key2", 1))
	c, err = Load(filepath.Join(dir, "good.toml"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Database.URL.Reveal() != "postgres://u:p@db/x" || c.Auth.Keys[0].HS256.Reveal() != secret || c.Tenant["a"].Guest.Reveal() != "postgres://g:p@db/x" {
		t.Error("the secrets were not read")
	}
	if want := filepath.Join(dir, "plugins"); c.Plugins != want {
		t.Errorf("plugins = %q, want %q", c.Plugins, want)
	}

	write("bad.toml", `
[database]
url_file = "absent"
guest_file = "."
[[auth.keys]]
issuer = "i"
audience = "a"
hs256_file = "short"
[[auth.keys]]
issuer = "j"
audience = "a"
hs256_file = "empty"
`)
	_, err = Load(filepath.Join(dir, "bad.toml"))
	var all Errors
	if !errors.As(err, &all) {
		t.Fatalf("Load: %v", err)
	}
	var lines []int
	for _, one := range all {
		lines = append(lines, one.Line)
	}
	if !strings.Contains(all[1].Text, "not a regular file") {
		t.Errorf("a device or a pipe would be opened: %v", all[1])
	}
	if want := []int{3, 4, 8, 12}; !reflect.DeepEqual(lines, want) {
		t.Errorf("lines %v, want %v:\n%v", lines, want, err)
	}
	if _, err := Load(filepath.Join(dir, "none.toml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent file: %v", err)
	}
}

// Every default in the tags must be one that the file could hold.
func TestEveryLimitCanBeSet(t *testing.T) {
	t.Parallel()
	v := reflect.ValueOf(Default().Limits)
	for _, fd := range fieldsOf(v.Type()) {
		text := fmt.Sprintf("[limits]\n%s = %s", fd.key, format(fd, v.Field(fd.index)))
		c, err := Parse("weir.toml", []byte(text), getenv)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got, want := reflect.ValueOf(c.Limits).Field(fd.index).Int(), v.Field(fd.index).Int()
		if got != want && (want != 0 || got != -1) {
			t.Errorf("%s: read as %d, want %d", text, got, want)
		}
		_, err = Parse("weir.toml", []byte("[limits]\n"+fd.key+" = -1"), getenv)
		if err == nil {
			t.Errorf("K5: limits.%s = -1 was taken", fd.key)
		}
	}
}

func TestLinesOfKeys(t *testing.T) {
	t.Parallel()
	lines := keyLines(`a = """
x = 1
""""
b.c."d.e" = 'q'   # [no]
[t]   # comment
k = [ 1,
  { x = 2, y = [ "]" ] },   # }
  ]
[[l]]
a = 1
[l.sub]
s = "\" ["
[[l]]
a = 2

[u.v.w]
x = 1
[u.w]
`)
	for key, want := range map[string]int{
		"a": 1, "x": 0, "b.c": 4, `b.c."d.e"`: 4, "t": 5, "t.k": 6, "t.k[1]": 7, "t.k[1].x": 7, "t.k[1].y[0]": 7,
		"u": 16, "u.v": 16, "u.w": 18, "l": 9, "l[0].a": 10, "l[0].sub": 11, "l[0].sub.s": 12, "l[1]": 13, "l[1].a": 14,
	} {
		if lines[key] != want {
			t.Errorf("line of %s = %d, want %d", key, lines[key], want)
		}
	}
}

func TestNearestName(t *testing.T) {
	t.Parallel()
	f := func(name, want string) {
		t.Helper()
		if got := nearest(name, []string{"listen", "hosts", "trusted_proxies", "web"}); got != want {
			t.Errorf("nearest(%q) = %q, want %q", name, got, want)
		}
	}
	f("lisen", "listen")
	f("Listen", "listen")
	f("lsiten", "listen")
	f("host", "hosts")
	f("trusted_proxy", "trusted_proxies")
	f("wbe", "web")
	f("colour", "")
	f("", "")
}
