package inspect

import (
	"errors"
	"sync"
	"time"
)

// crashes remembers what crashed the child: starting it again costs two seconds
// of computing, which nobody may spend at will (W7).
type crashes struct {
	now func() time.Time

	mu         sync.Mutex // protects the fields below
	statements map[[32]byte]time.Time
	tenants    map[string][]time.Time
}

const (
	// crashMemory is how long a statement that crashed is refused unseen.
	crashMemory = 10 * time.Minute
	// maxCrashes of one tenant within that time, and everything of it that is not
	// known yet is refused.
	maxCrashes = 5
	// maxStatements bounds the statements remembered.
	maxStatements = 1024
)

func newCrashes(now func() time.Time) *crashes {
	return &crashes{now: now, statements: map[[32]byte]time.Time{}, tenants: map[string][]time.Time{}}
}

// add notes a crash.
func (c *crashes) add(statement [32]byte, tenant string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	c.forgetLocked(now)
	if len(c.statements) >= maxStatements {
		clear(c.statements) // the tenants' counts stay
	}
	c.statements[statement] = now
	c.tenants[tenant] = append(c.tenants[tenant], now)
}

// refusal returns why a statement is not looked at, or nil.
func (c *crashes) refusal(statement [32]byte, tenant string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forgetLocked(c.now())
	if _, ok := c.statements[statement]; ok {
		return &CrashError{Kind: CrashRepeat}
	}
	if len(c.tenants[tenant]) >= maxCrashes {
		return &CrashError{Kind: CrashRepeat, Err: errors.New("too many statements of this tenant did so not long ago")}
	}
	return nil
}

// forgetLocked drops what is long ago.
func (c *crashes) forgetLocked(now time.Time) {
	old := now.Add(-crashMemory)
	for s, at := range c.statements {
		if at.Before(old) {
			delete(c.statements, s)
		}
	}
	for tenant, list := range c.tenants {
		for len(list) > 0 && list[0].Before(old) {
			list = list[1:]
		}
		if c.tenants[tenant] = list; len(list) == 0 {
			delete(c.tenants, tenant)
		}
	}
}
