package serve

import (
	"strconv"
	"strings"
	"testing"
)

// S1 and W3: who reads again after twenty states sees the one that was on its way
// and the newest, and of those between no more than the kernel had taken, with
// either writer.
func TestKernelHoldsLittleForASlowReader(t *testing.T) {
	t.Parallel()
	for _, writer := range []Writer{WriterGoroutine, WriterShard} {
		t.Run(string(writer), func(t *testing.T) {
			t.Parallel()
			const states, most = 20, 3 // of 96 KB, where the kernel would take 2 MB
			f := newDoor(t, func(c *Config) { c.Writer = writer })
			set := func(n int) { f.backend.set("big", bigRows(96<<10, "canary-"+strconv.Itoa(n))) }
			set(0)
			c := f.dial(4096)
			c.send(opens(`{"id":1,"q":"big"}`))
			slow := c.stream()
			fast := f.session(`{"id":1,"q":"big"}`)
			fast.expect("sub", "message")
			for n := 1; n <= states; n++ {
				set(n)
				fast.until("the state", func(e sseEvent) bool {
					return e.name == "message" && strings.Contains(e.data[:200], `"canary-`+strconv.Itoa(n)+`"`)
				})
			}
			seen := 0
			slow.until("the newest state", func(e sseEvent) bool {
				if e.name != "message" {
					return false
				}
				seen++
				return strings.Contains(e.data[:200], `"canary-`+strconv.Itoa(states)+`"`)
			})
			if seen > 1+most+1 {
				t.Errorf("it read %d states of %d", seen, 1+states)
			}
		})
	}
}
