package serve

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"weir/abi"
	"weir/host/tenant"
	"weir/reactor"
)

// streamBody is what POST /v1/stream and POST /v1/stream/{sid} send.
type streamBody struct {
	At   reactor.Stamp
	Add  []addition // "subs" when the stream is opened
	Drop []string   // ids as JSON
}

// addition is one subscription that a client asks for.
type addition struct {
	ID   string // as JSON: a number or a string
	Name string
	Args json.RawMessage // nil if there are none
	Have reactor.Version
	Has  bool // Have is held
}

// bodyRules bounds a stream body.
type bodyRules struct {
	add     string // the name of the list of additions
	drop    bool
	maxSubs int
	maxArgs int
	maxID   int
}

func rulesOf(l tenant.Limits, opening bool) bodyRules {
	l = l.WithDefaults()
	r := bodyRules{add: "add", drop: true, maxSubs: l.MaxSessionSubscriptions, maxArgs: l.MaxArgumentBytes, maxID: l.MaxIDBytes}
	if opening {
		r.add, r.drop = "subs", false
	}
	return r
}

// streamBodyLimit bounds the body in bytes: room for a stamp and for the usual
// arguments of many subscriptions beside one with the largest.
func streamBodyLimit(l tenant.Limits) int { return 4 * max(16<<10, l.WithDefaults().MaxArgumentBytes) }

// argumentDepth is how deep a subscription's arguments lie in the body.
const argumentDepth = 3

// parseStreamBody parses strictly: unknown members are refused, so that a misspelt
// one is not silently nothing. It walks the tokens itself because decoding into a
// struct folds case.
func parseStreamBody(text []byte, rules bodyRules) (streamBody, error) {
	var b streamBody
	// Duplicate members, depth and text are checked here, for all levels.
	if _, err := abi.ParseJSON(text, abi.MaxDepth+argumentDepth); err != nil {
		return b, err
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	ids := map[string]bool{}
	err := object(dec, "the body", func(name string) error {
		switch {
		case name == "at":
			return parseAt(dec, &b.At)
		case name == rules.add:
			return array(dec, name, func() error {
				if rules.maxSubs >= 0 && len(b.Add) >= rules.maxSubs {
					return limitError(tenant.ErrTooManySubscriptions, "session_subscriptions", "a session may have %d", rules.maxSubs)
				}
				a, err := parseAddition(dec, rules)
				if err == nil && ids[a.ID] {
					err = badRequest("id " + a.ID + " is given twice")
				}
				ids[a.ID] = true
				b.Add = append(b.Add, a)
				return err
			})
		case name == "drop" && rules.drop:
			return array(dec, name, func() error {
				id, err := parseID(dec, rules.maxID)
				b.Drop = append(b.Drop, id)
				return err
			})
		}
		names := []string{"at", rules.add}
		if rules.drop {
			names = append(names, "drop")
		}
		return badRequest(unknownMember(name, names))
	})
	return b, err
}

func parseAt(dec *json.Decoder, at *reactor.Stamp) error {
	text, err := stringValue(dec, "at")
	if err != nil {
		return err
	}
	if *at, err = reactor.ParseStamp(text); err != nil {
		return badRequest("at is not a stamp that this server gave out: leave it away")
	}
	return nil
}

func parseAddition(dec *json.Decoder, rules bodyRules) (addition, error) {
	var a addition
	err := object(dec, "a subscription", func(name string) (err error) {
		switch name {
		case "id":
			a.ID, err = parseID(dec, rules.maxID)
		case "q":
			a.Name, err = stringValue(dec, "q")
		case "args":
			err = dec.Decode(&a.Args)
			if err == nil && len(a.Args) > rules.maxArgs {
				err = limitError(tenant.ErrArgumentsTooLarge, "argument_bytes", "%d bytes are the most", rules.maxArgs)
			}
		case "have":
			var text string
			if text, err = stringValue(dec, "have"); err != nil {
				return err
			}
			if a.Have, a.Has = reactor.ParseVersion(text); !a.Has {
				err = badRequest("have is not a version that this server gave out: leave it away")
			}
		default:
			err = badRequest(unknownMember(name, []string{"id", "q", "args", "have"}))
		}
		return err
	})
	switch {
	case err != nil:
		return a, err
	case a.ID == "":
		return a, badRequest("a subscription needs an id: a number or a string of your choice")
	case a.Name == "":
		return a, badRequest("a subscription needs q: the name of a query")
	}
	return a, nil
}

// maxSafeInteger is the largest integer that JavaScript holds exactly.
const maxSafeInteger = 1<<53 - 1

// parseID takes an id and returns it as it goes back to the client.
func parseID(dec *json.Decoder, limit int) (string, error) {
	token, err := dec.Token()
	if err != nil {
		return "", malformed(err)
	}
	switch v := token.(type) {
	case json.Number:
		n, err := strconv.ParseInt(v.String(), 10, 64)
		if err != nil || n < 0 || n > maxSafeInteger {
			return "", badRequest("an id that is a number must be an integer from 0 to 2^53 - 1")
		}
		return strconv.FormatInt(n, 10), nil
	case string:
		bad := badRequest(fmt.Sprintf("an id that is a string must have 1 to %d bytes", limit))
		switch {
		case v == "":
			return "", bad
		case len(v) > limit:
			return "", told{bad, "id_bytes"}
		}
		text, err := json.Marshal(v)
		return string(text), err
	}
	return "", badRequest("an id must be a number or a string")
}

func unknownMember(name string, among []string) string {
	return "unknown member" + unknownParameter(name, among)[len("unknown parameter"):]
}

// object walks the members of an object; value must take each value.
func object(dec *json.Decoder, what string, value func(name string) error) error {
	if err := open(dec, '{', what+" must be an object"); err != nil {
		return err
	}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return malformed(err)
		}
		name, _ := token.(string)
		if err := value(name); err != nil {
			return malformed(err)
		}
	}
	_, err := dec.Token()
	return malformed(err)
}

// array walks the items of an array; item must take each.
func array(dec *json.Decoder, what string, item func() error) error {
	if err := open(dec, '[', what+" must be a list"); err != nil {
		return err
	}
	for dec.More() {
		if err := item(); err != nil {
			return malformed(err)
		}
	}
	_, err := dec.Token()
	return malformed(err)
}

func open(dec *json.Decoder, want json.Delim, message string) error {
	token, err := dec.Token()
	if err != nil {
		return malformed(err)
	}
	if token != want {
		return badRequest(message)
	}
	return nil
}

func stringValue(dec *json.Decoder, what string) (string, error) {
	token, err := dec.Token()
	if err != nil {
		return "", malformed(err)
	}
	text, ok := token.(string)
	if !ok {
		return "", badRequest(what + " must be a string")
	}
	return text, nil
}

// malformed makes an error of the JSON decoder one for the client; others stay.
func malformed(err error) error {
	var syntax *json.SyntaxError
	if err == nil || !errors.As(err, &syntax) && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	return badRequest("the body is not one JSON value")
}
