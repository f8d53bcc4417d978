package serve

import (
	"fmt"
	"net/http"
	"net/url"
	"unicode/utf8"

	"weir/abi"
	"weir/host/tenant"
)

// reserved are the parameters that are never arguments.
var reserved = []string{"args", "ticket", "delta", "as"}

// parameters parses the query string. Malformed escapes and text that is not
// UTF-8 are refused: they would be dropped silently, and the key would be that of
// another call.
func parameters(r *http.Request) (url.Values, error) {
	params, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, badRequest("the query string is malformed: escape it as in a form")
	}
	for name, values := range params {
		for _, v := range append(values, name) {
			if !utf8.ValidString(v) {
				return nil, badRequest("the query string is not UTF-8")
			}
		}
	}
	return params, nil
}

// onlyParameters refuses every parameter but those that the path takes.
func onlyParameters(r *http.Request, allowed ...string) error {
	params, err := parameters(r)
	if err != nil {
		return err
	}
	for name, values := range params {
		known := false
		for _, a := range allowed {
			known = known || a == name
		}
		if !known {
			return badRequest(unknownParameter(name, allowed))
		}
		if len(values) > 1 {
			return badRequest(fmt.Sprintf("parameter %q is given twice", name))
		}
	}
	return nil
}

func unknownParameter(name string, among []string) string {
	text := fmt.Sprintf("unknown parameter %q", short(name))
	if near := abi.Nearest(name, among); near != "" {
		text += fmt.Sprintf(": did you mean %q?", near)
	}
	return text
}

// short cuts what a client sent before it is sent back.
func short(text string) string {
	const limit = 64
	if len(text) <= limit {
		return text
	}
	for i := limit; ; i-- {
		if utf8.RuneStart(text[i]) {
			return text[:i] + "…"
		}
	}
}

// queryArguments takes the arguments of a GET: one parameter each, or all in
// ?args=.
func queryArguments(r *http.Request) (Arguments, error) {
	params, err := parameters(r)
	if err != nil {
		return Arguments{}, err
	}
	limit := requestOf(r).tenant.Limits.WithDefaults().MaxArgumentBytes
	if len(r.URL.RawQuery) > limit {
		return Arguments{}, limitError(tenant.ErrArgumentsTooLarge, "argument_bytes", "send them in the body of a POST")
	}
	args, all := params["args"]
	for _, name := range reserved {
		if len(params[name]) > 1 {
			return Arguments{}, badRequest(fmt.Sprintf("parameter %q is given twice", name))
		}
		params.Del(name)
	}
	if !all {
		return Arguments{Params: params}, nil
	}
	for name := range params {
		return Arguments{}, badRequest(unknownParameter(name, reserved) + "; with args= all arguments are inside it")
	}
	return jsonArguments([]byte(args[0]))
}

// jsonArguments takes arguments that are one JSON value. Types are checked with the
// function's schema, by who knows it.
func jsonArguments(text []byte) (Arguments, error) {
	if _, err := abi.ParseJSON(text, 0); err != nil {
		return Arguments{}, err
	}
	return Arguments{JSON: text}, nil
}
