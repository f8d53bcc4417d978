package config

func (c *Config) validate(f *faults) {}
