package host

import (
	"encoding/hex"
	"maps"
	"path/filepath"
	"slices"

	"weir/host/serve"
)

// plugins lists the plugins of all tenants, by tenant and file.
func (h *Host) plugins() []serve.Plugin {
	var list []serve.Plugin
	spaces := h.spaces()
	for _, name := range slices.Sorted(maps.Keys(spaces)) {
		set := spaces[name].plugins
		faults := set.Errors()
		for _, p := range set.All() {
			since := p.Loaded
			entry := serve.Plugin{
				Tenant: name, File: filepath.Base(p.Path), Name: p.Name(), Version: p.Manifest.Version,
				Digest: hex.EncodeToString(p.Digest[:]), Since: &since,
			}
			for _, f := range p.Functions() {
				entry.Functions = append(entry.Functions, f.Name)
			}
			entry.Stopped, _ = p.Stopped()
			if err := faults[p.Path]; err != nil {
				entry.Error = err.Error()
				delete(faults, p.Path)
			}
			list = append(list, entry)
		}
		for _, path := range slices.Sorted(maps.Keys(faults)) {
			list = append(list, serve.Plugin{Tenant: name, File: filepath.Base(path), Error: faults[path].Error()})
		}
	}
	return list
}
