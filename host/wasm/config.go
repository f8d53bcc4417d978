package wasm

import (
	"cmp"
	"log/slog"
	"runtime"
	"time"

	"weir/host/tenant"
)

// Config is what a Runtime is made from. The zero value works.
type Config struct {
	// CacheDir is where compiled code is kept between starts. It is made with
	// mode 0700 and refused when others may write to it, because what lies in it
	// is run as native code (G8). Empty keeps compiled code in memory only.
	CacheDir string
	// MaxRunning bounds the guests that run at the same moment; others wait for
	// their turn until their context ends (G9). Default cores - 1, at least 1.
	MaxRunning int
	// MaxModuleBytes bounds a module; a larger one is refused. Default 24 MiB.
	MaxModuleBytes int64
	// CompileTimeout bounds a compilation; the child that does it is killed. One
	// that runs in this process is abandoned: it goes on in the background, because
	// the compiler cannot be stopped, and its code is freed when it ends. Default
	// 10 s.
	CompileTimeout time.Duration
	// Command is the program and the arguments that make it call ServeCompile on its
	// standard input and output, with the arguments that follow, and end. Empty, or
	// where it cannot be started: modules are compiled in this process, and one that
	// is made for it can use up its memory (G1).
	Command []string
	// CompileMemory bounds what the child may write to, in bytes; a module that
	// needs more is refused. Default 2 GiB.
	CompileMemory int64
	// MaxCompiling bounds the children; other modules wait until their context ends.
	// Default half the cores, at least 1.
	MaxCompiling int
	// MaxCacheBytes bounds CacheDir; what was not used for longest goes first.
	// Default 2 GiB.
	MaxCacheBytes int64
	// Logger gets a line when modules are compiled in this process, and when what
	// lies in CacheDir was changed. Nil discards.
	Logger *slog.Logger
	// MaxIdleBytes bounds what the idle instances of all pools keep for themselves;
	// over it those go that were used the longest time ago. Default 512 MiB.
	MaxIdleBytes int64
}

func (c Config) withDefaults() Config {
	l := tenant.Limits{}.WithDefaults()
	c.MaxRunning = cmp.Or(c.MaxRunning, max(1, runtime.GOMAXPROCS(0)-1))
	c.MaxModuleBytes = cmp.Or(c.MaxModuleBytes, l.MaxModuleBytes)
	c.CompileTimeout = cmp.Or(c.CompileTimeout, l.CompileTimeout)
	c.CompileMemory = cmp.Or(c.CompileMemory, 2<<30)
	c.MaxCompiling = cmp.Or(c.MaxCompiling, max(1, runtime.GOMAXPROCS(0)/2))
	c.MaxCacheBytes = cmp.Or(c.MaxCacheBytes, 2<<30)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.MaxIdleBytes = cmp.Or(c.MaxIdleBytes, l.MaxTotalIdleGuestBytes)
	return c
}

// PoolConfig is what a Pool is made from. The zero value works.
type PoolConfig struct {
	// Plugin names the plugin in errors.
	Plugin string
	// Tenant names whose plugin it is. The idle instances of a tenant have a budget
	// of their own, Limits.MaxIdleGuestBytes.
	Tenant string
	// Reuse says how instances are used again. Default Pristine.
	Reuse Reuse
	// Limits bounds its calls. Zero fields mean the defaults.
	Limits tenant.Limits
	// MaxInstances bounds the instances, which is also how many calls run or wait
	// for SQL at once; more calls wait. Default Limits.MaxExecutions.
	MaxInstances int
	// InitSeed seeds what a guest draws before its first call, such as the hash
	// seeds of Go's maps. It should be a secret's HMAC of the module's digest
	// (G11).
	InitSeed [32]byte
	// LoadedAt is the time that a guest sees before its first call. All instances
	// of a pool must see the same. Default: the time of NewPool.
	LoadedAt time.Time
	// Dynamic grants query_sql.
	Dynamic bool
	// Log takes lines that a guest writes before its first call. Nil drops them.
	Log func(level int, line string)
}

func (c PoolConfig) withDefaults() PoolConfig {
	c.Limits = c.Limits.WithDefaults()
	c.MaxInstances = cmp.Or(c.MaxInstances, c.Limits.MaxExecutions)
	if c.LoadedAt.IsZero() {
		c.LoadedAt = time.Now()
	}
	return c
}
