package host

import (
	"cmp"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"

	"weir/host/config"
	"weir/reactor"
)

// Config says what a Host serves. Only File is required.
type Config struct {
	// File is the configuration. Its database URLs must be set.
	File *config.Config
	// Path is the file that File came from. It is followed: see Reload. Empty:
	// nothing is followed.
	Path string
	// Dev takes ?as=NAME and tokens dev:NAME, from loopback only.
	Dev bool
	// StateDir keeps compiled plugins between starts. Empty means weir's
	// directory in the user's cache.
	StateDir string
	// Listener serves clients. Nil listens on File.Server.Listen. Run closes it.
	Listener net.Listener
	// Admin serves operators. Nil listens on File.Admin.Listen. Run closes it.
	Admin net.Listener
	// Inspect is the program, with arguments, that runs inspect.Serve: weir itself.
	// Empty: the SQL of sandboxed tenants and SQL made up at run time is refused.
	Inspect []string
	// Compile is the program, with arguments, that runs wasm.ServeCompile: weir
	// itself. Empty: modules are compiled in this process, which one that is made for
	// it can stop.
	Compile []string
	// Observe is told of each finished run, from the loop: it must not block.
	Observe func(reactor.Run)
	// Event is told of plugins and of the database coming and going. It must not
	// block.
	Event func(Event)
	// Traces is where an OpenTelemetry collector takes OTLP over HTTP: its base
	// address. Empty: no traces.
	Traces string
	// Version is weir's, told to clients.
	Version string
	// Logger gets one line per life event; nil discards.
	Logger *slog.Logger
}

// EventKind says what happened.
type EventKind string

// The kinds of events.
const (
	PluginLoaded  EventKind = "plugin loaded"
	PluginFailed  EventKind = "plugin failed" // the version before, if any, goes on serving
	PluginRemoved EventKind = "plugin removed"
	DatabaseUp    EventKind = "database up"
	DatabaseDown  EventKind = "database down"
	GuestLog      EventKind = "log"

	PluginStopped  EventKind = "plugin stopped" // it kept failing
	PluginResumed  EventKind = "plugin serves again"
	ConfigReloaded EventKind = "configuration reloaded"
	ConfigRefused  EventKind = "configuration refused" // the one before stays

	PolicyMissing EventKind = "required policy missing" // what it guards is closed
	PolicyBack    EventKind = "required policy is back" // or is not required any more
)

// Event is something that people want to see happen.
type Event struct {
	Kind EventKind
	Name string // the plugin's file name, the function that logs, or the policy
	Text string
	Err  error
}

func (c Config) withDefaults() (Config, error) {
	if c.File == nil {
		return c, errors.New("BUG: host.Config.File is nil")
	}
	if c.StateDir == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			dir = os.TempDir()
		}
		c.StateDir = filepath.Join(dir, "weir")
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Event == nil {
		c.Event = func(Event) {}
	}
	c.Version = cmp.Or(c.Version, "devel")
	return c, nil
}
