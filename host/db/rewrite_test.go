package db

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// R9: the rewritten table is found whichever of the read ones it is, for each
// width of the check.
func TestRewriteIsNoticedAmongManyTables(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, 3, 5, 8, 9} {
		t.Run(fmt.Sprintf("tables=%d", n), func(t *testing.T) {
			t.Parallel()
			d, server := start(t)
			var sql strings.Builder
			for i := range n {
				fmt.Fprintf(&sql, "create table t%d (id int primary key); insert into t%[1]d values (1); grant select on t%[1]d to weir_test;", i)
			}
			server.Exec(t, sql.String())
			rooms := prepare(t, d, `select id from rooms where id = 1`)
			queries := make([]Query, n)
			for i := range queries {
				queries[i].Statement = prepare(t, d, fmt.Sprintf(`select count(*) as n from t%d`, i))
			}
			for rewritten := -1; rewritten < n; rewritten++ {
				tx, err := d.Read(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				defer tx.Close()
				first := []Query{{Statement: rooms}}
				if n == 1 {
					first[0].Statement = prepare(t, d, `select 1 as n`) // no table, so that the check is of one
				}
				if _, err := tx.Query(t.Context(), first); err != nil {
					t.Fatal(err)
				}
				if rewritten >= 0 {
					server.Exec(t, fmt.Sprintf(`truncate t%d`, rewritten))
				}
				if _, err := tx.Query(t.Context(), queries); err != nil {
					t.Fatal(err)
				}
				if err := tx.Finish(t.Context()); errors.Is(err, ErrUnstable) != (rewritten >= 0) || err != nil && rewritten < 0 {
					t.Errorf("table %d of %d was rewritten, Finish = %v", rewritten, n, err)
				}
			}
		})
	}
}
