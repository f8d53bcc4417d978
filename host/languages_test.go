package host_test

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"weir/abi"
	"weir/host/hosttest"
	"weir/host/wasm"
	"weir/plugins/guesttest"
	"weir/plugins/js/jstest"
)

// The same plugin in every language that weir has an SDK for: one says what the
// others must say, byte for byte.

const samples = "../plugins/testdata/languages"

// sampleFile returns the plugin in a language, built.
func sampleFile(t testing.TB, language string) string {
	t.Helper()
	switch language {
	case "go":
		return hosttest.Build(t, samples+"/go")
	case "js":
		jstest.File(t)
		return samples + "/js/sample.js"
	}
	return guesttest.File(t, language)
}

// compileSample compiles the plugin in a language.
func compileSample(t testing.TB, language string) func(*wasm.Compiler) (*wasm.Module, error) {
	t.Helper()
	file := sampleFile(t, language)
	code, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return func(c *wasm.Compiler) (*wasm.Module, error) {
		if language == "js" {
			return c.CompileSource(t.Context(), jstest.Engine(t), "sample.js", string(code))
		}
		return c.Compile(t.Context(), code)
	}
}

var otherLanguages = []string{"js", "rust", "c"}

// The four SDKs say the same in the same bytes.
func TestLanguagesDescribeThemselvesEqually(t *testing.T) {
	t.Parallel()
	want := manifestOf(t, compileSample(t, "go"))
	for _, language := range otherLanguages {
		t.Run(language, func(t *testing.T) {
			if got := manifestOf(t, compileSample(t, language)); !bytes.Equal(got, want) {
				a, _ := abi.DecodeCBOR(want)
				b, err := abi.DecodeCBOR(got)
				t.Errorf("Go says\n%s\n%s\n%s, %v", a, language, b, err)
			}
		})
	}
}

// speaker is a host with the sample in one language.
type speaker struct {
	language string
	server   *hosttest.Server
}

func newSpeaker(t *testing.T, language string) speaker {
	t.Helper()
	return startSpeaker(t, language, sampleFile(t, language), hosttest.Config{
		Schema: text(t, samples+"/schema.sql"),
		TOML: "plugins = \"plugins\"\n[plugin.sample.config]\ngreeting = \"grüß Gott\"\nlong = \"" + strings.Repeat("ü", 500) + "\"\n" +
			"[limits]\nguest_timeout = \"30s\"\nquery_timeout = \"30s\"\npolicy_timeout = \"30s\"\n",
	})
}

func startSpeaker(t *testing.T, language, file string, cfg hosttest.Config) speaker {
	t.Helper()
	code, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Modules = map[string][]byte{"sample" + filepath.Ext(file): code}
	return speaker{language, hosttest.Start(t, cfg)}
}

// byChance is what differs in any two answers: transactions and ids of requests.
var byChance = regexp.MustCompile(`"(tx|request_id)":"[^"]*"`)

// answer asks for something; a path with a body is a call.
func (s speaker) answer(t *testing.T, path, body string) string {
	t.Helper()
	var resp *http.Response
	var err error
	if body == "" {
		resp, err = http.Get(s.server.URL + "/v1/q/" + path)
	} else {
		resp, err = http.Post(s.server.URL+"/v1/call/"+path, "application/json", strings.NewReader(body))
	}
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return strconv.Itoa(resp.StatusCode) + " " + byChance.ReplaceAllString(string(raw), `"$1":"…"`)
}

const past = "9007199254740993" // 2^53+1, which no float64 holds

