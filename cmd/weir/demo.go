package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"
)

// wantedUpdates is how many live results a demo that ends by itself must see.
const wantedUpdates = 3

func (m *Main) demoCommand() *cobra.Command {
	var dir string
	var seconds int
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run the chat example with somebody writing, and show each live result",
		Long: "Serve the chat example as weir dev does, write a message each second as ann or bob, and\n" +
			"print each live result when it arrives. With --seconds it ends by itself, with exit code 0\n" +
			"only if live results arrived.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if seconds < 0 {
				return usagef("--seconds %d is negative: give 0 to run until Ctrl-C", seconds)
			}
			return m.demo(cmd.Context(), dir, time.Duration(seconds)*time.Second)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "examples/chat", "the chat example's directory")
	cmd.Flags().IntVar(&seconds, "seconds", 0, "end after this many seconds; 0 means never")
	return cmd
}

func (m *Main) demo(ctx context.Context, dir string, length time.Duration) error {
	s, err := m.newSession(dir, false)
	if err != nil {
		return err
	}
	if !s.project.private() {
		return usagef("%s has a database.url, and the demo writes into a private database only: take the line out", m.shown(s.project.file))
	}
	s.report.quiet = true
	ctx, end := context.WithCancel(ctx)
	defer end()
	d := &demo{session: s, length: length, end: end}
	s.ready = d.play
	s.out.eventf("the first start builds the plugin and makes a database; that takes a moment")
	if err := s.run(ctx); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.err != nil:
		return d.err
	case length > 0 && d.updates < wantedUpdates:
		return fmt.Errorf("only %s arrived in %s: look at the lines above, or give it more --seconds", counted(d.updates, "live result"), length)
	}
	return nil
}

// demo is a play with two people who write and one watcher.
type demo struct {
	session *session
	length  time.Duration
	end     context.CancelFunc

	mu      sync.Mutex // protects the fields below
	began   bool
	updates int
	err     error
	newest  int64 // id of the newest message shown
}

// lines are what ann and bob have to say, in turn.
var lines = []string{
	"Good morning!", "Morning. What is this?",
	"A query in WebAssembly, and its result stays live.", "So who tells it that I wrote something?",
	"PostgreSQL does: your commit touched a row that the query read.", "Only those who watch this room?",
	"Only those. The others are not even asked.", "And if I take you out of the room?",
	"My page goes dark at once. Put me back, and it returns.", "Neat. Open the page and write something.",
}

// play runs for each start of the host, until ctx ends.
func (d *demo) play(ctx context.Context, base string) {
	if err := d.scene(ctx, base); err != nil && ctx.Err() == nil {
		d.mu.Lock()
		d.err = err
		d.mu.Unlock()
		d.end()
	}
}

func (d *demo) scene(ctx context.Context, base string) error {
	out := d.session.out
	out.linef("\n  ann  %s/?as=ann\n  bob  %s/?as=bob\n\n  Open both, write something, edit %s/plugin while it runs. Ctrl-C ends it.\n",
		base, base, d.session.project.shown)
	room, err := d.room(ctx)
	if err != nil {
		return err
	}
	d.mu.Lock()
	first := !d.began
	d.began = true
	d.mu.Unlock()
	if first && d.length > 0 {
		timer := time.AfterFunc(d.length, d.end)
		defer timer.Stop()
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watching := make(chan struct{})
	var once sync.Once
	watcher := newClient(base, "cid", "")
	defer watcher.close()
	stream := &subscription{
		client: watcher, name: "messages.list", params: url.Values{"room": {fmt.Sprint(room)}},
		event: func(e sseEvent) error {
			if e.name == "" {
				d.frame(ctx, e.data)
				once.Do(func() { close(watching) })
			}
			return nil
		},
		lost: func(_ error, wait time.Duration) { out.eventf("the stream was lost, again in %s", millis(wait)) },
	}
	watched := make(chan error, 1)
	go func() { watched <- stream.run(ctx) }()
	select {
	case <-watching:
		err = d.write(ctx, base, room)
	case err = <-watched:
		return err
	case <-ctx.Done():
	}
	cancel()
	return errors.Join(err, ignoreEnd(<-watched))
}

// ignoreEnd drops the error of a context that was cancelled.
func ignoreEnd(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// room is where everybody of the seed is.
func (d *demo) room(ctx context.Context) (id int64, err error) {
	err = withConn(ctx, d.ownerURL(), func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `select room_id from members where user_id in ('ann', 'bob', 'cid')
			group by room_id having count(*) = 3 order by room_id limit 1`).Scan(&id)
	})
	if err != nil {
		return 0, fmt.Errorf("find a room with ann, bob and cid: %w: is --dir the chat example?", err)
	}
	return id, nil
}

func (d *demo) ownerURL() string { return d.session.cluster.URL(d.session.database) }

// pause is the time between two messages; a short demo hurries.
func (d *demo) pause() time.Duration {
	if d.length > 0 {
		return min(time.Second, d.length/(2*wantedUpdates))
	}
	return time.Second
}

// write says the lines until ctx ends, as ann and bob by turns. A call that fails
// is told and tried again with the next line: the database may be away.
func (d *demo) write(ctx context.Context, base string, room int64) error {
	people := []*client{newClient(base, "ann", ""), newClient(base, "bob", "")}
	defer people[0].close()
	defer people[1].close()
	tick := time.NewTicker(d.pause())
	defer tick.Stop()
	for i := 0; ctx.Err() == nil; i++ {
		text := lines[i%len(lines)]
		body, err := json.Marshal(map[string]any{"room": room, "body": text})
		if err != nil {
			return err
		}
		r, err := people[i%2].request(ctx, "/v1/call/messages.post", nil, body)
		if err != nil {
			return err
		}
		if _, err := people[i%2].do(r); err != nil && ctx.Err() == nil {
			d.session.out.eventf("%s could not post: %s", people[i%2].as, oneLine(err.Error()))
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	return nil
}

// message is a row of messages.list.
type message struct {
	ID     int64     `json:"id"`
	Author string    `json:"author"`
	Body   string    `json:"body"`
	SentAt time.Time `json:"sent_at"`
}

// frame prints what is new in a full result.
func (d *demo) frame(ctx context.Context, data []byte) {
	arrived := time.Now()
	var list struct{ Rows []message }
	if json.Unmarshal(data, &list) != nil || len(list.Rows) == 0 {
		return
	}
	d.mu.Lock()
	known := d.newest
	d.newest = max(known, list.Rows[0].ID)
	if known > 0 {
		d.updates++
	}
	d.mu.Unlock()
	if known == 0 {
		d.session.out.eventf("%-4s watches, %s so far", "cid", counted(len(list.Rows), "message"))
		return
	}
	for i := len(list.Rows) - 1; i >= 0; i-- { // newest last, as in the page
		row := list.Rows[i]
		if row.ID > known {
			d.session.out.eventf("%-4s %-64s live %s after the commit", oneLine(row.Author),
				shortened(oneLine(row.Body), 64), millis(arrived.Sub(d.committed(ctx, row))))
		}
	}
}

// committed is when a message was committed, by PostgreSQL's clock, which is that
// of this machine.
func (d *demo) committed(ctx context.Context, row message) time.Time {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	at := row.SentAt // the begin of its transaction, should the rest fail
	_ = withConn(ctx, d.ownerURL(), func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `select coalesce(pg_xact_commit_timestamp(xmin), sent_at) from messages where id = $1`, row.ID).Scan(&at)
	})
	return at
}
