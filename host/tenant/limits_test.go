package tenant

import (
	"reflect"
	"testing"
	"time"
)

// T1: the zero value runs with safe defaults, so a field without a default must
// be one of the four whose default is off.
func TestZeroLimitsHaveDefaults(t *testing.T) {
	t.Parallel()
	offByDefault := map[string]bool{"FirstDebounce": true, "MaxAddressSessions": true, "ExpLeeway": true, "MaxConnections": true}
	v := reflect.ValueOf(Limits{}.WithDefaults())
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if n := v.Field(i).Int(); (n == 0) != offByDefault[name] || n < 0 {
			t.Errorf("%s = %d, off by default is %v", name, n, offByDefault[name])
		}
	}
}

// T1: what was set stays, and a negative number stays off.
func TestLimitsThatAreSetStay(t *testing.T) {
	t.Parallel()
	var l Limits
	v := reflect.ValueOf(&l).Elem()
	for _, n := range []int64{-1, 7} {
		for i := range v.NumField() {
			v.Field(i).SetInt(n)
		}
		if got := l.WithDefaults(); got != l {
			t.Errorf("WithDefaults changed limits that were set to %d: %+v", n, got)
		}
	}
}

func TestDefaultLimitsAreTheDocumentedOnes(t *testing.T) {
	t.Parallel()
	l := Limits{}.WithDefaults()
	f := func(name string, got, want any) {
		t.Helper()
		if got != want {
			t.Errorf("%s = %v, want %v", name, got, want)
		}
	}
	f("executions", [2]int{l.MaxTotalExecutions, l.MaxExecutions}, [2]int{64, 16})
	f("query", l.QueryTimeout, 5*time.Second)
	f("policy", l.PolicyTimeout, time.Second)
	f("mutation", l.MutationTimeout, 10*time.Second)
	f("sessions", [4]int{l.MaxSessions, l.MaxPrincipalSessions, l.MaxAddressSessions, l.MaxAnonymousSessions}, [4]int{10_000, 20, 0, 5_000})
	f("subscriptions", [2]int{l.MaxSessionSubscriptions, l.MaxPrincipalSubscriptions}, [2]int{100, 500})
	f("groups", [2]int{l.MaxPrincipalGroups, l.MaxGroups}, [2]int{500, 50_000})
	f("result", [3]int64{l.MaxCachedBytes, l.MaxResultBytes, int64(l.MaxResultRows)}, [3]int64{10 << 20, 4 << 20, 10_000})
	f("token", l.MaxTokenBytes, 8192)
	f("pinned", l.MaxPinnedBytes, int64(64<<20))
}

func TestFrameTimeoutGrowsWithTheFrame(t *testing.T) {
	t.Parallel()
	if got, want := (Limits{}).FrameTimeout(0), 30*time.Second; got != want {
		t.Errorf("FrameTimeout(0) = %v, want %v", got, want)
	}
	if got, want := (Limits{}).FrameTimeout(4<<20), 286*time.Second; got != want {
		t.Errorf("FrameTimeout(4 MiB) = %v, want %v", got, want)
	}
}
