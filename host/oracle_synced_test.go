package host_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"weir/abi"
)

// wireBump is a mutation that makes what only grows grow.
const wireBump = "update tick set n = n + 1 returning n"

// bumps adds the mutation to a plugin.
func bumps(m *abi.Manifest) {
	i := len(m.Statements)
	m.Statements = append(m.Statements, abi.Statement{SQL: wireBump})
	m.Functions = append(m.Functions, abi.Function{Name: "bump", Kind: abi.Mutation, Statement: &i, Access: abi.Access{Public: true}})
}

// bump makes the mutation in the name of the client's session, if it has one.
func (c *wireClient) bump() {
	c.mu.Lock()
	sid := c.sid
	c.mu.Unlock()
	if c.ended == nil || c.single || sid == "" {
		return
	}
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, c.base+"/v1/call/bump", strings.NewReader("{}"))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Weir-Session", sid)
	resp, err := c.http.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	var answer struct {
		TX     string
		Result []struct{ N int64 }
	}
	if err == nil {
		err = json.Unmarshal(text, &answer)
	}
	if err != nil || resp.StatusCode != http.StatusOK || answer.TX == "" || len(answer.Result) != 1 {
		c.t.Errorf("%s: bump: %s %s (%v)", c.name, resp.Status, text, err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wrote[answer.TX] = answer.Result[0].N
	c.judge(answer.TX)
}

// sync takes a synced event: what it showed by then is judged when the answer of the
// mutation is known too, which may come later.
func (c *wireClient) sync(e *wireEvent) {
	c.counts.synced++
	least := int64(-1)
	for _, s := range c.subs {
		late := false
		for _, id := range e.Pending {
			late = late || id == s.id
		}
		if live := s.status == "live" || s.status == "unchanged"; s.counts && live && !late && (least < 0 || s.last < least) {
			least = s.last
		}
	}
	c.synced[e.TX] = least
	c.judge(e.TX)
}

// judge compares what was shown before synced with what was written: it is told
// after it, or about nothing that is live.
func (c *wireClient) judge(tx string) {
	wrote, answered := c.wrote[tx]
	shown, told := c.synced[tx]
	if answered && told && shown >= 0 && shown < wrote {
		c.faultLocked("synced, and it shows %d where %d was written", shown, wrote)
	}
}

// unsynced says which mutation's effects it was not told to have.
func (c *wireClient) unsynced() string {
	for tx, n := range c.wrote {
		if _, told := c.synced[tx]; !told {
			return fmt.Sprintf("%s: %d is written and not synced", c.name, n)
		}
	}
	return ""
}
