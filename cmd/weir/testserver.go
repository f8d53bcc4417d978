package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"weir/host"
	"weir/host/config"
)

// serveTest serves one test of package weirtest: it makes a database, serves the
// project's plugins on it and says {"url"}, then answers each {"sql"} on standard
// input with {"rows"} or {"error"}, and each {"claims"} with {"token"} or {"error"},
// until standard input ends.
func (m *Main) serveTest(ctx context.Context, dir string, files []string) error {
	say := json.NewEncoder(m.Stdout)
	err := m.serveTestOn(ctx, dir, files, say)
	if err == nil || ctx.Err() != nil {
		return nil
	}
	return say.Encode(map[string]string{"error": m.sentence(err)})
}

func (m *Main) serveTestOn(ctx context.Context, dir string, files []string, say *json.Encoder) (err error) {
	p, err := m.openProject(dir)
	if err != nil {
		return err
	}
	for _, name := range files {
		if !filepath.IsAbs(name) {
			name = filepath.Join(p.dir, name)
		}
		p.sql = append(p.sql, name)
	}
	if m.Getenv(envBuilt) == "" {
		if err := m.buildAll(ctx, p); err != nil {
			return err
		}
	}
	db, err := m.testDatabase(ctx, p)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.drop()) }()
	return m.serveTestDatabase(ctx, p, db, say)
}

// testConnections is what one test's weir may open: several run side by side.
const testConnections = 8

func (m *Main) serveTestDatabase(ctx context.Context, p *project, db *testDatabase, say *json.Encoder) (err error) {
	file := *forDev(p.config)
	file.Database.URL, file.Database.Guest = config.Secret(db.weir), config.Secret(db.guest)
	file.Database.Connections = testConnections
	file.Server.Web = ""
	tokens := newTestTokens(&file)
	var faults faultList
	cfg := host.Config{File: &file, Dev: true, StateDir: m.stateDir(), Inspect: commandOf(childSQL), Compile: commandOf(childCompile), Event: faults.add}
	if cfg.Listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return err
	}
	if cfg.Admin, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return errors.Join(err, cfg.Listener.Close())
	}
	h, err := host.New(cfg)
	if err != nil {
		return err
	}
	hostCtx, end := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan error, 1)
	go func() { done <- h.Run(hostCtx) }()
	defer func() {
		end()
		err = errors.Join(err, <-done)
	}()
	select {
	case <-h.Ready():
	case err := <-done:
		done <- nil // for the deferred wait
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := faults.all(); err != nil {
		return err
	}
	if err := say.Encode(map[string]string{"url": h.URL()}); err != nil {
		return err
	}
	return answerTest(ctx, m.Stdin, db.admin, tokens, say)
}

// answerTest does what in asks for, until it ends.
func answerTest(ctx context.Context, in io.Reader, url string, tokens *testTokens, say *json.Encoder) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil || ctx.Err() != nil {
			return nil //nolint:nilerr // the test has ended
		}
		var ask struct {
			SQL    string
			Claims map[string]any
		}
		decoder := json.NewDecoder(bytes.NewReader(line))
		decoder.UseNumber() // integers are exact
		if err := decoder.Decode(&ask); err != nil {
			return fmt.Errorf("a line of the test is no JSON: %w", err)
		}
		answer := map[string]any{}
		if ask.Claims != nil {
			answer["token"], err = tokens.mint(ask.Claims)
		} else {
			answer["rows"], err = queryJSON(ctx, url, ask.SQL)
		}
		if err != nil {
			answer = map[string]any{"error": err.Error()}
		}
		if err := say.Encode(answer); err != nil {
			return err
		}
	}
}

// queryJSON runs statements in one transaction and returns the rows of the last.
func queryJSON(ctx context.Context, url, text string) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	rows := json.RawMessage("[]")
	err := withConn(ctx, url, func(conn *pgx.Conn) error {
		results := conn.PgConn().Exec(ctx, text)
		for results.NextResult() {
			rows = rowsJSON(results.ResultReader())
		}
		return results.Close()
	})
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		err = sqlError(refused)
	}
	return rows, err
}

func rowsJSON(r *pgconn.ResultReader) json.RawMessage {
	var b strings.Builder
	b.WriteByte('[')
	for r.NextRow() {
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		b.WriteByte('{')
		for i, f := range r.FieldDescriptions() {
			if i > 0 {
				b.WriteByte(',')
			}
			name, _ := json.Marshal(f.Name) // text can be encoded
			fmt.Fprintf(&b, "%s:%s", name, cellJSON(f.DataTypeOID, r.Values()[i]))
		}
		b.WriteByte('}')
	}
	b.WriteByte(']')
	return json.RawMessage(b.String())
}

// cellJSON writes a value as weir writes it to clients, as far as tests need it.
func cellJSON(kind uint32, text []byte) []byte {
	switch {
	case text == nil:
		return []byte("null")
	case kind == pgtype.BoolOID:
		return map[bool][]byte{true: []byte("true"), false: []byte("false")}[string(text) == "t"]
	case kind == pgtype.Int2OID || kind == pgtype.Int4OID || kind == pgtype.Int8OID || kind == pgtype.JSONOID || kind == pgtype.JSONBOID,
		(kind == pgtype.Float4OID || kind == pgtype.Float8OID) && json.Valid(text):
		return text
	}
	encoded, _ := json.Marshal(string(text)) // text can be encoded
	return encoded
}
