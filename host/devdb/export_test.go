package devdb

import "testing"

// SetSharedHome changes where data goes that the server's user cannot reach, as
// long as t runs. No other test may be running.
func SetSharedHome(t *testing.T, dir string) {
	before := sharedHome
	sharedHome = dir
	t.Cleanup(func() { sharedHome = before })
}
