package plugin

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"weir/abi"
	"weir/host/tenant"
	"weir/host/wasm"
	. "weir/host/wasm/wasmtest"
)

func TestLoadedPluginAnswers(t *testing.T) {
	t.Parallel()
	r := newRoom(t, &tenant.Tenant{Name: "default"})
	r.must("chat.wasm", guest(manifest("chat", "messages.list", "rooms.list"), 7).Bytes())
	r.want("messages.list", 7)
	p := r.All()[0]
	if p.Name() != "chat" || p.Prepared != "chat" || len(p.Functions()) != 2 || p.Functions()[1].Name != "rooms.list" || len(p.Version()) != 12 {
		t.Errorf("plugin %+v", p)
	}
	f, err := p.Function("rooms.list")
	// The parameters of a statement, each once, without $now.
	if err != nil || f.Index != 1 || f.Statements[0] != 2 || len(f.Statements) != 1 {
		t.Errorf("function %+v %v", f, err)
	}
	_, err = r.Lookup("mesages.list")
	var unknown *UnknownError
	if !errors.As(err, &unknown) || unknown.Nearest != "messages.list" || unknown.Code() != abi.UnknownFunction || !strings.Contains(err.Error(), `did you mean "messages.list"`) {
		t.Errorf("Lookup: %v", err)
	}
	if _, err := p.Function("zzz"); err == nil || strings.Contains(err.Error(), "mean") {
		t.Errorf("Function: %v", err)
	}
	if s := p.Stats(); s.Instances != 1 {
		t.Errorf("stats %+v: the described instance serves", s)
	}
}

// P2: every reason to refuse is a sentence, and nothing is loaded. G16: among them
// what the tenant does not grant.
// Cases: 1, 14, 15, 16, 22, 38.
func TestPluginsAreRefused(t *testing.T) {
	t.Parallel()
	f := func(what string, code []byte, want ...string) {
		t.Helper()
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r := newRoom(t, &tenant.Tenant{Name: "acme"})
			err := r.put("bad.wasm", code)
			if err == nil {
				t.Fatal("it was taken")
			}
			for _, w := range append(want, "plugin bad.wasm: ") {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q does not say %q", err, w)
				}
			}
			if len(r.All()) != 0 || len(r.changes) != 0 || r.Errors()[r.path("bad.wasm")] == nil {
				t.Errorf("after a refusal: %v %v %v", r.All(), r.changes, r.Errors())
			}
		})
	}
	changed := func(change func(m *abi.Manifest)) []byte {
		m := manifest("p", "a.b")
		change(m)
		return guest(m, 0).Bytes()
	}
	f("empty file", nil, "not a WebAssembly module")
	f("component", []byte("\x00asm\x0d\x00\x01\x00"), "component")
	f("undeclared import", Guest{Imports: []Import{{Module: "env", Name: "x", Sig: ":"}}}.Bytes(), "imports env.x")
	f("missing export", Guest{Without: abi.ExportBuf}.Bytes(), "weir_buf")
	f("no manifest", Guest{}.Bytes(), "manifest")
	f("garbage manifest", Guest{Manifest: []byte("\xff\xffgarbage")}.Bytes(), "manifest", "cbor at byte")
	f("manifest of another shape", Guest{Manifest: abi.AppendInt(nil, 1)}.Bytes(), "manifest")
	f("wrong ABI in the manifest", changed(func(m *abi.Manifest) { m.ABI = 2 }), "version 2")
	f("no access", changed(func(m *abi.Manifest) { m.Functions[0].Access = abi.Access{} }), "says nothing about access", "weir.SignedIn()")
	f("bad statement", changed(func(m *abi.Manifest) { m.Statements[0].SQL = "select 'x" }), "statements[0]")
	f("trap in describe", Guest{Describe: Unreachable()}.Bytes(), "trap")
	f("loop at the start", Guest{Init: Forever(nil)}.Bytes(), "computed for too long")
	f("start function", Guest{Start: Forever(nil)}.Bytes(), "start function", "_initialize")
	f("different each time", Guest{
		Imports: []Import{WASI("random_get", "ii:i")}, Manifest: guest(manifest("p", "a.b"), 0).Manifest,
		Data:     map[uint32][]byte{DataAt: abi.Bytes(make([]byte, 8)).AppendCBOR(nil)},
		Describe: Join(I32(DataAt+1), I32(8), Invoke(0), Drop(), Pack(abi.TagValue, DataAt, 9)),
	}.Bytes(), "differently")
	f("public without grant", changed(func(m *abi.Manifest) { m.Functions[0].Access = abi.Access{Public: true} }), "a.b is public", `add "public" to grant of tenant acme`)
	f("claim without grant", changed(func(m *abi.Manifest) {
		m.Functions[0].Claims = []abi.Claim{{Name: "me", Claim: "sub"}, {Name: "roles", Claim: "roles"}}
	}), "reads the claim roles", `add "claim:roles"`)
	f("capability without grant", changed(func(m *abi.Manifest) { m.Capabilities = []string{"sql.dynamic"} }), `asks for the capability "sql.dynamic"`, "grant of tenant acme")
	dynamic := guest(manifest("p", "a.b"), 0)
	dynamic.Imports = []Import{Host(abi.ImportQuerySQL, "iiii:i")}
	f("import without capability", dynamic.Bytes(), "imports query_sql", "add \"sql.dynamic\" to its capabilities")
}

