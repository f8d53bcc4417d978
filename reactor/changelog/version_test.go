package changelog

import (
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/reactor"
)

// What an older weir has set up is brought up to date in place, by several at
// once, while a listener waits for it. Its log is of another form and goes, which
// is a gap (C6): the listener begins anew, and what is written from then on is
// delivered.
func TestSetupBringsAnOlderSchemaUpToDate(t *testing.T) {
	t.Parallel()
	s := newSite(t, `create table t (id int primary key)`)
	old, err := os.ReadFile("testdata/schema_2.sql")
	if err != nil {
		t.Fatal(err)
	}
	s.exec(`drop schema weir cascade; create schema weir authorization weir; set role weir`)
	s.exec(string(old))
	s.exec(`reset role; insert into t values (1);
		update weir.reader set seen_at = now();
		insert into weir.watch values ('t'::regclass, 0, ''), ('t'::regclass, 1, 'id');
		insert into weir.log (slot, rel, op, keys) select slot, 't'::regclass, 'I', '[{"1": 1}]' from weir.reader`)
	gap := s.text(`select gap from weir.reader`)
	f := s.listen(Config{Live: time.Millisecond, Heartbeat: time.Second})
	f.SetLive(true)
	eventually(t, func() string {
		if err := f.Stats().Err; !errors.Is(err, ErrNotSetUp) {
			return "the listener does not say that the schema is old"
		}
		return ""
	})
	fs, err := Check(testContext(t), s.weir)
	if err != nil || !strings.Contains(lines(fs), "missing: the change log is an older weir's: weir db setup") {
		t.Errorf("%v\n%s", err, lines(fs))
	}

	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			if _, err := Setup(testContext(t), SetupConfig{AdminURL: s.URL}); err != nil {
				t.Error(err)
			}
		})
	}
	resync := f.awaitResync()
	wg.Wait()
	if now := s.text(`select gap from weir.reader`); now == gap {
		t.Error("no gap is counted")
	}
	if got := s.text(`select version from weir.part where name = 'change log'`); got != "4" {
		t.Errorf("the schema is marked %s", got)
	}
	if got := s.text(`select count(*) from t`); got != "1" {
		t.Errorf("%s rows are left in the user's table", got)
	}
	if resync.Snapshot.XMin == 0 {
		t.Error("the new beginning has no snapshot")
	}
	// What was watched still is.
	s.exec(`insert into t values (2)`)
	f.await("the insert", func(b reactor.Batch) bool {
		return slices.ContainsFunc(b.Changes, func(c reactor.Change) bool { return c.Table == s.oid("t") && c.Op == reactor.Insert })
	})
}

// An upgrade that keeps the log's form disturbs neither writers nor readers: each
// change is delivered, once, and no result is made anew.
func TestSetupIsRunUnderLiveReaders(t *testing.T) {
	t.Parallel()
	s := newSite(t, `create table t (id int primary key)`)
	s.watch("t", 1)
	f := s.listen(Config{Live: time.Millisecond})
	f.SetLive(true)
	f.awaitResync()
	s.exec(`delete from weir.part`)
	const rows = 60
	done := make(chan error, 1)
	for i := range rows {
		if i == rows/3 {
			go func() { _, err := Setup(testContext(t), SetupConfig{AdminURL: s.URL}); done <- err }()
		}
		s.exec(`insert into t select count(*) from t`)
	}
	seen, table := 0, s.oid("t")
	f.await("every insert", func(b reactor.Batch) bool {
		if b.Resync {
			t.Error("a new beginning")
		}
		for _, c := range b.Changes {
			if c.Table == table && c.Op == reactor.Insert {
				seen++
			}
		}
		return seen >= rows
	})
	if err := <-done; err != nil {
		t.Error(err)
	}
	if seen != rows {
		t.Errorf("%d inserts were delivered, want %d", seen, rows)
	}
}

// What a newer weir has set up is neither set back nor read, in a sentence.
func TestNewerSchemaIsRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t, `create table t (id int primary key)`)
	s.exec(`update weir.part set version = 99`)
	refuses := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, ErrNewer) || !strings.Contains(err.Error(), "version 99, this weir") {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err := Setup(testContext(t), SetupConfig{AdminURL: s.URL})
	refuses("setup", err)
	refuses("watch", s.tryWatch(s.weir, "t", 1))
	if got := s.text(`select min(version) from weir.part`); got != "99" {
		t.Errorf("the mark was set back to %s", got)
	}
	fs, err := Check(testContext(t), s.weir)
	if err != nil || !strings.Contains(lines(fs), "missing: a newer weir has set the database up") {
		t.Errorf("%v\n%s", err, lines(fs))
	}
	f := s.listen(Config{Live: time.Millisecond})
	eventually(t, func() string {
		if err := f.Stats().Err; !errors.Is(err, ErrNewer) {
			return "the listener does not refuse"
		}
		return ""
	})
	// A part alone is newer.
	s.exec(`update weir.part set version = 4; insert into weir.part values ('jobs', 3)`)
	cfg := SetupConfig{AdminURL: s.URL, Parts: []Part{{Name: "jobs", Version: 2, SQL: "select 1;"}}}
	if _, err := Setup(testContext(t), cfg); !errors.Is(err, ErrNewer) || !strings.Contains(err.Error(), "jobs is in version 3, this weir makes 2") {
		t.Errorf("a newer part: %v", err)
	}
}
