package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// sseEvent is one server-sent event.
type sseEvent struct {
	name string // "" for a full result
	id   string
	data []byte
}

// eventReader reads server-sent events.
type eventReader struct {
	in     *bufio.Reader
	lastID string
	retry  time.Duration
}

// maxEvent bounds one event; the server's own bound on results is far below.
const maxEvent = 64 << 20

var errEventTooLarge = errors.New("an event of the stream is too large: ask for fewer rows")

// next returns the next event.
func (r *eventReader) next() (sseEvent, error) {
	var e sseEvent
	found := false
	for {
		line, err := r.line()
		if err != nil {
			return e, err
		}
		if len(line) == 0 {
			if found {
				e.id = r.lastID
				return e, nil
			}
			e = sseEvent{}
			continue
		}
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "event":
			e.name = string(value)
		case "data":
			if found {
				e.data = append(e.data, '\n')
			}
			e.data, found = append(e.data, value...), true
			if len(e.data) > maxEvent {
				return e, errEventTooLarge
			}
		case "id":
			r.lastID = string(value)
		case "retry":
			if ms, err := strconv.ParseUint(string(value), 10, 32); err == nil {
				r.retry = min(time.Duration(ms)*time.Millisecond, time.Minute)
			}
		}
	}
}

// line returns the next line without its end.
func (r *eventReader) line() ([]byte, error) {
	var line []byte
	for {
		part, err := r.in.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > maxEvent:
			return nil, errEventTooLarge
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil:
			return nil, err
		}
		return bytes.TrimRight(line, "\r\n"), nil
	}
}

// subscription is a one-query stream that is opened again for ever.
type subscription struct {
	client *client
	name   string
	params url.Values
	body   []byte // arguments as JSON, instead of params
	// event is called for each event, in the goroutine of run. An error ends
	// the stream for good.
	event func(sseEvent) error
	// lost is called when the connection went, with the wait before the next.
	lost func(err error, wait time.Duration)
}

// run follows the query until ctx ends, event says so, or the server refuses.
// It resumes by the id of the last event.
func (s *subscription) run(ctx context.Context) error {
	lastID, backoff := "", 250*time.Millisecond
	connected := false
	for {
		reader, err := s.once(ctx, &lastID)
		var refused *problemError
		var stop *stopError
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &stop):
			return stop.err
		case errors.As(err, &refused) && !refused.Retryable:
			return err
		case err != nil && reader == nil && !connected:
			return err // nobody was ever there
		}
		wait := backoff/2 + rand.N(backoff)
		if reader != nil {
			connected, backoff = true, 250*time.Millisecond
			wait = rand.N(250 * time.Millisecond)
		} else {
			backoff = min(2*backoff, 5*time.Second)
		}
		s.lost(err, wait)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

// stopError carries the end that event asked for.
type stopError struct{ err error }

// Error returns the reason.
func (e *stopError) Error() string { return fmt.Sprint(e.err) }

// once opens the stream and reads it to its end. The reader is nil if it was
// never open.
func (s *subscription) once(ctx context.Context, lastID *string) (*eventReader, error) {
	r, err := s.client.request(ctx, "/v1/q/"+url.PathEscape(s.name), s.params, s.body)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "text/event-stream")
	if *lastID != "" {
		r.Header.Set("Last-Event-ID", *lastID)
	}
	resp, err := s.client.http.Do(r)
	if err != nil {
		return nil, s.client.unreachable(err)
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNoContent:
		return nil, &stopError{errors.New("the server has ended this query: its function was removed or changed")}
	case resp.StatusCode != http.StatusOK:
		return nil, problemOf(resp)
	}
	reader := &eventReader{in: bufio.NewReaderSize(resp.Body, 32<<10), lastID: *lastID}
	for {
		e, err := reader.next()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return reader, err
		}
		*lastID = reader.lastID
		if err := s.event(e); err != nil {
			return reader, &stopError{err}
		}
	}
}
