package db

import (
	"fmt"
	"strconv"
	"strings"
)

// checks are the commands of R9: TRUNCATE and rewriting ALTER show through a
// snapshot. pg_class is read at the snapshot, pg_relation_filenode as it is now,
// so a check runs last.
//
// There is one for each width, because of the plan: for an array of any length
// PostgreSQL assumes ten elements, finds the generic plan dear, and plans anew
// at each execution, which costs more than everything else a transaction adds to
// its query. A lookup of its own for each parameter keeps the generic plan and
// never becomes a scan of the whole of pg_class.
var checks = func() (out []*command) {
	for i, width := range [...]int{1, 2, 4, 8} {
		cmd := &command{id: firstCheckID + uint64(i)}
		parts := make([]string, width)
		for j := range parts {
			parts[j] = fmt.Sprintf(`(select %s from pg_catalog.pg_class where oid = $%d)`, differs, j+1)
			cmd.oids = append(cmd.oids, oidOID)
		}
		cmd.text = "select 1 where " + strings.Join(parts, " or ")
		out = append(out, cmd)
	}
	return out
}()

// checkMany is the check for more relations than the widest of checks.
var checkMany = &command{
	id: 8, oids: []uint32{oidOIDArray}, text: "select 1 from pg_catalog.pg_class where oid = any($1) and " + differs,
}

const differs = `relfilenode is distinct from pg_catalog.pg_relation_filenode(oid)`

// check queues the check of relations, at least one. It answers with a row if
// one of them was rewritten.
func (c *conn) check(oids []uint32) {
	for _, cmd := range checks {
		if width := len(cmd.oids); len(oids) <= width {
			args := make([]argument, width)
			for i := range args {
				// The last one stands for those that are missing.
				args[i].wire = strconv.AppendUint(nil, uint64(oids[min(i, len(oids)-1)]), 10)
			}
			c.run(cmd, args, 1)
			return
		}
	}
	c.run(checkMany, []argument{oidArgument(oids)}, 1)
}
