package plugin

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"weir/abi"
	"weir/host/tenant"
	"weir/host/wasm"
)

// Checker checks a plugin's statements against the database. The host hands it
// in.
type Checker interface {
	// Check prepares all statements of a valid manifest and returns what
	// executions need of them, or an error that says what to write instead.
	Check(ctx context.Context, m *abi.Manifest) (prepared any, err error)
}

// Config is what a Set is made from. Runtime, Tenant and Checker are required.
type Config struct {
	Runtime *wasm.Runtime
	Tenant  *tenant.Tenant
	Checker Checker
	// Engine returns the module that runs plugins in JavaScript, or an error that
	// says how to get it. Nil: there is none.
	Engine func() ([]byte, error)
	// InitSeed derives what a guest draws before its first call from its digest
	// and a secret that is kept with the tenant's data, so that all nodes agree
	// (G11). Nil: it can be predicted.
	InitSeed func(digest [32]byte) [32]byte
	// Log takes lines that a plugin writes while it loads. Nil drops them.
	Log func(path string, level int, line string)
	// Settings names what the operator tells a plugin, by its name: see
	// wasm.Call.Settings. Nil: nothing is told.
	Settings func(plugin string) string
	// Reuse says how a plugin's instances are used again, by its name. Nil: they are
	// pristine.
	Reuse func(plugin string) wasm.Reuse
	// OnBreak is told when a plugin that keeps failing is stopped, and when it
	// serves again. It must not call the set. Nil is allowed.
	OnBreak func(p *Plugin, stopped bool)
	// OnChange is called after each change of the set, one call at a time, on the
	// goroutine that made the change. It must not call Load, Remove or Close. Nil
	// is allowed.
	OnChange func(Change)
}

// read returns the bytes of a plugin's file (P1).
func (s *Set) read(path string) ([]byte, error) {
	limit := s.config.Tenant.Limits.WithDefaults().MaxModuleBytes
	f, err := openPlain(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, refuse("it is no ordinary file: put the module itself there")
	case isSource(path) && info.Size() > maxSource:
		return nil, refuse("it has %d bytes, more than the %d allowed: split the plugin", info.Size(), maxSource)
	case info.Size() > limit:
		return nil, tooLarge("it has %d bytes, more than the %d allowed: build it with -ldflags=-s -w or raise the limit", info.Size(), limit)
	}
	// The size may have changed since: the limit is what counts.
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = tooLarge("it has more than the %d bytes allowed", limit)
	}
	return data, err
}

// maxSource bounds a plugin in JavaScript: each of its instances holds the text.
const maxSource = 1 << 20

// isSource reports whether a file is a plugin in JavaScript.
func isSource(path string) bool { return filepath.Ext(path) == ".js" }

// compile compiles a file's bytes.
func (s *Set) compile(ctx context.Context, path string, code []byte) (*wasm.Module, error) {
	if !isSource(path) {
		return s.compiler.Compile(ctx, code)
	}
	if s.config.Engine == nil {
		return nil, refuse("this weir runs no plugins in JavaScript: build it to a module")
	}
	engine, err := s.config.Engine()
	if err != nil {
		return nil, err
	}
	return s.compiler.CompileSource(ctx, engine, filepath.Base(path), string(code))
}

// load makes a plugin of a file's bytes. What it made is freed on an error.
func (s *Set) load(ctx context.Context, path string, code []byte) (_ *Plugin, err error) {
	module, err := s.compile(ctx, path, code)
	if err != nil {
		return nil, err
	}
	digest := module.Digest()
	limits := s.config.Tenant.Limits.WithDefaults()
	p := &Plugin{
		Path: path, Digest: digest, file: sha256.Sum256(code), module: module, Loaded: time.Now(),
		breaker: &breaker{now: time.Now, limit: limits.MaxFailures}, onBreak: s.config.OnBreak, now: &instances{},
	}
	defer func() {
		if err != nil {
			if p.now.pool != nil {
				p.now.pool.Close(ctx)
			}
			err = errors.Join(err, module.Close(ctx))
		}
	}()
	p.now.pool, err = wasm.NewPool(s.config.Runtime, module, s.poolConfig(s.config.Tenant, path, digest))
	if err != nil {
		return nil, err
	}
	described, err := p.now.pool.Describe(ctx)
	if err != nil {
		return nil, err
	}
	if p.Manifest, err = abi.DecodeManifest(described); err != nil {
		return nil, fmt.Errorf("its manifest cannot be read: %w: build it with the SDK of this weir", err)
	}
	if err := p.Manifest.Validate(); err != nil {
		return nil, fmt.Errorf("its manifest: %w", err)
	}
	if err := errors.Join(reserved(p.Manifest), granted(s.config.Tenant, p)); err != nil {
		return nil, err
	}
	p.now.pool.SetDynamic(dynamic(s.config.Tenant, p.Manifest))
	if s.config.Settings != nil {
		p.now.settings = s.config.Settings(p.Name())
	}
	if s.config.Reuse != nil {
		p.now.pool.SetReuse(s.config.Reuse(p.Name()))
	}
	if p.functions, err = functions(p); err != nil {
		return nil, err
	}
	if p.Prepared, err = s.config.Checker.Check(ctx, p.Manifest); err != nil {
		return nil, err
	}
	return p, nil
}

