package db

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// directWrite is how many bytes are written before anything is read. More than
// fits the socket buffers must be written while the answers are read, or both
// sides wait for each other.
const directWrite = 32 << 10

// command is one text that a connection runs as a prepared statement.
type command struct {
	id      uint64 // tells commands apart in the cache of a connection
	text    string
	oids    []uint32 // parameter types; 0 = PostgreSQL's choice
	formats []int16  // of the result columns; nil = text
}

// The commands of every connection. Their ids are below firstID.
var (
	beginRead  = &command{id: 1, text: "begin isolation level repeatable read read only"}
	beginWrite = &command{id: 2, text: "begin isolation level repeatable read read write"}
	rollback   = &command{id: 3, text: "rollback"}
	commit     = &command{id: 4, text: "commit"}
	savepoint  = &command{id: 5, text: "savepoint weir"}
	rollbackTo = &command{id: 6, text: "rollback to weir"}
	assigned   = &command{id: 7, text: "select pg_current_xact_id_if_assigned()::text"}
)

// snapshotID is the id of the command that reads snapshot and epoch; its text
// depends on Config.EpochExpr. The checks of R9 begin at firstCheckID.
const snapshotID, firstCheckID, firstID = 9, 10, 16

// conn is one connection, owned by whoever took it from the pool. It speaks the
// extended protocol only.
type conn struct {
	net    net.Conn
	front  *pgproto3.Frontend
	server *pgconn.HijackedConn // for the cancel request
	config *pgconn.Config       // that it was made with

	prepared map[uint64]*prepared
	parsing  []*prepared // sent, ParseComplete not seen, oldest first
	snapshot *command    // reads snapshot, epoch and whether it is a standby
	names    uint64
	clock    uint64 // of the prepared statements' use
	limit    int    // most prepared statements kept

	queued   int        // bytes queued since the last flush, roughly
	writing  chan error // a write that runs beside the reads, or nil
	sent     int        // syncs sent
	received int        // answers to them seen
	extra    bool       // it has the place beside the bound
	reused   bool       // came from the pool, may be dead already
	taken    time.Time  // when it was given out last
	returned time.Time  // when it came back last, having been answered
	broken   bool       // must not go back to the pool
}

type prepared struct {
	id, used uint64
	name     string
	segment  int // the sync that ends its parse
}

// version returns the server's version in the form of server_version_num, as far
// as the major number goes: 180000 for "18beta1".
func (c *conn) version() int {
	text := c.server.ParameterStatuses["server_version"]
	end := strings.IndexFunc(text, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(text)
	}
	major, _ := strconv.Atoi(text[:end]) // 0 if there is none: older than all we know
	return major * 10000
}

// run queues one execution. At most maxRows rows are sent back; 0 means all.
func (c *conn) run(cmd *command, args []argument, maxRows uint32) {
	c.clock++
	p := c.prepared[cmd.id]
	if p == nil {
		c.evict()
		c.names++
		p = &prepared{id: cmd.id, name: "w" + strconv.FormatUint(c.names, 10), segment: c.sent}
		c.prepared[cmd.id] = p
		c.parsing = append(c.parsing, p)
		c.front.SendParse(&pgproto3.Parse{Name: p.name, Query: cmd.text, ParameterOIDs: cmd.oids})
		c.queued += len(cmd.text) + 64
	}
	p.used = c.clock
	bind := pgproto3.Bind{PreparedStatement: p.name, ResultFormatCodes: cmd.formats}
	if len(args) > 0 {
		bind.Parameters = make([][]byte, len(args))
		bind.ParameterFormatCodes = make([]int16, len(args))
		for i := range args {
			bind.Parameters[i], bind.ParameterFormatCodes[i] = args[i].wire, args[i].format
			c.queued += len(args[i].wire) + 8
		}
	}
	c.front.SendBind(&bind)
	c.front.SendExecute(&pgproto3.Execute{MaxRows: maxRows})
	c.queued += 64 + 2*len(cmd.formats)
}

// evict closes the prepared statement that was not used for longest.
func (c *conn) evict() {
	if len(c.prepared) < c.limit {
		return
	}
	var oldest *prepared
	for _, p := range c.prepared {
		if p.id >= firstID && (oldest == nil || p.used < oldest.used) {
			oldest = p
		}
	}
	if oldest == nil || slices.Contains(c.parsing, oldest) {
		return
	}
	delete(c.prepared, oldest.id)
	c.front.SendClose(&pgproto3.Close{ObjectType: 'S', Name: oldest.name})
}

// sync queues the end of a segment. After an error the server skips what
// follows up to here.
func (c *conn) sync() {
	c.front.SendSync(&pgproto3.Sync{})
	c.sent++
}

// flush sends what is queued. Before it returns, or beside the reads that
// follow when there is much.
func (c *conn) flush() error {
	big := c.queued > directWrite
	c.queued = 0
	if !big {
		return c.front.Flush()
	}
	done := make(chan error, 1)
	c.writing = done
	go func() { done <- c.front.Flush() }()
	return nil
}

// written waits for a write that runs beside the reads.
func (c *conn) written() error {
	if c.writing == nil {
		return nil
	}
	err := <-c.writing
	c.writing = nil
	return err
}

