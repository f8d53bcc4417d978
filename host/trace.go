package host

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"weir/reactor"
)

// tracer tells an OpenTelemetry collector of the way of changes: apply, wait, run,
// and the first write of what came of it. It speaks OTLP over HTTP in JSON, which
// collectors take beside protobuf. A nil tracer is off. Nothing waits for it: what
// does not fit is dropped.
type tracer struct {
	url    string
	client http.Client
	logger *slog.Logger
	queue  chan traceSpan

	mu      sync.Mutex // protects the fields below
	began   [traceKept]readBegan
	next    int
	results [traceKept]tracedResult
	last    int
	second  time.Time
	traced  int // runs in this second
	dropped int
}

// The bounds of tracing.
const (
	traceKept    = 256 // transactions and results that are remembered
	tracesASec   = 100 // runs that are traced in a second; others are not
	traceQueue   = 4096
	traceBatch   = 512
	traceEvery   = time.Second
	traceTimeout = 5 * time.Second
)

type readBegan struct {
	xid  uint64
	at   time.Time
	told bool // its root span was sent
}

// tracedResult is a run whose frame has not been written yet.
type tracedResult struct {
	query   string
	version reactor.Version
	trace   [16]byte
	run     [8]byte
}

type traceSpan struct {
	trace      [16]byte
	id, parent [8]byte
	name       string
	start, end time.Time
	attributes map[string]string
	fault      string
}

// newTracer returns nil if endpoint is empty. It is the base address of a
// collector, as OTEL_EXPORTER_OTLP_ENDPOINT has it.
func newTracer(endpoint string, logger *slog.Logger) *tracer {
	if endpoint == "" {
		return nil
	}
	return &tracer{
		url: strings.TrimSuffix(endpoint, "/") + "/v1/traces", client: http.Client{Timeout: traceTimeout},
		logger: logger, queue: make(chan traceSpan, traceQueue),
	}
}

// read notes when the transactions of a batch were read.
func (t *tracer) read(b *reactor.Batch) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	last := uint64(0)
	for i := range b.Changes[max(0, len(b.Changes)-traceKept):] {
		if xid := b.Changes[i].XID; xid != last {
			t.began[t.next%traceKept] = readBegan{xid: xid, at: b.Began}
			t.next++
			last = xid
		}
	}
}

// traceOf names the trace of a transaction: the same one on every node.
func traceOf(xid uint64) (trace [16]byte, root [8]byte) {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte("weir change"), xid))
	copy(trace[:], sum[:16])
	copy(root[:], sum[16:24])
	return trace, root
}

func newSpanID() (id [8]byte) {
	_, _ = rand.Read(id[:])
	return id
}

// ran tells of a run that a change caused. The loop calls it.
func (t *tracer) ran(run *reactor.Run) {
	if t == nil || run.Cause.Change == nil || run.Cause.Change.XID == 0 {
		return
	}
	now := time.Now()
	xid := run.Cause.Change.XID
	dispatched := now.Add(-run.Cost)
	marked := dispatched.Add(-run.Waited)
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Sub(t.second) >= time.Second {
		t.second, t.traced = now, 0
	}
	if t.traced++; t.traced > tracesASec {
		return
	}
	began, told := marked, false
	for i := range t.began {
		if b := &t.began[i]; b.xid == xid && !b.at.IsZero() {
			if b.at.Before(marked) {
				began = b.at
			}
			told, b.told = b.told, true
			break
		}
	}
	trace, root := traceOf(xid)
	if !told {
		t.put(traceSpan{trace: trace, id: root, name: "change", start: began, end: now, attributes: map[string]string{
			"weir.tx": strconv.FormatUint(xid, 10), "weir.op": run.Cause.Change.Op.String(), "weir.table.oid": strconv.FormatUint(uint64(run.Cause.Change.Table), 10),
		}})
	}
	about := map[string]string{"weir.tenant": run.Tenant, "weir.function": run.Name}
	t.put(traceSpan{trace: trace, id: newSpanID(), parent: root, name: "apply", start: began, end: marked, attributes: about})
	t.put(traceSpan{trace: trace, id: newSpanID(), parent: root, name: "wait", start: marked, end: dispatched, attributes: about})
	id := newSpanID()
	s := traceSpan{trace: trace, id: id, parent: root, name: "run", start: dispatched, end: now, attributes: map[string]string{
		"weir.tenant": run.Tenant, "weir.function": run.Name, "weir.cause": run.Cause.Reason.String(),
		"weir.watchers": strconv.Itoa(run.Subscribers), "weir.same": strconv.FormatBool(run.Same),
	}}
	if run.Err != nil {
		s.fault = run.Err.Error()
	}
	t.put(s)
	if run.Err == nil && !run.Policy && !run.Same {
		t.results[t.last%traceKept] = tracedResult{query: run.Query, version: run.Version, trace: trace, run: id}
		t.last++
	}
}

