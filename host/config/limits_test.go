package config_test

import (
	"testing"

	"weir/host/config"
	"weir/host/tenant"
)

// The limits of the file are those of a tenant, field by field, with the same
// defaults: the conversion compiles and changes nothing.
func TestLimitsAreThoseOfATenant(t *testing.T) {
	t.Parallel()
	got := tenant.Limits(config.Default().Limits)
	if want := (tenant.Limits{}).WithDefaults(); got != want {
		t.Errorf("defaults of the file\n%+v\nof a tenant\n%+v", got, want)
	}
}