// answer is the end of one execution.
type answer struct {
	tag       string
	suspended bool // there were more rows than asked for
}

// read takes the answer of the next execution; its rows go to sink, which may
// be nil. An error of the server leaves the connection inside the failed
// segment: ready must follow. Any other error breaks the connection.
func (c *conn) read(sink func([][]byte) error) (answer, error) {
	var late error // of the sink: the rows that follow still have to be read
	for {
		msg, err := c.receive()
		if err != nil {
			return answer{}, err
		}
		switch m := msg.(type) {
		case *pgproto3.DataRow:
			if sink != nil && late == nil {
				late = sink(m.Values)
			}
		case *pgproto3.CommandComplete:
			return answer{tag: string(m.CommandTag)}, late
		case *pgproto3.PortalSuspended:
			return answer{suspended: true}, late
		case *pgproto3.EmptyQueryResponse:
			return answer{}, late
		case *pgproto3.ErrorResponse:
			return answer{}, c.refuse(m)
		case *pgproto3.ReadyForQuery:
			c.broken = true
			return answer{}, fmt.Errorf("BUG: ready for query inside an answer")
		}
	}
}

// describe takes the answer of a Parse and Describe. What returns no rows has nil
// fields; rows without columns are described by none.
func (c *conn) describe() (params []uint32, fields []pgproto3.FieldDescription, err error) {
	for {
		msg, err := c.receive()
		if err != nil {
			return nil, nil, err
		}
		switch m := msg.(type) {
		case *pgproto3.ParameterDescription:
			params = slices.Clone(m.ParameterOIDs)
		case *pgproto3.RowDescription:
			fields = append(make([]pgproto3.FieldDescription, 0, len(m.Fields)), m.Fields...)
			for i := range fields {
				fields[i].Name = slices.Clone(fields[i].Name)
			}
			return params, fields, nil
		case *pgproto3.NoData:
			return params, nil, nil
		case *pgproto3.ErrorResponse:
			return nil, nil, c.refuse(m)
		}
	}
}

// ready reads up to the end of the current segment.
func (c *conn) ready() error {
	for {
		msg, err := c.receive()
		if err != nil {
			return err
		}
		switch m := msg.(type) {
		case *pgproto3.ErrorResponse:
			_ = c.refuse(m) // an error of what nobody waits for any more
		case *pgproto3.ReadyForQuery:
			c.received++
			if c.received < c.sent {
				return nil
			}
			return c.written()
		}
	}
}

// drain reads up to the end of the last segment sent.
func (c *conn) drain() error {
	for c.received < c.sent {
		if err := c.ready(); err != nil {
			return err
		}
	}
	return nil
}

// receive returns the next message that is not about the session.
func (c *conn) receive() (pgproto3.BackendMessage, error) {
	for {
		msg, err := c.front.Receive()
		if err != nil {
			c.broken = true
			return nil, err
		}
		switch m := msg.(type) {
		case *pgproto3.ParseComplete:
			if len(c.parsing) > 0 {
				c.parsing = c.parsing[1:]
			}
		case *pgproto3.NoticeResponse, *pgproto3.ParameterStatus, *pgproto3.NotificationResponse,
			*pgproto3.BindComplete, *pgproto3.CloseComplete:
		case *pgproto3.ErrorResponse:
			if m.Severity == "FATAL" || m.SeverityUnlocalized == "FATAL" {
				c.broken = true
			}
			return m, nil
		default:
			return msg, nil
		}
	}
}

// refuse turns an error of the server into a Go error and forgets the
// statements whose parse it skipped.
func (c *conn) refuse(m *pgproto3.ErrorResponse) error {
	for len(c.parsing) > 0 && c.parsing[0].segment <= c.received {
		delete(c.prepared, c.parsing[0].id)
		c.parsing = c.parsing[1:]
	}
	return pgconn.ErrorResponseToPgError(m)
}

// watch makes ctx end what waits on the connection. The returned function must
// be called when the work is done; it reports whether ctx ended first.
func (c *conn) watch(ctx context.Context) (stop func() bool) {
	if ctx.Done() == nil {
		return func() bool { return false }
	}
	cancel := context.AfterFunc(ctx, func() { c.net.SetDeadline(time.Unix(1, 0)) })
	return func() bool { return !cancel() }
}

// watched is watch for work after which a connection at its deadline is not used
// again: defer c.watched(ctx)().
func (c *conn) watched(ctx context.Context) func() {
	stop := c.watch(ctx)
	return func() {
		if stop() {
			c.broken = true
		}
	}
}

// once queues one execution of a text that is not kept.
func (c *conn) once(text string, args []argument) {
	c.front.SendParse(&pgproto3.Parse{Query: text})
	c.parsing = append(c.parsing, &prepared{segment: c.sent})
	bind := pgproto3.Bind{}
	for i := range args {
		bind.Parameters = append(bind.Parameters, args[i].wire)
	}
	c.front.SendBind(&bind)
	c.front.SendExecute(&pgproto3.Execute{})
	c.queued += len(text) + 128
}
