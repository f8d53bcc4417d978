package host

import (
	"errors"
	"testing"

	"weir/abi"
	"weir/host/serve"
)

// TestNothingIsUnknownBeforeAllPluginsWereTried: D4, W1. A function that is not
// there yet is no unknown one: clients that come back after a restart, when the
// first plugins are loaded and theirs is not, would stop for good.
func TestNothingIsUnknownBeforeAllPluginsWereTried(t *testing.T) {
	t.Parallel()
	s := &space{rooms: &rooms{}}
	f := func(want abi.Code) {
		t.Helper()
		var refusal *serve.Refusal
		if err := (&backend{}).unknown(s, errors.New("there is no such function")); !errors.As(err, &refusal) || refusal.Kind != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	f(abi.Unavailable)
	s.tried.Store(true)
	f(abi.UnknownFunction)
}
