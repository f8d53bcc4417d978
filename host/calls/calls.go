package calls

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"weir/abi"
	"weir/host/db"
	"weir/reactor"
)

// ErrReused is returned for a key that was used with other arguments.
var ErrReused = &abi.Error{
	Code: abi.BadRequest, Public: true,
	Message: "the Idempotency-Key was used for a call with other arguments: take a new one for each call",
}

// Log is a tenant's memory of answers. It is safe for concurrent use.
type Log struct {
	// DB is the tenant's. Required.
	DB *db.DB

	mu         sync.Mutex // protects the field below
	statements *statements
}

type statements struct{ begin, end, sweep *db.Statement }

// Call is one call with a key.
type Call struct {
	key, request []byte
}

// Answer is what a call has answered.
type Answer struct {
	Result []byte // JSON
	// Tx names its transaction; zero if it is of a history that is over.
	Tx reactor.Stamp
}

// NewCall names a call: by whom, of which function, with which key, with which
// arguments, deterministically encoded.
func NewCall(principal, function, key string, args []byte) *Call {
	h := sha256.New()
	for _, part := range []string{principal, function, key} {
		h.Write(binary.AppendUvarint(nil, uint64(len(part))))
		h.Write([]byte(part))
	}
	request := sha256.Sum256(args)
	return &Call{key: h.Sum(nil), request: request[:]}
}

// Ready prepares what Begin and End run. It comes before the transaction: whoever
// holds a connection must not wait for another one.
func (l *Log) Ready(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.statements != nil {
		return nil
	}
	var s statements
	for _, p := range []struct {
		to  **db.Statement
		sql string
	}{
		{&s.begin, `select fresh, same, epoch, tx, result from weir.call_begin($key, $request)`},
		{&s.end, `select weir.call_end($key, $epoch, $result) as noted`},
		{&s.sweep, `select weir.call_sweep() as gone`},
	} {
		var err error
		if *p.to, err = l.DB.PrepareSQL(ctx, p.sql, db.Write); err != nil {
			return fmt.Errorf("idempotency key: %w", err)
		}
	}
	l.statements = &s
	return nil
}

func (l *Log) prepared() *statements {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.statements == nil {
		panic("BUG: a Log is used before Ready")
	}
	return l.statements
}

// Begin notes the call in its transaction. If it was answered before, it returns
// the answer, and the mutation must not run. db.ErrConflict means that the same
// call ended meanwhile: ask again in a new transaction.
func (l *Log) Begin(ctx context.Context, tx *db.WriteTx, c *Call) (*Answer, error) {
	rows, err := run(ctx, tx, l.prepared().begin, abi.Bytes(c.key), abi.Bytes(c.request))
	if err != nil {
		return nil, err
	}
	if rows.Len() != 1 {
		return nil, errors.New("idempotency key: weir.call_begin gave no row")
	}
	fresh, _ := rows.Value(0, 0).AsBool()
	same, _ := rows.Value(0, 1).AsBool()
	switch {
	case fresh:
		return nil, nil
	case !same:
		return nil, ErrReused
	}
	a := &Answer{}
	a.Result, _ = rows.Value(0, 4).AsBytes()
	if epoch, _ := rows.Value(0, 2).AsText(); reactor.Epoch(epoch).Same(tx.Epoch()) {
		text, _ := rows.Value(0, 3).AsText()
		xid, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("idempotency key: its transaction: %w", err)
		}
		a.Tx = reactor.TxStamp(tx.Epoch(), xid)
	}
	return a, nil
}

// End notes the answer. It commits with the transaction.
func (l *Log) End(ctx context.Context, tx *db.WriteTx, c *Call, result []byte) error {
	_, err := run(ctx, tx, l.prepared().end, abi.Bytes(c.key), abi.Text(string(tx.Epoch())), abi.Bytes(result))
	return err
}

// Sweep forgets answers that are older than a day, and returns how many.
func (l *Log) Sweep(ctx context.Context) (int64, error) {
	if err := l.Ready(ctx); err != nil {
		return 0, err
	}
	tx, err := l.DB.Write(ctx)
	if err != nil {
		return 0, err
	}
	defer tx.Close()
	rows, err := run(ctx, tx, l.prepared().sweep)
	if err != nil {
		return 0, err
	}
	n, _ := rows.Value(0, 0).AsInt()
	_, err = tx.Commit(ctx)
	return n, err
}

func run(ctx context.Context, tx *db.WriteTx, statement *db.Statement, args ...abi.Value) (*db.Rows, error) {
	answer, err := tx.Exec(ctx, db.Query{Statement: statement, Args: args})
	if err != nil {
		return nil, fmt.Errorf("idempotency key: %w", err)
	}
	return answer.Rows, nil
}
