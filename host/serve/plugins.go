package serve

import (
	"encoding/json"
	"net/http"
	"time"
)

// Plugin is a file in a tenant's directory of plugins, as operators see it.
type Plugin struct {
	Tenant string `json:"tenant"`
	File   string `json:"file"`
	// Name and those below are of the plugin that serves, empty if none does.
	Name      string     `json:"name,omitempty"`
	Version   string     `json:"version,omitempty"` // what it says of itself
	Digest    string     `json:"digest,omitempty"`  // SHA-256 of the file
	Since     *time.Time `json:"since,omitempty"`
	Functions []string   `json:"functions,omitempty"`
	// Stopped says that its guest is refused because it keeps failing.
	Stopped bool `json:"stopped,omitempty"`
	// Error is why what is in the file now does not serve.
	Error string `json:"error,omitempty"`
}

// handlePlugins lists the plugins.
func (s *Server) handlePlugins(w http.ResponseWriter, _ *http.Request) {
	body, err := json.Marshal(map[string][]Plugin{"plugins": append([]Plugin{}, s.cfg.Plugins()...)})
	if err != nil {
		panic("BUG: plugins cannot be encoded: " + err.Error())
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(body, '\n'))
}
