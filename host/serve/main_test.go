package serve

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if at := os.Getenv(crowdAt); at != "" {
		os.Exit(crowdMain(at))
	}
	goleak.VerifyTestMain(m)
}
