package plugin

import (
	"errors"
	"strings"
	"testing"

	"weir/abi"
	"weir/host/tenant"
	"weir/host/wasm"
)

// builtin is a manifest without a module.
func builtin() *abi.Manifest {
	m := manifest("weir", "weir.now", "weir.then")
	zero := 0
	m.Statements[0].SQL = "select id from t"
	for i := range m.Functions {
		m.Functions[i].Statement, m.Functions[i].Uses = &zero, nil
		// No grant is asked for: these are weir's own.
		m.Functions[i].Claims = []abi.Claim{{Name: "admin", Claim: "admin", Schema: abi.Schema{Type: "boolean"}}}
	}
	return m
}

func TestBuiltInFunctionsStayWhilePluginsComeAndGo(t *testing.T) {
	t.Parallel()
	r := newRoom(t, &tenant.Tenant{Name: "acme"})
	r.checker.refuses = errors.New("the tables are not there")
	if err := r.Build(t.Context(), builtin()); err == nil || !strings.Contains(err.Error(), "built-in weir: the tables are not there") || r.Builtin() != nil {
		t.Errorf("build before the tables are there: %v", err)
	}
	r.checker.refuses = nil
	for range 2 {
		if err := r.Build(t.Context(), builtin()); err != nil {
			t.Fatal(err)
		}
	}
	there := func() {
		t.Helper()
		f, err := r.Lookup("weir.then")
		if err != nil || f.Plugin != r.Builtin() || f.Plugin.Prepared != "weir" || f.Index != 1 {
			t.Errorf("weir.then: %+v %v", f, err)
		}
	}
	there()
	r.must("chat.wasm", guest(manifest("chat", "messages.list"), 7).Bytes())
	there()
	r.must("chat.wasm", guest(manifest("chat", "messages.list"), 8).Bytes())
	r.want("messages.list", 8)
	r.Remove(t.Context(), r.path("chat.wasm"))
	there()
	if len(r.All()) != 0 || len(r.changes) != 3 {
		t.Errorf("%d plugins of files, %d changes", len(r.All()), len(r.changes))
	}
	p := r.Builtin()
	if p.Path != "" || p.Digest == [32]byte{} || len(p.Functions()) != 2 || p.Signatures() != nil || p.Stats() != (wasm.PoolStats{}) {
		t.Errorf("built in: %+v", p)
	}
	// There is no guest that could be called.
	f, _ := r.Lookup("weir.now")
	if _, err := f.Call(t.Context(), &wasm.Call{}); err == nil || !strings.Contains(err.Error(), "BUG: weir.now") {
		t.Errorf("call: %v", err)
	}
	release, ok := p.Hold(t.Context())
	if !ok {
		t.Fatal("it cannot be held")
	}
	release()
	p.retire(t.Context())
}

// G16: a file cannot take the names of what is built in, loaded or not.
func TestPluginsCannotTakeBuiltInNames(t *testing.T) {
	t.Parallel()
	r := newRoom(t, &tenant.Tenant{Name: "acme", Trust: tenant.Trusted})
	for name, m := range map[string]*abi.Manifest{
		"it is called weir":               manifest("weir", "a.b"),
		"the function weir.job begins":    manifest("p", "weir.job"),
		"the function weir.job_x begins ": manifest("p", "a.b", "weir.job_x"),
	} {
		if err := r.put("p.wasm", guest(m, 1).Bytes()); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	r.must("p.wasm", guest(manifest("weird", "weird.job", "weirjob"), 1).Bytes())
	notStatement := builtin()
	notStatement.Functions[1].Statement = nil
	if err := r.Build(t.Context(), notStatement); err == nil || !strings.Contains(err.Error(), "BUG: weir.then is no statement") {
		t.Errorf("a built-in guest function: %v", err)
	}
}
