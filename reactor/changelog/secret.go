package changelog

import (
	"context"
	"crypto/rand"

	"github.com/jackc/pgx/v5"
)

// Secret returns 32 random bytes that belong to the name, made at the first call
// and kept in the schema weir: every node and every start derives the same
// randomness for guests from it (G11). Only weir's role may read them.
func Secret(ctx context.Context, url, name string) ([]byte, error) {
	fresh := make([]byte, 32)
	_, _ = rand.Read(fresh) // it never fails
	var secret []byte
	err := withConn(ctx, url, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, `insert into weir.secret (name, bytes) values ($1, $2) on conflict do nothing`, name, fresh)
		if err != nil {
			if missingSchema(err) {
				return ErrNotSetUp
			}
			return err
		}
		return conn.QueryRow(ctx, `select bytes from weir.secret where name = $1`, name).Scan(&secret)
	})
	return secret, err
}
