package changelogtest

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// FollowSequence is the reader that weir must not be (C1): its cursor is the
// largest number of a sequence column that it saw. It reads in a goroutine until
// the returned function is called, which reads once more and says how many rows
// it saw in all. It owns conn meanwhile.
func FollowSequence(ctx context.Context, conn *pgx.Conn, table, column string) (stop func() int) {
	ctx, cancel := context.WithCancel(ctx)
	seen, last := 0, int64(0)
	sql := fmt.Sprintf(`select count(*), coalesce(max(%[2]s), $1) from %[1]s where %[2]s > $1`, table, column)
	read := func(ctx context.Context) error {
		n, top := 0, last
		if err := conn.QueryRow(ctx, sql, last).Scan(&n, &top); err != nil {
			return err
		}
		seen, last = seen+n, top
		return nil
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			// Not the loop's context: a cancelled query would close conn.
			if read(context.WithoutCancel(ctx)) != nil {
				return
			}
		}
	}()
	return func() int {
		cancel()
		<-done
		_ = read(context.Background()) // what it counted until then stands
		return seen
	}
}