// G16: what is granted is taken, and trust opens public and claims.
func TestGrantsOpenWhatTheyName(t *testing.T) {
	t.Parallel()
	m := manifest("p", "a.b")
	m.Functions[0].Access = abi.Access{Public: true}
	m.Functions[0].Claims = []abi.Claim{{Name: "roles", Claim: "roles"}}
	m.Capabilities = []string{"sql.dynamic"}
	g := guest(m, 3)
	g.Imports = []Import{Host(abi.ImportQuerySQL, "iiii:i")}
	for _, ten := range []*tenant.Tenant{
		{Name: "a", Grants: tenant.Grants{Public: true, Claims: []string{"roles"}, Capabilities: []tenant.Capability{tenant.DynamicSQL}}},
		{Name: "b", Trust: tenant.Trusted, Grants: tenant.Grants{Capabilities: []tenant.Capability{tenant.DynamicSQL}}},
	} {
		r := newRoom(t, ten)
		r.must("p.wasm", g.Bytes())
		r.want("a.b", 3)
	}
}

func TestStatementsAreTheCheckersToRefuse(t *testing.T) {
	t.Parallel()
	r := newRoom(t, &tenant.Tenant{Name: "default"})
	r.checker.refuses = errors.New("statements[0] reads the clock: use $now")
	if err := r.put("p.wasm", guest(manifest("p", "a.b"), 0).Bytes()); !errors.Is(err, r.checker.refuses) {
		t.Errorf("Load: %v", err)
	}
	// The same bytes load once the database is right.
	r.checker.refuses = nil
	r.must("p.wasm", guest(manifest("p", "a.b"), 4).Bytes())
	r.want("a.b", 4)
	if len(r.Errors()) != 0 {
		t.Errorf("errors %v", r.Errors())
	}
}

// P1, security 20: only an ordinary file is read, at most its bound.
// Cases: 20.
func TestOnlyOrdinaryFilesAreRead(t *testing.T) {
	t.Parallel()
	r := newRoom(t, &tenant.Tenant{Name: "default", Limits: tenant.Limits{MaxModuleBytes: 1000}})
	f := func(name, want string) {
		t.Helper()
		err := r.Load(t.Context(), r.path(name))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	if err := os.WriteFile(r.path("large.wasm"), bytes.Repeat([]byte{0}, 1001), 0o600); err != nil {
		t.Fatal(err)
	}
	f("large.wasm", "1001 bytes")
	f("none.wasm", "no such file")
	if err := os.Mkdir(r.path("dir.wasm"), 0o700); err != nil {
		t.Fatal(err)
	}
	f("dir.wasm", "no ordinary file")
	if runtime.GOOS == "windows" {
		return
	}
	secret := filepath.Join(t.TempDir(), "real.wasm")
	if err := os.WriteFile(secret, guest(manifest("p", "a.b"), 0).Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, r.path("link.wasm")); err != nil {
		t.Fatal(err)
	}
	f("link.wasm", "link.wasm")
	if err := syscall.Mkfifo(r.path("pipe.wasm"), 0o600); err != nil {
		t.Fatal(err)
	}
	f("pipe.wasm", "no ordinary file") // and it does not wait for a writer
	if len(r.All()) != 0 {
		t.Error("something was loaded")
	}
}

// G11: what guests draw at their start follows the host's secret and the module,
// and is not the same in two modules even without a secret.
// Cases: 38.
func TestInitSeedIsOfTheDigest(t *testing.T) {
	t.Parallel()
	ten := &tenant.Tenant{Name: "default"}
	flip := func(d [32]byte) [32]byte { return [32]byte{d[0] + 1} }
	with := NewSet(Config{Tenant: ten, InitSeed: flip}).poolConfig(&tenant.Tenant{}, "p.wasm", [32]byte{7})
	without := NewSet(Config{Tenant: ten}).poolConfig(&tenant.Tenant{}, "p.wasm", [32]byte{7})
	if with.InitSeed != [32]byte{8} || without.InitSeed != [32]byte{7} {
		t.Errorf("seeds %x and %x", with.InitSeed, without.InitSeed)
	}
}

var _ Checker = (*checker)(nil)

func TestClosedSetRefuses(t *testing.T) {
	t.Parallel()
	r := newRoom(t, &tenant.Tenant{Name: "default"})
	r.must("p.wasm", guest(manifest("p", "a.b"), 1).Bytes())
	f, err := r.Lookup("a.b")
	if err != nil {
		t.Fatal(err)
	}
	r.Close(t.Context())
	r.Close(t.Context())
	if _, err := f.Call(t.Context(), &wasm.Call{}); !errors.Is(err, ErrRetired) {
		t.Errorf("Call: %v", err)
	}
	if err := r.put("p.wasm", nil); !errors.Is(err, wasm.ErrClosed) {
		t.Errorf("Load: %v", err)
	}
	if len(r.All()) != 0 {
		t.Error("plugins are left")
	}
}
