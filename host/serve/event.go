package serve

import (
	"encoding/json"
	"strconv"

	"weir/abi"
	"weir/reactor"
)

// appendEvent appends an event with a name and one line of JSON. JSON escapes
// every control character inside strings, so that the data is one line (S9).
func appendEvent(dst []byte, name string, data any) []byte {
	dst = append(dst, "event: "...)
	dst = append(dst, name...)
	dst = append(dst, "\ndata: "...)
	if sub, is := data.(subEvent); is { // most events are this one
		return append(sub.appendJSON(dst), "\n\n"...)
	}
	text, err := json.Marshal(data)
	if err != nil {
		panic("BUG: event " + name + " cannot be encoded: " + err.Error())
	}
	dst = append(dst, text...)
	return append(dst, "\n\n"...)
}

func appendRetry(dst []byte, ms int64) []byte {
	dst = append(dst, "retry: "...)
	dst = strconv.AppendInt(dst, ms, 10)
	return append(dst, "\n\n"...)
}

type helloEvent struct {
	SID     string `json:"sid,omitempty"` // a stream of one query cannot be changed
	PingMS  int64  `json:"ping_ms"`
	MaxSubs int    `json:"max_subs"`
	Server  string `json:"server"`
	Schema  string `json:"schema,omitempty"`
}

type subEvent struct {
	ID     json.RawMessage `json:"id"`
	Query  string          `json:"q,omitempty"`
	V      string          `json:"v,omitempty"`
	Status string          `json:"status"`
	Reason string          `json:"reason,omitempty"`
	At     string          `json:"at,omitempty"`
}

// appendJSON appends what json.Marshal makes of it.
func (e *subEvent) appendJSON(dst []byte) []byte {
	dst = append(dst, `{"id":`...)
	if plain(e.ID, ' ') {
		dst = append(dst, e.ID...)
	} else {
		dst = appendMarshalled(dst, e.ID)
	}
	for _, m := range [...]struct{ name, text string }{
		{`,"q":`, e.Query}, {`,"v":`, e.V}, {`,"status":`, e.Status}, {`,"reason":`, e.Reason}, {`,"at":`, e.At},
	} {
		if m.text == "" && m.name != `,"status":` {
			continue
		}
		dst = append(dst, m.name...)
		if plain(m.text, '"') {
			dst = append(append(append(dst, '"'), m.text...), '"')
		} else {
			dst = appendMarshalled(dst, m.text)
		}
	}
	return append(dst, '}')
}

// plain reports whether JSON has the text as it stands; without is one more
// character that it must not have.
func plain[T string | json.RawMessage](text T, without byte) bool {
	for i := range len(text) {
		switch c := text[i]; {
		case c < ' ' || c >= 0x7f || c == '\\' || c == '<' || c == '>' || c == '&' || c == without:
			return false
		}
	}
	return len(text) > 0
}

func appendMarshalled(dst []byte, v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic("BUG: a member cannot be encoded: " + err.Error())
	}
	return append(dst, text...)
}

type problemEvent struct {
	ID        json.RawMessage `json:"id"`
	Code      abi.Code        `json:"code"`
	Message   string          `json:"message"`
	Retryable bool            `json:"retryable"`
}

type endEvent struct {
	ID      json.RawMessage `json:"id"`
	Reason  abi.Code        `json:"reason"`
	Message string          `json:"message"`
}

type expiringEvent struct {
	InMS int64 `json:"in_ms"`
}

type pingEvent struct {
	At string `json:"at,omitempty"`
}

type closeEvent struct {
	Reason  abi.Code `json:"reason"`
	RetryMS int64    `json:"retry_ms"`
}

// appendEventID appends the id line of a stream of one query: what the client
// has, `v~at`. The event's data must follow.
func appendEventID(dst []byte, v reactor.Version, at reactor.Stamp) []byte {
	dst = append(dst, "id: "...)
	dst = append(dst, v.String()...)
	dst = append(dst, '~')
	dst = append(dst, at.String()...)
	return append(dst, '\n')
}

// parseEventID reads Last-Event-ID. What is not one of ours is nothing: an
// EventSource cannot be told that its id is wrong, it would send it for ever.
func parseEventID(id string) (v reactor.Version, has bool, at reactor.Stamp) {
	for i := range len(id) {
		if id[i] != '~' {
			continue
		}
		version, ok := reactor.ParseVersion(id[:i])
		stamp, err := reactor.ParseStamp(id[i+1:])
		if !ok || err != nil {
			break
		}
		return version, true, stamp
	}
	return reactor.Version{}, false, reactor.Stamp{}
}