// said are inputs, and a part of what every language must answer.
var said = []struct{ path, body, want string }{
	// One statement, with an argument that may be left out, and pages.
	{"notes.list?box=1&as=ann", "", `"rows":[{"id":` + past + `,"title":"past 2^53","price":"123456789012345678901234567890.5"},{"id":3,`},
	{"notes.list?box=1&limit=1&before=" + past + "&as=ann", "", `"rows":[{"id":3,"title":"whole","price":"-0.000000000000000001"}]`},
	{"notes.list?box=1&title=na%C3%AFve+Gr%C3%BC%C3%9Fe%2C+%E4%BD%A0%E5%A5%BD+%F0%9F%8C%8D&as=ann", "", `"rows":[{"id":2,"title":"naïve Grüße, 你好 🌍","price":"12.50"}]`},
	{"notes.list?box=2&as=ann", "", `"rows":[]`},
	{"notes.list?box=1&limit=101&as=ann", "", `"code":"bad_request"`},
	{"notes.list?box=" + past + "&as=bob", "", `"code":"denied"`},
	{"boxes.list", "", `{"id":` + past + `,"name":"große Kiste","notes":[{"box":` + past + `,"title":"largest"}]}`},
	// Rows read, and computed with.
	{"notes.all?box=1&as=ann", "", `"image":null`},
	{"notes.all?box=1&as=ann", "", `"image":"AP8Q"`},
	{"notes.all?box=1&as=ann", "", `"2026-01-31T09:30:00.123456Z"`},
	{"notes.all?box=1&as=ann", "", `"1969-12-31T23:59:59.900000Z"`},
	{"notes.all?box=2&as=ann", "", `200 `},
	{"notes.all?box=" + past + "&as=ann", "", `"score":"Infinity"`},
	{"notes.summary?box=1&as=ann", "", `"largest":` + past},
	{"notes.summary?box=2&as=ann", "", `"largest":null`},
	{"notes.summary?box=" + past + "&as=ann", "", `"score":"Infinity"`},
	// Rows passed on by handle.
	{"notes.odd?box=1&as=ann", "", `"rows":[{"id":` + past + `,`},
	{"notes.odd?box=2&as=ann", "", `"rows":[]`},
	{"notes.passed?box=1&as=ann", "", `"rows":[{"id":1,"title":"plain","image":null,`},
	// Policies: reason, scope, action and function.
	{"notes.scoped?box=1&as=ann", "", `"seen":"ann/read/notes.scoped"`},
	{"notes.scoped?box=" + past + "&as=ann", "", `"inside":` + past},
	{"notes.scoped?box=1&as=bob", "", `bob ist gesperrt: für immer`},
	{"notes.scoped?box=1&as=eve", "", `"code":"denied"`},
	{"notes.scoped?box=1", "", `401 `},
	// Errors.
	{"fail.how?how=public", "", `"code":"teapot"`},
	{"fail.how?how=public", "", `kurz und stämmig`},
	{"fail.how?how=retry", "", `"code":"busy"`},
	{"fail.how?how=internal", "", `"code":"internal"`},
	{"fail.how?how=not", "", `200 `},
	// What the operator set, and time.
	{"config.get?key=greeting", "", `grüß Gott`},
	{"config.get?key=long", "", strings.Repeat("ü", 500)},
	{"config.get?key=absent", "", `200 `},
	{"clock.later", "", `true`},
	// Writes.
	{"notes.add?as=ann", `{"id":10,"box":2,"title":"  "}`, `schreib erst etwas: „Hallo“`},
	{"notes.add?as=ann", `{"id":9007199254740997,"box":2,"title":" neu ü ","price":"1.50","image":"AAE=","at":"2026-01-31T10:00:00.5+01:00"}`, `{"id":9007199254740997,"price":"1.50","title":"neu ü"}`},
	{"notes.add?as=ann", `{"id":9007199254740997,"box":2,"title":"again"}`, `"code":"sql_error"`},
	{"notes.add?as=eve", `{"id":11,"box":2,"title":"let me in"}`, `"code":"denied"`},
	{"notes.all?box=2&as=ann", "", `"image":"AAE="`},
	{"notes.all?box=2&as=ann", "", `"2026-01-31T09:00:00.500000Z"`},
	{"notes.clear?as=ann", `{"box":1}`, `"result":4`},
	{"notes.clear?as=ann", `{"box":1}`, `"result":0`},
	{"notes.summary?box=1&as=ann", "", `"count":0`},
}

// echoed are arguments of every type, as they come back.
var echoed = []string{
	`i=` + past + `&n=-2147483648&f=1&b=true&s=%C3%BC%F0%9F%8C%8D&y=AP8%3D&at=2026-01-31T10:30:00.123456%2B01:00&d=2026-02-28&u=0190D0C4-7F5A-7B2E-9C1D-2F6B8A4E1C3D` +
		`&p=012.500&j=%7B%22b%22:1,%22a%22:%5Bnull,%22%C3%BC%22%5D%7D&e=up&list=%5B%7B%22x%22:9007199254740993%7D,%7B%22x%22:-1,%22label%22:%22%C3%B6%22%7D%5D&nums=%5B%5D`,
	`i=-9223372036854775808&n=2147483647&f=-0.1&b=false&s=&y=&at=0001-01-01T00:00:00.000001Z&d=9999-12-31&u=00000000-0000-0000-0000-000000000000` +
		`&p=-123456789012345678901234567890.000000001&j=null&e=down&o=%C3%A4%C3%B6%C3%BC&six=-7&half=1e300&list=%5B%5D&nums=%5B9223372036854775807,-1,0%5D`,
	`i=0&n=0&f=65504&b=true&s=%22%5C%0A&y=AQID&at=9999-12-31T23:59:59.999999Z&d=1970-01-01&u=ffffffff-ffff-ffff-ffff-ffffffffffff` +
		`&p=0&j=%225%22&e=up&o=a&six=23&half=-1&list=%5B%5D&nums=%5B24,255,256,65535,65536,4294967295,4294967296,-24,-25,-256,-257%5D`,
}

func TestLanguagesAnswerEqually(t *testing.T) {
	t.Parallel()
	inGo := newSpeaker(t, "go")
	var want []string
	ask := func(t *testing.T, s speaker) (got []string) {
		t.Helper()
		for _, c := range said {
			got = append(got, s.answer(t, c.path, c.body))
		}
		for _, args := range echoed {
			got = append(got, s.answer(t, "values.echo?"+args, ""))
		}
		return got
	}
	want = ask(t, inGo)
	for i, c := range said {
		if !strings.Contains(want[i], c.want) {
			t.Errorf("Go: %s %s: %s, want %s", c.path, c.body, want[i], c.want)
		}
	}
	for i := range echoed {
		if got := want[len(said)+i]; !strings.HasPrefix(got, "200 ") {
			t.Errorf("Go: values.echo: %s", got)
		}
	}
	for _, language := range otherLanguages {
		t.Run(language, func(t *testing.T) {
			for i, got := range ask(t, newSpeaker(t, language)) {
				path := "values.echo"
				if i < len(said) {
					path = said[i].path + " " + said[i].body
				}
				if got != want[i] {
					t.Errorf("%s:\n%s in Go\n%s in %s", path, want[i], got, language)
				}
			}
		})
	}
}