// wrote tells of a frame that a socket has taken: the first of each result counts.
func (t *tracer) wrote(query string, v reactor.Version, began time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.results {
		if r := &t.results[i]; r.query == query && r.version == v {
			t.put(traceSpan{trace: r.trace, id: newSpanID(), parent: r.run, name: "write", start: began, end: time.Now()})
			*r = tracedResult{}
			return
		}
	}
}

// put queues a span. The caller holds the lock.
func (t *tracer) put(s traceSpan) {
	select {
	case t.queue <- s:
	default:
		t.dropped++
	}
}

// send sends until ctx ends, and then what is left.
func (t *tracer) send(ctx context.Context) error {
	if t == nil {
		return nil
	}
	tick := time.NewTicker(traceEvery)
	defer tick.Stop()
	defer t.client.CloseIdleConnections()
	var told time.Time
	for {
		ended := false
		select {
		case <-ctx.Done():
			ended = true
		case <-tick.C:
		}
		var err error
		for batch := t.take(); len(batch) > 0 && err == nil; batch = t.take() {
			err = t.post(batch)
		}
		if dropped := t.lost(); (err != nil || dropped > 0) && time.Since(told) > time.Minute {
			told = time.Now()
			t.logger.Warn("traces are lost", "err", err, "dropped", dropped)
		}
		if ended {
			return nil
		}
	}
}

// lost returns how many spans did not fit since it was asked last.
func (t *tracer) lost() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.dropped
	t.dropped = 0
	return n
}

// take empties the queue, up to a batch.
func (t *tracer) take() (batch []traceSpan) {
	for len(batch) < traceBatch {
		select {
		case s := <-t.queue:
			batch = append(batch, s)
		default:
			return batch
		}
	}
	return batch
}

func (t *tracer) post(batch []traceSpan) error {
	resp, err := t.client.Post(t.url, "application/json", bytes.NewReader(otlp(batch)))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	if resp.StatusCode >= 300 {
		return fmt.Errorf("the collector answers %s", resp.Status)
	}
	return nil
}

// otlp is a batch in OTLP's JSON: ids in hex, times as texts.
func otlp(batch []traceSpan) []byte {
	type object = map[string]any
	attribute := func(key, value string) object { return object{"key": key, "value": object{"stringValue": value}} }
	spans := make([]object, 0, len(batch))
	for i := range batch {
		s := &batch[i]
		o := object{
			"traceId": hex.EncodeToString(s.trace[:]), "spanId": hex.EncodeToString(s.id[:]), "name": "weir " + s.name, "kind": 1,
			"startTimeUnixNano": strconv.FormatInt(s.start.UnixNano(), 10), "endTimeUnixNano": strconv.FormatInt(s.end.UnixNano(), 10),
		}
		if s.parent != [8]byte{} {
			o["parentSpanId"] = hex.EncodeToString(s.parent[:])
		}
		var attributes []object
		for key, value := range s.attributes {
			attributes = append(attributes, attribute(key, value))
		}
		if attributes != nil {
			o["attributes"] = attributes
		}
		if s.fault != "" {
			o["status"] = object{"code": 2, "message": s.fault}
		}
		spans = append(spans, o)
	}
	body, err := json.Marshal(object{"resourceSpans": []object{{
		"resource":   object{"attributes": []object{attribute("service.name", "weir")}},
		"scopeSpans": []object{{"scope": object{"name": "weir"}, "spans": spans}},
	}}})
	if err != nil {
		panic("BUG: spans cannot be encoded: " + err.Error())
	}
	return body
}
