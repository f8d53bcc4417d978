package host

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"

	"weir/host/plugin"
	"weir/host/wasm"
)

// settings is what the operator tells one plugin. It is immutable.
type settings struct {
	// get is wasm.Call.Config; nil has no keys.
	get func(key string) (string, bool)
	// version is a part of every key, so that two results are never shared across
	// configurations (W4).
	version string
}

// newSettings makes the settings of a plugin that is configured; version is that
// of its tenant. The values stand in it as a digest, because keys are held and
// compared everywhere and values may be secrets.
func newSettings(version string, values map[string]string) settings {
	// Lengths before the texts: no two tables may look the same.
	var content []byte
	for _, key := range slices.Sorted(maps.Keys(values)) {
		for _, text := range []string{key, values[key]} {
			content = binary.AppendUvarint(content, uint64(len(text)))
			content = append(content, text...)
		}
	}
	sum := sha256.Sum256(content)
	return settings{
		get:     func(key string) (string, bool) { value, ok := values[key]; return value, ok },
		version: version + "\x00" + string(sum[:]),
	}
}

// settingsOf returns what a plugin is told.
func (s *space) settingsOf(p *plugin.Plugin) settings {
	return s.settingsNamed(p.Name())
}

func (s *space) settingsNamed(plugin string) settings {
	if own, ok := s.settings[plugin]; ok {
		return own
	}
	return settings{version: s.version}
}

// reuse returns how a plugin's instances are used again.
func (s *space) reuse(plugin string) wasm.Reuse {
	switch s.config.Plugin[plugin].Instances {
	case "batch":
		return wasm.Batch
	case "sticky":
		return wasm.Sticky
	}
	return wasm.Pristine
}

// unused names the plugins that are configured and not loaded, sorted.
func (s *space) unused() []string {
	absent := maps.Clone(s.settings)
	for _, p := range s.plugins.All() {
		delete(absent, p.Name())
	}
	return slices.Sorted(maps.Keys(absent))
}