// build makes the plugin of a built-in manifest. Nothing has to be granted.
func (s *Set) build(ctx context.Context, m *abi.Manifest) (*Plugin, error) {
	p := &Plugin{Manifest: m, Digest: sha256.Sum256(abi.AppendManifest(nil, m))}
	err := m.Validate()
	for i := range m.Functions {
		if m.Functions[i].Statement == nil {
			err = errors.Join(err, fmt.Errorf("BUG: %s is no statement", m.Functions[i].Name))
		}
	}
	if err != nil {
		return nil, err
	}
	if p.functions, err = functions(p); err != nil {
		return nil, err
	}
	p.Prepared, err = s.config.Checker.Check(ctx, m)
	return p, err
}

// reservedName is the name of what is built in, and the first word of its
// functions.
const reservedName = "weir"

// reserved refuses names that belong to what is built in, whether that is loaded
// or not, so that a file does not work only until it is.
func reserved(m *abi.Manifest) error {
	var errs []error
	if m.Name == reservedName {
		errs = append(errs, refuse("it is called %s, as what is built in: rename it", reservedName))
	}
	for i := range m.Functions {
		if name := m.Functions[i].Name; strings.HasPrefix(name, reservedName+".") {
			errs = append(errs, refuse("the function %s begins with %s., as those that are built in: rename it", name, reservedName))
		}
	}
	return errors.Join(errs...)
}

func (s *Set) poolConfig(t *tenant.Tenant, path string, digest [32]byte) wasm.PoolConfig {
	config := wasm.PoolConfig{
		Plugin: pluginName(path), Tenant: t.Name, Limits: t.Limits,
		InitSeed: digest,
	}
	if s.config.InitSeed != nil {
		config.InitSeed = s.config.InitSeed(digest)
	}
	if s.config.Log != nil {
		config.Log = func(level int, line string) { s.config.Log(path, level, line) }
	}
	return config
}

// granted refuses what the tenant's plugins may not claim for themselves (G16).
// The effective capability is the manifest's and the tenant's, so an import
// needs both. A plugin in JavaScript has the imports of the engine, which all of
// them share: what it may use is what its manifest asks for.
func granted(t *tenant.Tenant, p *Plugin) error {
	m := p.Manifest
	var errs []error
	if p.module.Imports(abi.ImportQuerySQL) && !isSource(p.Path) && !slices.Contains(m.Capabilities, string(tenant.DynamicSQL)) {
		errs = append(errs, refuse("it imports %s without asking for the capability: add %q to its capabilities", abi.ImportQuerySQL, tenant.DynamicSQL))
	}
	for _, c := range m.Capabilities {
		if !t.Has(tenant.Capability(c)) {
			errs = append(errs, refuse("it asks for the capability %q: add it to grant of tenant %s if it may have that", c, t.Name))
		}
	}
	for i := range m.Functions {
		f := &m.Functions[i]
		if f.Access.Public && !t.MayBePublic() {
			errs = append(errs, refuse(`%s is public: add "public" to grant of tenant %s if callers without a token may use it`, f.Name, t.Name))
		}
		for _, c := range f.Claims {
			if !t.MayClaim(c.Claim) {
				errs = append(errs, refuse(`%s reads the claim %s: add "claim:%s" to grant of tenant %s if it may see that`, f.Name, c.Claim, c.Claim, t.Name))
			}
		}
	}
	return errors.Join(errs...)
}

// dynamic is whether a plugin may make SQL up: it asked, and its tenant may.
func dynamic(t *tenant.Tenant, m *abi.Manifest) bool {
	return t.Has(tenant.DynamicSQL) && slices.Contains(m.Capabilities, string(tenant.DynamicSQL))
}

// functions makes the table of a plugin's functions.
func functions(p *Plugin) (map[string]*Function, error) {
	m := p.Manifest
	params := make([]int, len(m.Statements))
	for i := range m.Statements {
		t, err := abi.ParseStatement(m.Statements[i].SQL)
		if err != nil {
			return nil, fmt.Errorf("statements[%d]: %w", i, err)
		}
		for _, name := range t.Names() {
			if name != abi.ParamNow { // the host fills that in
				params[i]++
			}
		}
	}
	table := make(map[string]*Function, len(m.Functions))
	for i := range m.Functions {
		f := &Function{Function: &m.Functions[i], Plugin: p, Index: i}
		f.Statements = make(wasm.Statements, len(f.Uses))
		for _, s := range f.Uses {
			f.Statements[s] = params[s]
		}
		table[f.Name] = f
	}
	return table, nil
}

func refuse(format string, args ...any) error {
	return &wasm.RefusedError{What: fmt.Sprintf(format, args...)}
}

func tooLarge(format string, args ...any) error {
	return &wasm.RefusedError{What: fmt.Sprintf(format, args...), Limit: "module_bytes"}
}
