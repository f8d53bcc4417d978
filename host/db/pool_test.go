package db

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"weir/host/devdb/devdbtest"
)

// forgetter loses, without a word, every byte of connections that were made before
// forget: a firewall that was restarted.
type forgetter struct{ age atomic.Int64 }

func (f *forgetter) forget() { f.age.Add(1) }

// newForgetter stands before the server of a URL, and ends with the test.
func newForgetter(t *testing.T, target string) (f *forgetter, throughIt string) {
	t.Helper()
	f = &forgetter{}
	return f, devdbtest.Wire(t, target, func() (server, client devdbtest.Pass) {
		born := f.age.Load()
		pass := func([]byte) bool { return f.age.Load() == born }
		return pass, pass
	})
}

// W1, W9: when the network has lost all idle connections without a word, one
// deadline is enough to find that out, not one for each.
func TestHalfOpenConnectionsCostOneDeadline(t *testing.T) {
	t.Parallel()
	_, server := start(t)
	f, through := newForgetter(t, server.As("weir_test", ""))
	d, err := Open(t.Context(), Config{URL: through, EpochExpr: func(int) string { return testEpoch }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	st := prepare(t, d, `select id from rooms order by id`)
	const idle = 8
	var open []*ReadTx
	for range idle {
		tx, err := d.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, tx)
	}
	for _, tx := range open {
		if err := tx.Finish(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := d.Stats().Idle; n != idle {
		t.Fatalf("%d idle connections, want %d", n, idle)
	}
	f.forget()
	short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := d.Wave(short, []Query{{Statement: st}}); err == nil {
		t.Fatal("the proxy has lost nothing")
	}
	long, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := d.Wave(long, []Query{{Statement: st}}); err != nil {
		t.Errorf("after one deadline: %v", err)
	}
}
