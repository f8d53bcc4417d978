package abi

import "unicode/utf8"

// reservedParams are the parameters of the wire, which no argument can be named
// after.
var reservedParams = []string{"args", "ticket", "delta", "as"}

// ParseQuery returns the arguments of fn from URL parameters: one for each
// argument, read by its schema (a string as it stands, everything else as
// JSON), or all of them as one JSON object in "args". The other reserved
// parameters are passed over. The result is not yet checked: it is for
// fn.Input. Errors are *ArgumentError.
func ParseQuery(fn *Function, params map[string][]string) (Value, error) {
	if whole, ok := params["args"]; ok {
		return parseArgs(fn, params, whole)
	}
	var b mapBuilder
	for i := range fn.Fields {
		f := &fn.Fields[i]
		texts, ok := params[f.Name]
		if !ok {
			continue
		}
		v, err := parseParam(f.Name, &f.Schema, texts)
		if err != nil {
			return Value{}, err
		}
		b.put(f.Name, v)
	}
	if len(b.keys) < countParams(params) {
		// The unknown ones go along as arguments, so that Check's message
		// names one; the same one every time, as maps have no order.
		names := make([]string, 0, len(params))
		for name := range params {
			if !isReserved(name) {
				names = append(names, name)
			}
		}
		return Value{}, unknownMember("", fn.Fields, Map(names, make([]Value, len(names))))
	}
	return b.value(), nil
}

// parseArgs reads all arguments from the parameter "args".
func parseArgs(fn *Function, params map[string][]string, texts []string) (Value, error) {
	if len(texts) != 1 {
		return Value{}, wrong("", "args is given more than once")
	}
	if countParams(params) > 0 {
		return Value{}, wrong("", "write them either in args or as a parameter each")
	}
	v, err := ParseJSON([]byte(texts[0]), MaxDepth)
	if err != nil {
		return Value{}, wrong("", "args is not JSON: "+err.Error())
	}
	return v, nil
}

func parseParam(name string, s *Schema, texts []string) (Value, error) {
	if len(texts) != 1 {
		what := "given more than once"
		if s.Type == "array" {
			what += ": write one JSON array"
		}
		return Value{}, wrong(name, what)
	}
	text := texts[0]
	if s.Type == "string" && s.Format != "json" {
		if !utf8.ValidString(text) {
			return Value{}, wrong(name, "not valid UTF-8")
		}
		return Text(text), nil
	}
	v, err := ParseJSON([]byte(text), MaxDepth-1)
	if err == nil {
		return v, nil
	}
	want := "JSON"
	switch s.Type {
	case "integer":
		want = "an integer"
	case "number":
		want = "a number"
	case "boolean":
		want = "true or false"
	case "array":
		want = "a JSON array"
	case "object":
		want = "a JSON object"
	}
	return Value{}, wrong(name, "want "+want+", found "+brief(Text(text)))
}

// countParams returns the number of parameters that are arguments.
func countParams(params map[string][]string) int {
	n := len(params)
	for _, name := range reservedParams {
		if _, ok := params[name]; ok {
			n--
		}
	}
	return n
}

func isReserved(name string) bool {
	for _, r := range reservedParams {
		if r == name {
			return true
		}
	}
	return false
}
