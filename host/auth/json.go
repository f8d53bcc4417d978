package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxDepth is how deep a token's JSON may nest.
const maxDepth = 32

// parseObject reads one JSON object strictly (J4). It refuses what two readers
// could read differently: duplicate keys, invalid UTF-8, broken surrogates,
// integers past 64 bits, numbers past float64, and anything after the object.
func parseObject(data []byte) (map[string]any, error) {
	// The decoder below replaces broken UTF-8 silently, so it must not see any.
	if !utf8.Valid(data) {
		return nil, errors.New("invalid UTF-8")
	}
	// Tokens are not a grammar: Decoder.Token lets some malformed lists pass.
	if !json.Valid(data) {
		return nil, errors.New("not JSON")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if first, err := d.Token(); err != nil || first != json.Delim('{') {
		return nil, errors.New("not a JSON object")
	}
	object, err := readObject(d, 1)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("text after the object")
	}
	return object, nil
}

// readObject reads the rest of an object whose brace was taken.
func readObject(d *json.Decoder, depth int) (map[string]any, error) {
	object := map[string]any{}
	for d.More() {
		name, err := readValue(d, depth)
		if err != nil {
			return nil, err
		}
		key, ok := name.(string)
		if !ok {
			return nil, errors.New("not JSON")
		}
		if _, twice := object[key]; twice {
			return nil, errors.New("duplicate key")
		}
		if object[key], err = readValue(d, depth); err != nil {
			return nil, err
		}
	}
	_, err := d.Token()
	return object, err
}

func readList(d *json.Decoder, depth int) ([]any, error) {
	list := []any{}
	for d.More() {
		v, err := readValue(d, depth)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	_, err := d.Token()
	return list, err
}

func readValue(d *json.Decoder, depth int) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch v := token.(type) {
	case json.Delim:
		if depth == maxDepth {
			return nil, fmt.Errorf("nested more than %d deep", maxDepth)
		}
		if v == '{' {
			return readObject(d, depth+1)
		}
		return readList(d, depth+1)
	case json.Number:
		return readNumber(v.String())
	case string:
		// What a broken surrogate decodes to: two different ones would be one
		// text, and so one user. Nobody has this character in a claim on purpose.
		if strings.ContainsRune(v, utf8.RuneError) {
			return nil, errors.New("broken text")
		}
		return v, nil
	}
	return token, nil // bool or nil
}

func readNumber(text string) (any, error) {
	if strings.ContainsAny(text, ".eE") {
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, errors.New("number out of range")
		}
		return f, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return nil, errors.New("integer out of range")
	}
	return n, nil
}
