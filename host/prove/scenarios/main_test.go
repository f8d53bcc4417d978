package scenarios

import (
	"os"
	"strconv"
	"testing"

	"weir/host/devdb/devdbtest"
	"weir/host/hosttest"
)

func TestMain(m *testing.M) {
	hosttest.Child()
	devdbtest.Main(m)
}

// scale is WEIR_PROVE, by which sizes are multiplied.
func scale(t *testing.T) int {
	t.Helper()
	text := os.Getenv("WEIR_PROVE")
	if text == "" {
		return 1
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("WEIR_PROVE=%s: want a number from 1 on", text)
	}
	return n
}
